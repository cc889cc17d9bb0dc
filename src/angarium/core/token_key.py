"""Signs JWTs and verifies their signatures. Does not check their times."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from angarium.core import canonical
from angarium.core.errors import BadRequest, NotAuthenticated


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

    def sign(self, payload: dict[str, Any]) -> str:
        """A token with this payload. Raises BadRequest without a signing key."""
        if self.signing is None:
            raise BadRequest(code="no_signing_key")
        return jwt.encode(payload, self.signing, algorithm=self.algorithm)

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
