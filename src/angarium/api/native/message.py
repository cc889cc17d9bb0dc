"""`/app/{app_id}/msg`: messages. Payloads go out as the bytes that came in.

Creating messages, alone and in batches, are the hottest routes. Their handlers read the request themselves,
so that `FastRoute` can call them without the layers of FastAPI.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, TypeVar
from uuid import UUID

import msgspec
from fastapi import APIRouter, Path, Request
from msgspec import UNSET, UnsetType
from pydantic import ValidationError
from starlette.responses import Response

from angarium.api import errors
from angarium.api.answer import Out, encoded
from angarium.api.auth import AppOf, Caller, OrgAppOf, ServicesOf, application_of, caller_of, services_of
from angarium.api.body import body_of, parse_json
from angarium.api.field import (
    APPLICATION,
    MESSAGE,
    NOW,
    PAYLOAD,
    EventTypeName,
    MessageId,
    Time,
    says,
    schema_ref,
    wire_time,
)
from angarium.api.listing import Page, Paging, described, page, paged, read_filter, read_flag, read_window
from angarium.api.native.application import ApplicationIn
from angarium.api.native.message_in import BatchIn, MessageIn, draft_of, read_batch, read_item, read_message
from angarium.api.query import Parameters
from angarium.api.route import API_PATH, DirectRoute, WireRoute, described_by, key_of
from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.errors import AngariumError, Invalid, MessageLimitReached, NotFound
from angarium.core.nouns import Message
from angarium.core.patterns import is_event_type
from angarium.service.intake import Accepted, Draft
from angarium.service.services import Services

router = APIRouter(prefix=API_PATH, route_class=WireRoute, tags=["Message"])

MAX_BATCH: Final = 1000
HIDDEN: Final = msgspec.Raw(b"{}")
EXPIRED: Final = msgspec.Raw(b'{"expired":true}')
MessageRef = Annotated[
    str, Path(alias="msg_id", description="Id or eventId of the message.", examples=[MESSAGE])
]
_DESCRIBED: Final = {
    "parameters": [
        {
            "name": "app_id",
            "in": "path",
            "required": True,
            "schema": {"type": "string", "examples": [APPLICATION]},
            "description": "Id or uid of the application.",
        },
        *described("with_content")["parameters"],
    ],
    "security": [{"HTTPBearer": []}],
}
_PARAMETERS: Final = Parameters(frozenset({"with_content"}))
_ANY_JSON: Final = msgspec.json.Decoder(msgspec.Raw)


class MessageOut(Out, kw_only=True):
    """One event, immutable."""

    id: MessageId
    event_id: Annotated[str | None, says("Your own id of the message.", "evt_1")]
    event_type: EventTypeName
    channels: Annotated[
        Sequence[str] | None, says("Labels by which endpoints choose messages.", ["warehouse"])
    ]
    timestamp: Annotated[Time, says("When it was accepted.", NOW)]
    tags: Annotated[
        Sequence[str] | UnsetType, says("Labels by which lists can be searched.", ["eu-west"])
    ] = UNSET
    deliver_at: Annotated[Time | UnsetType, says("When the first attempt is due.", NOW)] = UNSET
    payload: Annotated[
        msgspec.Raw,
        says(
            'The payload; `{}` if it was not asked for, `{"expired": true}` if it was deleted. A raw payload '
            "that is not a JSON object is shown as `rawPayload`.",
            PAYLOAD,
            type="object",
        ),
    ]


M = TypeVar("M", bound=MessageOut)


class BatchMessage(MessageOut, kw_only=True):
    """A message of a batch that was accepted."""

    status: Annotated[Literal[202], says("The status that the message would get if it were sent alone.", 202)]


class BatchRefusal(Out):
    """The error that the message would get if it were sent alone."""

    status: Annotated[int, says("Its status.", 409)]
    code: Annotated[str, says("Its code.", "conflict")]
    detail: Annotated[
        str | list[dict[str, Any]],
        says("A message, or the errors of its fields.", "A message with that eventId already exists."),
    ]
    limit: Annotated[int | UnsetType, says("Of `message_limit_reached`: the limit.", 1000)] = UNSET
    used: Annotated[int | UnsetType, says("Messages that were accepted in this month.", 1000)] = UNSET
    ends_at: Annotated[Time | UnsetType, says("When the month ends.", "2026-12-01T00:00:00Z")] = UNSET


class BatchOut(Out):
    """One result for each message of a batch."""

    results: Annotated[
        list[Any],
        says(
            "In the order of the messages.",
            items={"anyOf": [{"$ref": schema_ref("BatchMessage")}, {"$ref": schema_ref("BatchRefusal")}]},
        ),
    ]


def message_id(message: Message) -> str:
    return ids.text(ids.MESSAGE, message.id)


def message_as(kind: type[M], message: Message, payload: msgspec.Raw, **more: Any) -> M:
    """A message on the wire. Null as at Svix, which leaves out only tags and deliverAt."""
    return kind(
        id=ids.text(ids.MESSAGE, message.id),
        event_id=message.event_id,
        event_type=message.event_type,
        channels=message.channels or None,
        timestamp=wire_time(message.created_at),
        tags=message.tags or UNSET,
        payload=payload,
        **more,
    )


def message_out(message: Message, *, with_content: bool) -> MessageOut:
    """A stored message. A payload that is not a JSON object (sent raw) is shown inside of one."""
    return message_as(MessageOut, message, payload_of(message) if with_content else HIDDEN)


def payload_of(message: Message) -> msgspec.Raw:
    """The payload as JSON, whatever was sent."""
    if message.payload is None:
        return EXPIRED
    if message.payload[:1] == b"{":
        try:
            return _ANY_JSON.decode(message.payload)
        except (ValueError, RecursionError):
            pass
    return msgspec.Raw(msgspec.json.encode({"rawPayload": message.payload.decode(errors="replace")}))


def accepted_as(kind: type[M], accepted: Accepted, draft: Draft, *, with_content: bool, **more: Any) -> M:
    """The answer to message create."""
    message, payload = accepted.message, HIDDEN
    if with_content:
        # a payload that was seen to be JSON on its way in is not looked into again
        known = None if draft.verbatim or accepted.replayed else message.payload
        payload = payload_of(message) if known is None else msgspec.Raw(known)
    if draft.deliver_at is not None and not accepted.replayed:
        more["deliver_at"] = wire_time(datetime_at(draft.deliver_at))
    return message_as(kind, message, payload, **more)


async def create(request: Request) -> Response:
    """Create a message.

    The message is sent to every endpoint of the application that selects it. The response comes after the
    message and all its deliveries are stored. The payload is sent byte for byte.
    """
    caller = await caller_of(request)
    caller.require_organization()
    services = services_of(request)
    app = _app_ref(request)
    with_content = _with_content(request)
    message = read_message(await body_of(request))
    now = services.clock.now()
    draft = draft_of(message, org_id=caller.org_id, app=app, now=now, key=key_of(request))
    if message.creates_application:
        await _ensure_application(services, caller, app, message)
    accepted = await services.intake.accept(draft)
    return encoded(accepted_as(MessageOut, accepted, draft, with_content=with_content), 202)


async def create_batch(request: Request) -> Response:
    """Create messages in a batch.

    Up to 1,000 messages, stored in one commit. Each has its own result, in order: one that is refused does
    not prevent the others. With an idempotency key, a repeated request repeats the results.
    """
    caller = await caller_of(request)
    caller.require_organization()
    services = services_of(request)
    app = _app_ref(request)
    with_content = _with_content(request)
    items = read_batch(await body_of(request)).messages
    if not 1 <= len(items) <= MAX_BATCH:
        raise Invalid.field("messages", f"Must have 1 to {MAX_BATCH} messages.")
    now = services.clock.now()
    key = key_of(request)
    results: list[BatchMessage | BatchRefusal | None] = [None] * len(items)
    read: list[tuple[int, Draft]] = []
    for index, item in enumerate(items):
        try:
            message = read_item(item, index)
            draft = draft_of(
                message, "messages", index, org_id=caller.org_id, app=app, now=now, key=_item_key(key, index)
            )
            if message.creates_application:
                await _ensure_application(services, caller, app, message, "messages", index)
            read.append((index, draft))
        except Invalid as error:
            results[index] = _refusal(error)
    if not read:
        await application_of(services, caller, app)
    accepted = await services.intake.accept_many([draft for _, draft in read])
    if any(isinstance(one, NotFound) for one in accepted):
        raise NotFound()  # there is no such application, so this is true of all
    for (index, draft), one in zip(read, accepted, strict=True):
        if isinstance(one, AngariumError):
            results[index] = _refusal(one)
        else:
            results[index] = accepted_as(BatchMessage, one, draft, with_content=with_content, status=202)
    return encoded(BatchOut(results=results), 202)


def _app_ref(request: Request) -> str:
    ref: str = request.path_params["app_id"]
    if not is_event_type(ref):  # the same characters; anything else names nothing
        raise NotFound()
    return ref


def _with_content(request: Request) -> bool:
    query = request.scope["query_string"]
    if query == b"with_content=false":  # what SDKs send, without the cost of parsing it
        return False
    if not query:
        return True
    _PARAMETERS.read(request)
    return read_flag(request, "with_content", default=True)


def _item_key(key: bytes | None, index: int) -> bytes | None:
    return None if key is None else hashlib.sha256(key + index.to_bytes(4, "big")).digest()


def _refusal(error: AngariumError) -> BatchRefusal:
    detail: Any = error.detail
    if isinstance(error, Invalid):
        detail = errors.body_of(error)["detail"]
    refusal = BatchRefusal(status=errors.status_of(error), code=error.wire_code, detail=detail)
    if isinstance(error, MessageLimitReached):
        return msgspec.structs.replace(refusal, limit=error.limit, used=error.used, ends_at=error.said_end)
    return refusal


async def _ensure_application(
    services: Services, caller: Caller, app: str, message: MessageIn, *at: str | int
) -> None:
    """Make the application when it is missing; its uid must then be the one in the path. Raises Invalid."""
    place = ("body", *at, "application")
    try:
        body = ApplicationIn.model_validate(parse_json(bytes(message.application or b"")))
    except ValidationError as error:
        raise Invalid(*errors.faults_of(error.errors(), *place)) from error
    try:
        await services.application.find(caller.org_id, app)
        return
    except NotFound:
        pass
    body.check_uid(app, *place)
    await services.application.ensure(caller.org_id, app, body.draft())


HANDLERS: Final = {"/msg": create, "/msg/batch": create_batch}
"""By what follows the application's id in the path."""

