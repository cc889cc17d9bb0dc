"""A target: everything that sending to one endpoint needs, opened once and used for many attempts."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from angarium.core import ids
from angarium.core.envelope import request_headers
from angarium.core.keyring import Keyring
from angarium.core.signature import Signer
from angarium.core.url import split_credentials
from angarium.store.load import Config
from angarium.store.sealed import open_headers, open_keys


@dataclass(frozen=True, slots=True)
class Target:
    """`signers` are pairs of a signer and the time (epoch seconds) until which it signs, current first."""

    app_id: UUID
    endpoint_id: UUID
    org_id: str
    url: str
    shown_url: str  # without the credentials that the URL may carry
    revision: int
    rate_limit: int | None
    fifo: bool
    active: bool
    headers: dict[str, str] = field(repr=False)
    signers: tuple[tuple[Signer, float], ...] = field(repr=False)

    def headers_for(
        self, message_id: UUID, body: bytes, now: float, user_agent: str
    ) -> list[tuple[str, str]]:
        """All headers of an attempt made now: fresh timestamp and signatures, the same id for ever."""
        return request_headers(
            message_id=ids.text(ids.MESSAGE, message_id),
            timestamp=int(now),
            body=body,
            signers=[signer for signer, until in self.signers if now < until],
            custom=self.headers,
            user_agent=user_agent,
        )


def open_target(config: Config, keyring: Keyring) -> Target:
    """Open what is sealed. Raises SealError when no key of the ring fits."""
    keys = open_keys(keyring, config.endpoint_id, config.keys)
    return Target(
        app_id=config.app_id,
        endpoint_id=config.endpoint_id,
        org_id=config.org_id,
        url=config.url,
        shown_url=split_credentials(config.url)[0],
        revision=config.revision,
        rate_limit=config.rate_limit,
        fifo=config.fifo,
        active=config.active,
        headers=open_headers(keyring, config.endpoint_id, config.headers),
        signers=tuple(
            (Signer(key.secret), float("inf") if key.expires_at is None else key.expires_at) for key in keys
        ),
    )
