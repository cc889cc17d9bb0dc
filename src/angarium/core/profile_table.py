"""Tables of a profile file, with their keys and defaults.

Durations are written as in the settings (`30s`, `5m`).
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from angarium.core.schedule import Schedule, parse_duration, parse_schedule
from angarium.message_form import MAX_BODY


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table. Unknown keys are refused."""


class Management(Table, frozen=True):
    """The API with which customers manage their endpoints."""

    dialect: Literal["native", "bluum", "bluma", "bloom"] = "native"
    """Form of the API. `native` is Svix's, which operators use for every product."""
    base_paths: tuple[str, ...] = ()
    """Prefixes of the dialect's routes, e.g. `/v1` and the empty string."""
    scheme: Literal["bearer", "basic"] = "bearer"
    """How a key is sent: `Bearer key`, or `Basic` with `key:secret`."""
    key_prefix: str = ""
    """Prefix of API keys of this product. `{mode}` is replaced by `live`, or `test` in a sandbox."""
    scopes: tuple[str, ...] = ()
    """Scopes of API keys. Keys of the first scope manage endpoints. The product's routes refuse all
    others."""
    key_names: tuple[str, ...] = ()
    """What keys are called when they are shown, in the order of `scopes`. Default: `api_key`, then
    `<scope>_key`."""
    url_name: str | None = None
    """Name of the API's only URL, the first of `base_paths`. Default: the API has a base URL."""
    types_field: str = "eventTypes"
    """The field of an endpoint that lists its event types."""
    wildcards: bool = True
    """Whether an endpoint may subscribe to patterns such as `order.*`."""
    all_types: bool = True
    """Whether an endpoint may subscribe to all event types, including ones added later."""
    endpoint_names: bool = False
    """Whether an endpoint has a name besides its description."""
    create_status: int = 201
    """Status of the response when an endpoint is created, from 200 to 299."""
    warning: str | None = None
    """A warning in the response that shows a secret."""
    no_response_status: int | None = None
    """Status shown in the delivery log if there was no response; None shows none."""
    order: Literal["ascending", "descending"] = "descending"
    """Default order of the delivery log. Descending is newest first."""


class Ids(Table, frozen=True):
    """Prefixes of public ids."""

    message: str = "msg_"
    """Messages. Receivers see these ids."""
    endpoint: str = "ep_"
    """Endpoints."""
    attempt: str = "atmpt_"
    """Attempts."""


class SigningTable(Table, frozen=True):
    """One way to sign each request.

    A `family` is the three headers of Standard Webhooks under that name (`webhook`, `svix`). Otherwise
    `header` carries `format` with the HMAC of `signed`. It can hold only one signature.
    """

    family: str | None = None
    """`webhook` or `svix`: the headers `…-id`, `…-timestamp` and `…-signature`."""
    header: str | None = None
    """Name of a custom signature header."""
    algorithm: Literal["hmac-sha1", "hmac-sha256", "hmac-sha512"] = "hmac-sha256"
    """Hash algorithm."""
    signed: str = "{body}"
    """Signed content: `{body}`, optionally with `{id}` and `{timestamp}`."""
    key: Literal["base64", "text"] = "base64"
    """HMAC key: the decoded base64 after the secret's prefix, or the whole secret as UTF-8."""
    encoding: Literal["hex", "base64"] = "hex"
    """Encoding of the digest."""
    format: str = "{signature}"
    """Header value with `{signature}`, optionally with `{timestamp}` and other text."""


class DeliveryTable(Table, frozen=True):
    """Attempts."""

    retries: str = "5s,5m,30m,2h,5h,10h,10h"
    """Delays between attempts, each from the previous failure."""
    jitter: tuple[float, float] = (0.0, 0.2)
    """Minimum and maximum fraction added to a delay at random."""
    timeout: str = "15s"
    """Maximum duration of an attempt, from connecting to the last byte of the response; at most 60s."""
    max_body: int = MAX_BODY
    """Maximum bytes of a request to an endpoint. A larger message is not accepted."""
    user_agent: str | None = None
    """User-Agent of requests. Default: Angarium's."""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    """Additional headers of each request. `{id}` and `{type}` are replaced by those of the message."""

    def schedule(self) -> Schedule:
        return Schedule(parse_schedule(self.retries), self.jitter[1], self.jitter[0])

    @property
    def timeout_seconds(self) -> float:
        return parse_duration(self.timeout)


class DisableTable(Table, frozen=True):
    """When an endpoint is disabled automatically. Any success resets this. Tests and resends never count."""

    consecutive_attempts: int | None = None
    """After this number of failed attempts in a row."""
    all_failing_for: str | None = "5d"
    """After this time with failures only, checked when a delivery is given up. `never` turns it off."""
    evidence: bool = True
    """Whether that time starts only when several deliveries were given up within 24 hours, the first and
    the last at least 12 hours apart. Otherwise it starts with the first failed attempt."""
    on_gone: bool = True
    """Immediately when the receiver answers 410."""
    warn_at: tuple[float, ...] = ()
    """Fractions of `consecutive_attempts` at which the operator is warned."""

    @property
    def failing_seconds(self) -> float | None:
        text = self.all_failing_for
        return None if text is None or text == "never" else parse_duration(text)

    def warnings(self) -> dict[int, float]:
        """Number of consecutive failures -> its fraction of `consecutive_attempts`."""
        whole = self.consecutive_attempts
        return (
            {} if whole is None else {-(-round(whole * part * 1000) // 1000): part for part in self.warn_at}
        )


class Secrets(Table, frozen=True):
    """How signing secrets are shown and replaced."""

    display: Literal["once", "reveal"] = "reveal"
    """`once`: only in the response that created it. `reveal`: at any time."""
    rotation: Literal["overlap", "two_phase"] = "overlap"
    """`two_phase`: in headers that hold several signatures, a new secret signs together with the old one. In
    headers that hold only one, it replaces the old one when it is activated or the overlap ends."""
    overlap: str = "24h"
    """How long a replaced secret continues to sign."""

    @property
    def overlap_seconds(self) -> float:
        return parse_duration(self.overlap)


class Portal(Table, frozen=True):
    """Customers' access to the portal."""

    link_lifetime: str = "24h"
    """Validity of a link to the portal."""
    theme: dict[str, str] = msgspec.field(default_factory=dict)
    """Query parameters of the link, e.g. `primaryColorLight`."""

    @property
    def lifetime_seconds(self) -> float:
        return parse_duration(self.link_lifetime)


class QuotaTable(Table, frozen=True):
    """Limits of each application, unless it has limits of its own. A number, or `unlimited`. Default: those
    of the settings."""

    messages_soft: int | Literal["unlimited"] | None = None
    """Messages a month that are reported."""
    messages_hard: int | Literal["unlimited"] | None = None
    """Messages a month; others are refused."""
    endpoints_soft: int | Literal["unlimited"] | None = None
    """Number of endpoints that is reported."""
    endpoints_hard: int | Literal["unlimited"] | None = None
    """Number of endpoints; others are refused."""


class EventTypeRule(Table, frozen=True):
    """One entry of the catalogue."""

    name: str
    """Name, such as `order.filled`."""
    description: str
    """What happened, in one sentence."""
    group: str | None = None
    """Heading under which it is listed."""
    ours: bool = False
    """True if we added it: the product's document does not have it."""
    schema: dict[str, Any] | None = None
    """JSON Schema of the message's data. References must point into it."""
    example: dict[str, Any] | None = None
    """Example of the message's data."""
