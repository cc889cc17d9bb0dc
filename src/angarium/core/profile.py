"""A profile: how one product's webhooks look from outside. The values of a profile file.

Files are read and checked by `angarium.profiles`; this module says what may stand in one, and refuses
what does not fit together. Durations are written as in the settings (`30s`, `5m`).
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from angarium.core import patterns
from angarium.core import scenario as scenario_rules
from angarium.core.schedule import Schedule, parse_duration, parse_schedule

PARTS: Final = ("{id}", "{type}", "{time}", "{data}")
SIGNED_PARTS: Final = ("{id}", "{timestamp}", "{body}")


class ProfileError(ValueError):
    """Something in a profile does not fit; `where` are the keys that lead to it."""

    def __init__(self, where: tuple[str | int, ...], words: str) -> None:
        super().__init__(words)
        self.where = where
        self.words = words


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file: unknown keys are refused."""


class Management(_Part, frozen=True):
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
    lenient_content_type: bool = True
    """Whether JSON is taken whatever Content-Type says."""
    create_status: int = 201
    """The status of the answer to a new endpoint."""
    warning: str | None = None
    """A sentence in the answer that shows a secret."""
    no_response_status: int | None = None
    """The status shown in the delivery log when nothing answered; None shows none."""
    order: Literal["ascending", "descending"] = "descending"
    """The order of the delivery log unless the caller asks for another; descending is newest first."""


class Ids(_Part, frozen=True):
    """What public ids begin with."""

    message: str = "msg_"
    """The message, whose id receivers see."""
    endpoint: str = "ep_"
    """The endpoint."""
    attempt: str = "atmpt_"
    """The attempt."""


class Scheme(_Part, frozen=True):
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


class Delivery(_Part, frozen=True):
    """How attempts are made."""

    retries: str = "5s,5m,30m,2h,5h,10h,10h"
    """The delays between attempts, each counted from the failure before it."""
    jitter: tuple[float, float] = (0.0, 0.2)
    """The least and the greatest fraction added to a delay, at random."""
    timeout: str = "15s"
    """How long an attempt may take, from connecting to the last byte of the answer; at most 60s."""
    max_body: int = 2 * 1024 * 1024
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


class Disable(_Part, frozen=True):
    """When an endpoint is disabled by itself. Any success begins anew; tests and resends never count."""

    consecutive_attempts: int | None = None
    """After so many failed attempts in a row."""
    all_failing_for: str | None = "5d"
    """After so long with nothing but failures, seen when a delivery is given up; `never` counts no days."""
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


class Secrets(_Part, frozen=True):
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


class Portal(_Part, frozen=True):
    """The way in for the product's customers."""

    link_lifetime: str = "24h"
    """How long a link into the portal is good for."""
    theme: dict[str, str] = msgspec.field(default_factory=dict)
    """Query parameters of the link, e.g. `primaryColorLight`."""

    @property
    def lifetime_seconds(self) -> float:
        return parse_duration(self.link_lifetime)


class EventTypeRule(_Part, frozen=True):
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
    """A JSON Schema of the message's data."""
    example: dict[str, Any] | None = None
    """An example of the message's data."""


class Step(_Part, frozen=True):
    """One message of a scenario. Texts may hold `{names}` of the scenario's values."""

    type: str
    """One of the events."""
    after: str = "0s"
    """How long after the call the event happens."""
    when: dict[str, Any] = msgspec.field(default_factory=dict)
    """Only if these values are so: equal, one of a list, or as the comparisons of a table say, of
    `below`, `above`, `least`, `most` and `not` (see core/scenario.py)."""
    data: dict[str, Any] = msgspec.field(default_factory=dict)
    """The message's payload."""

    @property
    def after_seconds(self) -> float:
        return parse_duration(self.after)


class Counter(_Part, frozen=True):
    """A number kept for each application, such as credits: every call takes some, down to nothing.

    Its value is known by its name, and what it was before the call by that and `_before`.
    """

    name: str
    """What it counts."""
    start: int
    """Its value before the first call."""
    take: int
    """How much a call takes."""


class Scenario(_Part, frozen=True):
    """A sandbox route that makes messages as the real product would. Never served in production."""

    name: str
    """What it plays."""
    path: str
    """Below the base path, with `{names}` for its variable parts."""
    method: Literal["POST"] = "POST"
    """The HTTP method."""
    status: int = 201
    """The status of the answer."""
    defaults: dict[str, Any] = msgspec.field(default_factory=dict)
    """Values that the caller may leave out of the body."""
    required: tuple[str, ...] = ()
    """Fields that the body must have."""
    choices: dict[str, tuple[Any, ...]] = msgspec.field(default_factory=dict)
    """What a field of the body may be."""
    make: dict[str, str] = msgspec.field(default_factory=dict)
    """Texts made anew for each call, in order, e.g. `id = "ord_{random16}"`; also of `{uuid}`, `{now}` and
    the values so far."""
    counter: Counter | None = None
    """A number that calls use up."""
    response: dict[str, Any] = msgspec.field(default_factory=dict)
    """The body of the answer."""
    steps: tuple[Step, ...] = ()
    """The messages that follow."""


