"""Reads the body of message create: one pass of msgspec, and the rules of each field.

The payload keeps the caller's bytes: it is validated as JSON, cut out of the body and not parsed. The rules
that clients can check before sending are in `angarium.message_form`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from angarium import json_bounds
from angarium.api.field import HIDDEN, NOW, PAYLOAD, RARE, Time, says, schema_ref
from angarium.core import timestamp
from angarium.core.envelope import check_content_type
from angarium.core.errors import FaultType, FieldError, Invalid
from angarium.message_form import MAX_CHANNEL, MAX_CHANNELS, MAX_NAME, MAX_TAG, MAX_TAGS, check_fields
from angarium.message_form import check_text as check_encoding
from angarium.service.intake import Draft

MAX_RETENTION_DAYS: Final = 90
MAX_BATCH_VALUES: Final = 10 * json_bounds.MAX_VALUES
DAY: Final = 86400.0
HOUR: Final = 3600.0
SOONEST: Final = 60.0  # seconds ahead of now that deliverAt may be
LATEST: Final = DAY
GRACE: Final = 10.0  # for the way to us and for clocks that differ

T = TypeVar("T")

_PLACE: Final = re.compile(r"^(.*?) - at `\$(.*)`$", re.DOTALL)
_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
_MISSING: Final = re.compile(r"Object missing required field `(\w+)`")


_WORD: Final = msgspec.Meta(
    extra_json_schema={"minLength": 1, "maxLength": MAX_NAME, "pattern": r"^[a-zA-Z0-9\-_.]+$"}
)
_Channel = Annotated[
    str,
    msgspec.Meta(
        extra_json_schema={"minLength": 1, "maxLength": MAX_CHANNEL, "pattern": r"^[a-zA-Z0-9\-_.:+]+$"}
    ),
]
_Tag = Annotated[
    str,
    msgspec.Meta(
        extra_json_schema={"minLength": 1, "maxLength": MAX_TAG, "pattern": r"^[a-zA-Z0-9\-_./\\#]+$"}
    ),
]


class MessageIn(msgspec.Struct, rename="camel", gc=False):
    """A message to create.

    What its fields say of lengths and patterns is for the document; `draft_of` has the rules.
    """

    event_type: Annotated[str, _WORD, says("Name of the event type.", "order.filled")]
    payload: Annotated[
        msgspec.Raw | UnsetType,
        says(
            "A JSON object, sent byte for byte. `data` is accepted as another name.",
            PAYLOAD,
            **{"type": "object", "x-required": True},
        ),
    ] = UNSET
    data: Annotated[msgspec.Raw | UnsetType, HIDDEN] = UNSET
    event_id: Annotated[str, _WORD, says("Your own id, unique in the application.", "evt_1")] | None = None
    channels: (
        Annotated[
            list[_Channel],
            says(
                "Labels by which endpoints choose messages.",
                ["warehouse"],
                minItems=1,
                maxItems=MAX_CHANNELS,
            ),
        ]
        | None
    ) = None
    tags: (
        Annotated[
            list[_Tag],
            says("Labels by which lists can be searched.", ["eu-west"], maxItems=MAX_TAGS),
        ]
        | None
    ) = None
    payload_retention_period: (
        Annotated[
            int,
            says(
                "Days for which the payload is kept.", 30, minimum=1, maximum=MAX_RETENTION_DAYS, default=90
            ),
            RARE,
        ]
        | None
    ) = None
    payload_retention_hours: (
        Annotated[
            int,
            says(
                "Hours for which the payload is kept, instead of days.",
                12,
                minimum=1,
                maximum=MAX_RETENTION_DAYS * 24,
            ),
            RARE,
        ]
        | None
    ) = None
    transformations_params: (
        Annotated[
            dict[str, Any],
            says(
                "`rawPayload`, a string, is sent verbatim in place of the payload. `headers` may hold "
                "`content-type`, which replaces `application/json`.",
                {"rawPayload": "<order/>", "headers": {"content-type": "application/xml"}},
            ),
            RARE,
        ]
        | None
    ) = None
    application: Annotated[
        msgspec.Raw | UnsetType,
        says(
            "Creates the application if it does not exist; its uid must be the one in the path.",
            anyOf=[{"$ref": schema_ref("ApplicationIn")}, {"type": "null"}],
        ),
        RARE,
    ] = UNSET
    deliver_at: (
        Annotated[
            Time,
            says("When to make the first attempt: one minute to 24 hours ahead. Default: now.", NOW),
            RARE,
        ]
        | None
    ) = None

    @property
    def creates_application(self) -> bool:
        """Whether the application is to be made when it is missing."""
        return bytes(self.application or b"") not in (b"", b"null")


class BatchIn(msgspec.Struct, gc=False):
    """Several messages. Each is read on its own, so that one bad one does not spoil the others."""

    messages: Annotated[
        list[Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"$ref": schema_ref("MessageIn")})]],
        says("1 to 1,000 messages.", minItems=1, maxItems=1000),
    ]


_MESSAGE: Final[msgspec.json.Decoder[MessageIn]] = msgspec.json.Decoder(MessageIn)
_BATCH: Final[msgspec.json.Decoder[BatchIn]] = msgspec.json.Decoder(BatchIn)


def read_message(body: bytes) -> MessageIn:
    """Raises Invalid."""
    check_text(body)
    return _decode(_MESSAGE, body)


def read_item(item: msgspec.Raw, index: int) -> MessageIn:
    """One message of a batch whose text was checked. Raises Invalid."""
    return _decode(_MESSAGE, item, "messages", index)


def read_batch(body: bytes) -> BatchIn:
    """Raises Invalid."""
    check_text(body)
    # the messages are only told apart here, which makes nothing of what is in them
    return _decode(_BATCH, body, values=MAX_BATCH_VALUES)


def check_text(body: bytes) -> None:
    """Raises Invalid for text that is not UTF-8, or that has half of a surrogate pair."""
    try:
        check_encoding(body)
    except ValueError as error:
        broken = isinstance(error.__cause__, UnicodeDecodeError)
        kind: FaultType = "value_error.jsondecode" if broken else "value_error"
        raise Invalid(FieldError(("body",), str(error), kind)) from error


def _decode(
    decoder: msgspec.json.Decoder[T],
    body: bytes | msgspec.Raw,
    *at: str | int,
    values: int = json_bounds.MAX_VALUES,
) -> T:
    try:
        json_bounds.check(bytes(body), values=values)
    except ValueError as error:
        raise Invalid(FieldError(("body", *at), str(error))) from error
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Invalid(_fault(str(error), at)) from error
    except RecursionError as error:
        raise Invalid(
            FieldError(("body", *at), "The body is nested too deeply.", "value_error.jsondecode")
        ) from error
    except ValueError as error:
        raise Invalid(FieldError(("body", *at), str(error), "value_error.jsondecode")) from error


def _fault(words: str, at: tuple[str | int, ...]) -> FieldError:
    """msgspec says where in its message: "Expected `str`, got `int` - at `$.channels[0]`"."""
    place: list[str | int] = []
    if (found := _PLACE.match(words)) is not None:
        words = found[1]
        place = [
            name or (int(index) if index.isdigit() else index) for name, index in _STEP.findall(found[2])
        ]
    if (missing := _MISSING.match(words)) is not None:
        return FieldError(("body", *at, *place, missing[1]), "field required", "value_error.missing")
    kind: FaultType = "type_error" if words.startswith("Expected `") else "value_error"
    return FieldError(("body", *at, *place), words, kind)


def draft_of(
    message: MessageIn, *at: str | int, org_id: str, app: str, now: float, key: bytes | None
) -> Draft:
    """The draft that the fields amount to. Raises Invalid with every fault at once."""
    faults: list[FieldError] = []

    def refuse(field: str, msg: str) -> None:
        faults.append(FieldError(("body", *at, field), msg))

    channels, tags = message.channels, message.tags
    check_fields(message.event_type, message.event_id, channels, tags, refuse)
    payload = bytes(message.payload or message.data or b"")
    if not payload:
        faults.append(FieldError(("body", *at, "payload"), "field required", "value_error.missing"))
    elif payload[0] != 0x7B:
        refuse("payload", "Payload must be an object.")
    elif message.data and message.payload and bytes(message.data) != payload:
        refuse("data", "data differs from payload. Give only one of them.")
    raw = content_type = None
    if message.transformations_params:
        raw, content_type = _raw_payload(message.transformations_params, at, faults)
    retention = _retention(message, refuse)
    deliver_at = _deliver_at(message, now, refuse)
    if faults:
        raise Invalid(*faults)
    return Draft(
        org_id=org_id,
        app=app,
        event_type=message.event_type,
        payload=payload if raw is None else raw.encode(),
        event_id=message.event_id,
        channels=tuple(dict.fromkeys(channels)) if channels else (),
        tags=tuple(dict.fromkeys(tags)) if tags else (),
        retention=retention,
        idempotency_key=key,
        deliver_at=deliver_at,
        verbatim=raw is not None,
        content_type=content_type,
    )


def _raw_payload(
    params: dict[str, Any], at: tuple[str | int, ...], faults: list[FieldError]
) -> tuple[str | None, str | None]:
    """The raw payload and the content type of the requests. Other parameters are refused, for there are no
    transformations that they could reach."""
    place = ("body", *at, "transformationsParams")
    unknown = params.keys() - {"rawPayload", "headers"}
    faults += [
        FieldError((*place, name), "Only rawPayload and headers are supported.") for name in sorted(unknown)
    ]
    raw, headers = params.get("rawPayload"), params.get("headers")
    if raw is not None and not isinstance(raw, str):
        faults.append(FieldError(place, "rawPayload must be a string."))
    content_type = None
    if headers is not None and not isinstance(headers, dict):
        faults.append(FieldError((*place, "headers"), "headers must be an object."))
    for name, value in headers.items() if isinstance(headers, dict) else ():
        if name.lower() != "content-type":
            words = "Only content-type can be chosen here. Other headers belong to the endpoint."
            faults.append(FieldError((*place, "headers", name), words))
        elif not isinstance(value, str):
            faults.append(FieldError((*place, "headers", name), "A header value must be a string."))
        else:
            try:
                check_content_type(value)
            except ValueError as error:
                faults.append(FieldError((*place, "headers", name), str(error)))
            content_type = value
    return (raw if isinstance(raw, str) else None), content_type


def _retention(message: MessageIn, refuse: Any) -> float:
    days, hours = message.payload_retention_period, message.payload_retention_hours
    if days is not None and hours is not None:
        refuse("payloadRetentionHours", "Give payloadRetentionPeriod or payloadRetentionHours, not both.")
    elif days is not None and not 1 <= days <= MAX_RETENTION_DAYS:
        refuse("payloadRetentionPeriod", f"Payloads can be kept for 1 to {MAX_RETENTION_DAYS} days.")
    elif hours is not None and not 1 <= hours <= MAX_RETENTION_DAYS * 24:
        refuse("payloadRetentionHours", f"Payloads can be kept for 1 to {MAX_RETENTION_DAYS * 24} hours.")
    elif hours is not None:
        return hours * HOUR
    elif days is not None:
        return days * DAY
    return MAX_RETENTION_DAYS * DAY


def _deliver_at(message: MessageIn, now: float, refuse: Any) -> float | None:
    if message.deliver_at is None:
        return None
    try:
        at = timestamp.parse(message.deliver_at).timestamp()
    except ValueError as error:
        refuse("deliverAt", f"deliverAt {error}.")
        return None
    if not now + SOONEST - GRACE <= at <= now + LATEST + GRACE:
        refuse("deliverAt", "deliverAt must be at least one minute and at most 24 hours ahead.")
    return at