for _tail, _name, _handler, _types in (
    ("/msg", "create", create, (MessageIn, MessageOut)),
    ("/msg/batch", "create-batch", create_batch, (BatchIn, BatchOut, BatchMessage, BatchRefusal)),
):
    router.add_api_route(
        f"/app/{{app_id}}{_tail}",
        described_by(_handler, *_types),
        methods=["POST"],
        operation_id=f"v1.message.{_name}",
        status_code=202,
        openapi_extra=_DESCRIBED,
        route_class_override=DirectRoute,
    )


@router.get(
    "/app/{app_id}/msg",
    operation_id="v1.message.list",
    openapi_extra=described("channel", "tag", "event_types", "before", "after", "with_content"),
)
async def list_messages(
    request: Request,
    services: ServicesOf,
    application: AppOf,
    paging: Annotated[Paging[UUID], paged(ids.MESSAGE)],
) -> Page[MessageOut]:
    """List messages.

    The messages of an application, newest first; by default those of the last 90 days.
    """
    window, wanted = read_window(request, paging)
    with_content = read_flag(request, "with_content", default=True)
    rows = await services.message.page(
        application.id, window, read_filter(request), with_payload=with_content
    )
    return page(rows, wanted, message_id, lambda row: message_out(row, with_content=with_content))


@router.get(
    "/app/{app_id}/msg/{msg_id}", operation_id="v1.message.get", openapi_extra=described("with_content")
)
async def get_message(
    request: Request, services: ServicesOf, application: AppOf, msg_id: MessageRef
) -> MessageOut:
    """Get a message.

    With its payload, byte for byte as it was sent.
    """
    with_content = read_flag(request, "with_content", default=True)
    message = await services.message.get(application.id, msg_id, with_payload=with_content)
    return message_out(message, with_content=with_content)


@router.delete(
    "/app/{app_id}/msg/{msg_id}/content", operation_id="v1.message.expunge-content", status_code=204
)
async def expunge_message(services: ServicesOf, application: OrgAppOf, msg_id: MessageRef) -> None:
    """Delete the payload of a message.

    Permanent. Its pending deliveries are canceled; the message and its attempts stay.
    """
    await services.message.expunge(application.id, msg_id)
