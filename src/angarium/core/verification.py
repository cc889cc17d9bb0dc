"""Verifies that a request is signed by every scheme of its product's profile."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence

from angarium.core.message_format import own_signer
from angarium.core.profile import Profile
from angarium.core.profile_table import SigningTable
from angarium.core.signature import SignatureError, verify


def verify_request(
    profile: Profile, secrets: Sequence[str], headers: Mapping[str, str], body: bytes, *, now: float
) -> None:
    """Raise SignatureError with a message unless every scheme's signature matches one of the secrets.

    `secrets` are those of the endpoint. Names in `headers` may have any case.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    for scheme in profile.signing:
        if scheme.family is not None:
            family = scheme.family.lower()
            if not any(name.startswith(f"{family}-") for name in lowered):
                raise SignatureError(f"the header {scheme.family}-signature is missing")
            verify(body, lowered, secrets, now=now, families=(family,))
        if scheme.header is not None:
            _verify_own(scheme, scheme.header, secrets, lowered, _message_id(profile, lowered), body)


def _verify_own(
    scheme: SigningTable,
    name: str,
    secrets: Sequence[str],
    headers: Mapping[str, str],
    message_id: str,
    body: bytes,
) -> None:
    given = headers.get(name.lower())
    if given is None:
        raise SignatureError(f"the header {name} is missing")
    shape = re.escape(scheme.format).replace(r"\{timestamp\}", r"(?P<timestamp>[0-9]{1,15})")
    found = re.fullmatch(shape.replace(r"\{signature\}", "[!-~]+"), given)
    if found is None:
        raise SignatureError(f"the header {name} does not look like {scheme.format}")
    timestamp = int(found.groupdict().get("timestamp", "0"))
    made = [own_signer(secret, scheme)(message_id, timestamp, body) for secret in secrets]
    if not any(hmac.compare_digest(one.encode(), given.encode()) for one in made):
        raise SignatureError("no signature fits")


def _message_id(profile: Profile, headers: Mapping[str, str]) -> str:
    named = [name for name, value in profile.delivery.headers.items() if value == "{id}"]
    families = [f"{scheme.family}-id" for scheme in profile.signing if scheme.family is not None]
    return next((headers[name.lower()] for name in (*named, *families) if name.lower() in headers), "")
