"""Holds what is needed to send to one endpoint, decrypted once and used for many attempts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from angarium.core.keyring import Keyring
from angarium.core.message_format import FormatKey
from angarium.core.outcome import MASK
from angarium.core.product import Product
from angarium.core.url import with_login
from angarium.store.load import Config
from angarium.store.sealed import LOGIN, open_headers, open_keys


@dataclass(frozen=True, slots=True)
class EndpointTarget:
    """An endpoint with its product's rules. `keys` are its signing keys, current first."""

    app_id: UUID
    endpoint_id: UUID
    org_id: str
    product: Product
    url: str
    revision: int
    generation: int  # of the endpoint's health
    rate_limit: int | None
    fifo: bool
    active: bool
    headers: dict[str, str] = field(repr=False)
    keys: tuple[FormatKey, ...] = field(repr=False)

    def headers_for(
        self, message_id: UUID, event_type: str, body: bytes, now: float, content_type: str | None
    ) -> list[tuple[str, str]]:
        """All headers of an attempt made now."""
        return self.product.message_format.headers(
            message_id=message_id,
            event_type=event_type,
            body=body,
            keys=self.keys,
            custom=self.headers,
            now=now,
            content_type=content_type,
        )

    def shown(self, headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Headers for the log. Values of custom headers are masked, because they may be credentials."""
        if not self.headers:
            return list(headers)
        own = {name.lower() for name in self.headers}
        return [(name, MASK if name.lower() in own else value) for name, value in headers]


def open_target(config: Config, product: Product, keyring: Keyring) -> EndpointTarget:
    """Decrypt headers and keys. Raises SealError if that fails."""
    headers = open_headers(keyring, config.endpoint_id, config.headers)
    login = headers.pop(LOGIN, None)
    return EndpointTarget(
        app_id=config.app_id,
        endpoint_id=config.endpoint_id,
        org_id=config.org_id,
        product=product,
        url=with_login(config.url, login),
        revision=config.revision,
        generation=config.generation,
        rate_limit=config.rate_limit,
        fifo=config.fifo,
        active=config.active,
        headers=headers,
        keys=product.message_format.keys(open_keys(keyring, config.endpoint_id, config.keys)),
    )
