"""The tables of a profile file: what may stand in each, and what it is when nothing does.

Durations are written as in the settings (`30s`, `5m`).
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from angarium.core.schedule import Schedule, parse_duration, parse_schedule
from angarium.message_form import MAX_BODY


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table: unknown keys are refused."""


class Management(Table, frozen=True):
    """The API that the product's customers manage their endpoints with."""

    dialect: Literal["native", "bluum", "bluma", "bloom"] = "native"
    """The shape of the API; `native` is Svix's, which operators use for every product."""
    base_paths: tuple[str, ...] = ()
    """Where the dialect's routes begin, e.g. `/v1` and the empty text."""
    scheme: Literal["bearer", "basic"] = "bearer"
    """How a key is shown: `Bearer key`, or `Basic` of `key:secret`."""
    key_prefix: str = ""
    """What an API key of this product begins with; `{mode}` stands for `live`, or `test` in a sandbox."""
    scopes: tuple[str, ...] = ()
    """What keys are made for. The first one's manage endpoints; the product's routes refuse the others'."""
    types_field: str = "eventTypes"
    """The field of an endpoint that lists its event types."""
    wildcards: bool = True
    """Whether an endpoint may subscribe to patterns such as `order.*`."""
    create_status: int = 201
    """The status of the answer to a new endpoint, from 200 to 299."""
    warning: str | None = None
    """A sentence in the answer that shows a secret."""
    no_response_status: int | None = None
    """The status shown in the delivery log when nothing answered; None shows none."""
    order: Literal["ascending", "descending"] = "descending"
    """The order of the delivery log unless the caller asks for another; descending is newest first."""


class Ids(Table, frozen=True):
    """What public ids begin with."""

    message: str = "msg_"
    """The message, whose id receivers see."""
    endpoint: str = "ep_"
    """The endpoint."""
    attempt: str = "atmpt_"
    """The attempt."""


class SigningTable(Table, frozen=True):
    """One way in which each request is signed.

    A `family` is the three headers of Standard Webhooks under that name (`webhook`, `svix`). Otherwise
    `header` carries `format` with the HMAC of `signed` put in; it has room for one signature only.
    """

    family: str | None = None
    """`webhook` or `svix`: the headers `…-id`, `…-timestamp` and `…-signature`."""
    header: str | None = None
    """The name of a header of its own."""
    algorithm: Literal["hmac-sha1", "hmac-sha256", "hmac-sha512"] = "hmac-sha256"
    """The digest."""
    signed: str = "{body}"
    """What is signed: `{body}`, and `{id}` and `{timestamp}` if wanted."""
    key: Literal["base64", "text"] = "base64"
    """The HMAC key: what the base64 after the secret's prefix stands for, or the whole secret as UTF-8."""
    encoding: Literal["hex", "base64"] = "hex"
    """How the digest is written."""
    format: str = "{signature}"
    """The header's value: `{signature}`, and `{timestamp}` if wanted, with what stands around them."""


class DeliveryTable(Table, frozen=True):
    """How attempts are made."""

    retries: str = "5s,5m,30m,2h,5h,10h,10h"
    """The delays between attempts, each counted from the failure before it."""
    jitter: tuple[float, float] = (0.0, 0.2)
    """The least and the greatest fraction added to a delay, at random."""
    timeout: str = "15s"
    """How long an attempt may take, from connecting to the last byte of the answer; at most 60s."""
    max_body: int = MAX_BODY
    """Bytes of a request to an endpoint; a larger message is refused when it is sent to us."""
    user_agent: str | None = None
    """The User-Agent of requests; Angarium's own when missing."""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    """More headers of each request; `{id}` and `{type}` stand for the message's."""

    def schedule(self) -> Schedule:
        return Schedule(parse_schedule(self.retries), self.jitter[1], self.jitter[0])

    @property
    def timeout_seconds(self) -> float:
        return parse_duration(self.timeout)


class DisableTable(Table, frozen=True):
    """When an endpoint is disabled by itself. Any success begins anew; tests and resends never count."""

    consecutive_attempts: int | None = None
    """After so many failed attempts in a row."""
    all_failing_for: str | None = "5d"
    """After so long with nothing but failures, checked when a delivery is given up; `never` turns it off."""
    evidence: bool = True
    """Whether that time starts only when several deliveries were given up within 24 hours, the first and the
    last at least 12 hours apart; otherwise it starts with the first failed attempt."""
    on_gone: bool = True
    """At once, when the receiver answers 410."""
    warn_at: tuple[float, ...] = ()
    """Fractions of `consecutive_attempts` at which the operator is told."""

    @property
    def failing_seconds(self) -> float | None:
        text = self.all_failing_for
        return None if text is None or text == "never" else parse_duration(text)

    def warnings(self) -> dict[int, float]:
        """The number of consecutive failures -> the fraction that it is."""
        whole = self.consecutive_attempts
        return (
            {} if whole is None else {-(-round(whole * part * 1000) // 1000): part for part in self.warn_at}
        )


class Secrets(Table, frozen=True):
    """How signing secrets are made, shown and replaced."""

    display: Literal["once", "reveal"] = "reveal"
    """`once`: only in the answer that made it; `reveal`: at any time."""
    rotation: Literal["overlap", "two_phase"] = "overlap"
    """`two_phase`: a new secret signs beside the old one, where a header has room for both, and replaces
    it where there is room for one only when it is activated or the overlap ends."""
    overlap: str = "24h"
    """How long a replaced secret goes on signing."""

    @property
    def overlap_seconds(self) -> float:
        return parse_duration(self.overlap)


class Portal(Table, frozen=True):
    """The way in for the product's customers."""

    link_lifetime: str = "24h"
    """How long a link into the portal is good for."""
    theme: dict[str, str] = msgspec.field(default_factory=dict)
    """Query parameters of the link, e.g. `primaryColorLight`."""

    @property
    def lifetime_seconds(self) -> float:
        return parse_duration(self.link_lifetime)


class EventTypeRule(Table, frozen=True):
    """One entry of the catalogue."""

    name: str
    """Such as `order.filled`."""
    description: str
    """What happened, in a sentence."""
    group: str | None = None
    """Under which heading it is listed."""
    ours: bool = False
    """Not in the product's own document; we added it."""
    schema: dict[str, Any] | None = None
    """A JSON Schema of the message's data. Its references lead to places in it."""
    example: dict[str, Any] | None = None
    """An example of the message's data."""
