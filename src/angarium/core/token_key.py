"""Signs JWTs and verifies their signatures, with one key or a list of keys. Does not check their times.

The first key of a list signs, and any of them verifies, so a key can be replaced without ending the tokens
that it signed. While there are several, a new token names its key (`kid`). Tokens without a `kid`, or with
one of another tool, are verified with each key.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from angarium.core import canonical
from angarium.core.errors import BadRequest, NotAuthenticated

_PEM: Final = re.compile(r"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)
_KEY_ID_DIGITS: Final = 8


def split(text: str) -> list[str]:
    """The keys of a setting: PEM keys one after the other, or texts that are separated by commas or lines."""
    if "-----BEGIN" in text:
        rest = _PEM.sub("", text).replace(",", "").strip()
        return [found[0] for found in _PEM.finditer(text)] + ([rest] if rest else [])
    return [part for part in (part.strip() for part in re.split(r"[,\n]", text)) if part]


@dataclass(frozen=True, slots=True)
class TokenKey:
    """The algorithm and its keys: one secret for HS256/384/512, PEM keys for RS… and EdDSA.

    Without a signing key, tokens can be verified but not created.
    """

    algorithm: str
    verifying: str
    signing: str | None

    @classmethod
    def of(cls, secret: str, algorithm: str = "HS256") -> TokenKey:
        """From the secret in the settings: a text, or a private or public PEM key."""
        if algorithm.startswith("HS"):
            return cls(algorithm, secret, secret)
        if "PRIVATE" not in secret.partition("\n")[0]:
            return cls(algorithm, secret, None)
        public = load_pem_private_key(secret.encode(), None).public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        return cls(algorithm, pem, secret)

    def sign(self, payload: dict[str, Any], headers: dict[str, str] | None = None) -> str:
        """A token with this payload. Raises BadRequest without a signing key."""
        if self.signing is None:
            raise BadRequest(code="no_signing_key")
        return jwt.encode(payload, self.signing, algorithm=self.algorithm, headers=headers)

    @property
    def id(self) -> str:
        """Distinguishes the keys of a list, without revealing a secret."""
        return hashlib.sha256(b"kid:" + self.verifying.encode()).hexdigest()[:_KEY_ID_DIGITS]

    def open(self, token: str) -> dict[str, Any]:
        """The payload of a token. Does not check its times. Raises NotAuthenticated if this key did not sign
        it.

        Only the canonical form of a token is accepted, because tokens are revoked by the hash of their text.
        """
        if self.algorithm.startswith("HS") and hmac.compare_digest(
            token.encode("utf-8", "surrogatepass"), self.verifying.encode()
        ):
            raise NotAuthenticated(
                "The token is the server's JWT secret, which only signs tokens. Create a token with "
                "`angarium token create`. Replace the secret if it has left the server."
            )
        try:
            for part in token.split("."):
                canonical.url_safe(part)
            return jwt.decode(
                token,
                self.verifying,
                algorithms=[self.algorithm],
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False},
            )
        except (
            jwt.InvalidTokenError,
            ValueError,
            RecursionError,
        ) as error:  # RecursionError: deeply nested JSON
            raise NotAuthenticated() from error


class TokenKeys:
    """A list of keys of one algorithm. The first signs, any of them verifies."""

    def __init__(self, keys: Sequence[TokenKey]) -> None:
        if not keys:
            raise ValueError("at least one key is needed")
        self._keys = tuple(keys)
        self._by_id = {key.id: key for key in reversed(keys)}

    @classmethod
    def parse(cls, text: str, algorithm: str = "HS256") -> TokenKeys:
        """From the setting. Raises ValueError or TypeError for a PEM key that cannot be read."""
        return cls([TokenKey.of(secret, algorithm) for secret in split(text)])

    def sign(self, payload: dict[str, Any]) -> str:
        """A token with this payload. Raises BadRequest without a signing key."""
        first = self._keys[0]
        return first.sign(payload, {"kid": first.id} if len(self._by_id) > 1 else None)

    def open(self, token: str) -> dict[str, Any]:
        """The payload of a token. Raises NotAuthenticated if none of the keys signed it."""
        named = self._named(token) if len(self._keys) > 1 else None
        *others, last = (named,) if named is not None else self._keys
        for key in others:
            try:
                return key.open(token)
            except NotAuthenticated as error:
                if error.detail != NotAuthenticated().detail:
                    raise  # it is the secret itself
        return last.open(token)

    def _named(self, token: str) -> TokenKey | None:
        """The key that the token names, if it is one of these."""
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            return None
        return self._by_id.get(key_id) if isinstance(key_id, str) else None