class Profile(_Part, frozen=True):
    """One product."""

    name: str
    """What the product is called in settings and commands."""
    title: str
    """What its customers call it."""
    summary: str = ""
    """What its events are about, in a sentence."""
    management: Management = Management()
    """The API of the product's customers."""
    ids: Ids = Ids()
    """What ids begin with."""
    envelope: dict[str, str] = msgspec.field(default_factory=dict)
    """The body: keys in their order, each one of `{id}`, `{type}`, `{time}`, `{data}`. Empty: the payload is
    the body."""
    signing: tuple[Scheme, ...] = (Scheme(family="webhook"), Scheme(family="svix"))
    """How requests are signed, in one way or several at once."""
    delivery: Delivery = Delivery()
    """Attempts."""
    disable: Disable = Disable()
    """When endpoints are disabled."""
    secrets: Secrets = Secrets()
    """Signing secrets."""
    portal: Portal = Portal()
    """Links into the portal."""
    events: tuple[EventTypeRule, ...] = ()
    """The catalogue of event types."""
    scenarios: tuple[Scenario, ...] = ()
    """Routes of the sandbox."""

    def check(self) -> None:
        """Raise ProfileError for what the types do not say."""
        if not patterns.is_event_type(self.name):
            raise ProfileError(("name",), "a name is of letters, digits, '-', '_' and '.'")
        for key, value in self.envelope.items():
            if value not in PARTS:
                raise ProfileError(("envelope", key), f"one of {', '.join(PARTS)}, not {value!r}")
        if self.envelope and "{data}" not in self.envelope.values():
            raise ProfileError(("envelope",), "no key holds {data}, so the payload would be lost")
        if not self.signing:
            raise ProfileError(("signing",), "requests must be signed in at least one way")
        for index, scheme in enumerate(self.signing):
            if (scheme.family is None) == (scheme.header is None):
                raise ProfileError(("signing", index), "either a family or a header")
            if "{signature}" not in scheme.format:
                raise ProfileError(("signing", index, "format"), "the format must hold {signature}")
            if "{body}" not in scheme.signed:
                raise ProfileError(("signing", index, "signed"), "what is signed must hold {body}")
        for where, check in (
            (("delivery", "retries"), self.delivery.schedule),
            (("delivery", "timeout"), lambda: self.delivery.timeout_seconds),
            (("disable", "all_failing_for"), lambda: self.disable.failing_seconds),
            (("secrets", "overlap"), lambda: self.secrets.overlap_seconds),
            (("portal", "link_lifetime"), lambda: self.portal.lifetime_seconds),
        ):
            try:
                check()
            except ValueError as error:
                raise ProfileError(where, str(error)) from error
        if not 0.0 < self.delivery.timeout_seconds <= 60.0:
            raise ProfileError(("delivery", "timeout"), "a timeout is more than nothing and at most 60s")
        if self.disable.consecutive_attempts is not None and self.disable.consecutive_attempts < 1:
            raise ProfileError(("disable", "consecutive_attempts"), "at least 1")
        names: set[str] = set()
        for index, event in enumerate(self.events):
            if not patterns.is_event_type(event.name) or event.name in names:
                raise ProfileError(
                    ("events", index, "name"), f"{event.name!r} is no event type, or there twice"
                )
            names.add(event.name)
        for index, scenario in enumerate(self.scenarios):
            for place, step in enumerate(scenario.steps):
                at = ("scenarios", index, "steps", place)
                if step.type not in names:
                    raise ProfileError((*at, "type"), f"{step.type!r} is no event")
                if (wrong := scenario_rules.unknown_comparison(step.when)) is not None:
                    raise ProfileError((*at, "when"), wrong)
                try:
                    step.after_seconds  # noqa: B018 (parses)
                except ValueError as error:
                    raise ProfileError((*at, "after"), str(error)) from error


def read(data: dict[str, Any]) -> Profile:
    """The profile that a file's tables amount to. Raises ProfileError."""
    try:
        profile = msgspec.convert(data, Profile)
    except msgspec.ValidationError as error:
        words, _, path = str(error).partition(" - at `$")
        raise ProfileError(_where(path.rstrip("`")), words) from error
    profile.check()
    return profile


def _where(path: str) -> tuple[str | int, ...]:
    """`.signing[1].format` as keys."""
    parts: list[str | int] = []
    for step in path.replace("[", ".[").split("."):
        if step.startswith("["):
            index = step[1:-1]
            parts.append(int(index) if index.isdigit() else index)
        elif step:
            parts.append(step)
    return tuple(parts)
