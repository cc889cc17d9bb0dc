"""`/app/{app_id}/msg`: messages. Payloads go out as the bytes that came in.

Creating messages, alone and in batches, are the hottest routes: `FastRoute` calls their handlers directly.
The routes of FastAPI only describe them in the OpenAPI document, and are never reached.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter, Path, Request, Response
from pydantic import ValidationError

from angarium.api import errors
from angarium.api.auth import (
    AppOf,
    AppRef,
    Caller,
    OrgAppOf,
    OrgCaller,
    ServicesOf,
    application_of,
    caller_of,
    services_of,
)
from angarium.api.body import body_of, parse_json
from angarium.api.field import wire_time
from angarium.api.listing import (
    JsonBytes,
    Paging,
    described,
    json_response,
    page,
    paged,
    read_filter,
    read_flag,
    read_window,
)
from angarium.api.native import message_model as model
from angarium.api.native.application import ApplicationIn
from angarium.api.native.message_in import MessageIn, draft_of, read_batch, read_item, read_message
from angarium.api.query import Parameters
from angarium.api.route import WireRoute, key_of
from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.errors import AngariumError, Invalid, NotFound
from angarium.core.nouns import Message
from angarium.core.patterns import is_event_type
from angarium.service.intake import Accepted, Draft
from angarium.service.services import Services

HIDDEN: Final = msgspec.Raw(b"{}")
EXPIRED: Final = msgspec.Raw(b'{"expired":true}')
_ANY_JSON: Final = msgspec.json.Decoder(msgspec.Raw)


def message_id(message: Message) -> str:
    return ids.text(ids.MESSAGE, message.id)


def head_of(message: Message) -> dict[str, Any]:
    """The fields of a message but for its payload. Null as at Svix, which always writes the first five."""
    out: dict[str, Any] = {
        "id": ids.text(ids.MESSAGE, message.id),
        "eventId": message.event_id,
        "eventType": message.event_type,
        "channels": message.channels or None,
        "timestamp": wire_time(message.created_at),
    }
    if message.tags:
        out["tags"] = message.tags
    return out


def message_out(message: Message, *, with_content: bool) -> dict[str, Any]:
    """A stored message. A payload that is not a JSON object (sent raw) is shown inside of one."""
    return {**head_of(message), "payload": _payload(message) if with_content else HIDDEN}


def _payload(message: Message) -> msgspec.Raw | dict[str, str]:
    if message.payload is None:
        return EXPIRED
    if message.payload[:1] == b"{":
        try:
            return _ANY_JSON.decode(message.payload)
        except (ValueError, RecursionError):
            pass
    return {"rawPayload": message.payload.decode(errors="replace")}


def accepted_out(message: Message, *, with_content: bool, checked: bool, **more: str) -> bytes:
    """The answer to message create, put together around the payload's bytes.

    `checked`: the payload was seen to be JSON on its way in, and is not looked into again.
    """
    head = msgspec.json.encode(head_of(message) | more)
    if not with_content:
        return b'%b,"payload":{}}' % head[:-1]
    payload = message.payload if checked else None
    return b'%b,"payload":%b}' % (head[:-1], payload or msgspec.json.encode(_payload(message)))


MAX_BATCH: Final = 1000
PATH: Final = "/app/{app_id}/msg"
_PARAMETERS: Final = Parameters(frozenset({"with_content"}))
BATCH_PATH: Final = "/app/{app_id}/msg/batch"


async def create(request: Request) -> Response:
    """POST /app/{app_id}/msg"""
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
    return JsonBytes(answer_of(accepted, message, draft, with_content), 202)


async def create_batch(request: Request) -> Response:
    """POST /app/{app_id}/msg/batch"""
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
    results: list[Any] = [None] * len(items)
    read: list[tuple[int, MessageIn, Draft]] = []
    for index, item in enumerate(items):
        try:
            message = read_item(item, index)
            draft = draft_of(
                message, "messages", index, org_id=caller.org_id, app=app, now=now, key=_item_key(key, index)
            )
            if message.creates_application:
                await _ensure_application(services, caller, app, message, "messages", index)
            read.append((index, message, draft))
        except Invalid as error:
            results[index] = _refusal(error)
    if not read:
        await application_of(services, caller, app)
    accepted = await services.intake.accept_many([draft for _, _, draft in read])
    if any(isinstance(one, NotFound) for one in accepted):
        raise NotFound()  # there is no such application, so this is true of all
    for (index, message, draft), one in zip(read, accepted, strict=True):
        if isinstance(one, AngariumError):
            results[index] = _refusal(one)
        else:
            results[index] = msgspec.Raw(b'{"status":202,' + answer_of(one, message, draft, with_content)[1:])
    return json_response({"results": results}, 202)


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


def answer_of(accepted: Accepted, message: MessageIn, draft: Draft, with_content: bool) -> bytes:
    """The body of the answer to one message."""
    if accepted.replayed:
        return accepted_out(accepted.message, with_content=with_content, checked=False)
    more = {}
    if draft.deliver_at is not None:
        more["deliverAt"] = wire_time(datetime_at(draft.deliver_at))
    checked = message.transformations_params is None
    return accepted_out(accepted.message, with_content=with_content, checked=checked, **more)


def _refusal(error: AngariumError) -> dict[str, Any]:
    detail: Any = error.detail
    if isinstance(error, Invalid):
        detail = errors.body_of(error)["detail"]
    return {"status": errors.status_of(error), "code": error.wire_code, "detail": detail}


async def _ensure_application(
    services: Services, caller: Caller, app: str, message: MessageIn, *at: str | int
) -> None:
    """Make the application when it is missing; its uid must then be the one in the path. Raises Invalid."""
    place = ("body", *at, "application")
    try:
        body = ApplicationIn.model_validate(parse_json(bytes(message.application)))
    except ValidationError as error:
        raise Invalid(*errors.faults_of(error.errors(), *place)) from error
    try:
        await services.application.find(caller.org_id, app)
        return
    except NotFound:
        pass
    body.check_uid(app, *place)
    await services.application.ensure(caller.org_id, app, body.draft())


# by what follows the application's id in the path
HANDLERS: Final = {PATH.partition("}")[2]: create, BATCH_PATH.partition("}")[2]: create_batch}

router = APIRouter(route_class=WireRoute, tags=["Message"])
MessageRef = Annotated[str, Path(alias="msg_id", description="Id or eventId of the message.")]


@router.post(
    PATH,
    operation_id="v1.message.create",
    status_code=202,
    response_model=model.MessageOut,
    openapi_extra=described("with_content"),
)
async def _describes_create(app_id: AppRef, body: model.MessageIn, caller: OrgCaller) -> None:
    """Send a message to every endpoint of the application that wants it.

    The response comes after the message and all its deliveries are stored. The payload is sent byte for byte.
    """


@router.post(
    BATCH_PATH,
    operation_id="v1.message.create-batch",
    status_code=202,
    response_model=model.BatchOut,
    openapi_extra=described("with_content"),
)
async def _describes_create_batch(app_id: AppRef, body: model.BatchIn, caller: OrgCaller) -> None:
    """Send up to 1,000 messages in one request. Each has its own result, in order."""


@router.get(
    "/app/{app_id}/msg",
    operation_id="v1.message.list",
    response_model=model.ListPage[model.MessageOut],
    openapi_extra=described("channel", "tag", "event_types", "before", "after", "with_content"),
)
async def list_messages(
    request: Request,
    services: ServicesOf,
    application: AppOf,
    paging: Annotated[Paging[UUID], paged(ids.MESSAGE)],
) -> Response:
    """The messages of an application, newest first; by default those of the last 90 days."""
    window, wanted = read_window(request, paging)
    with_content = read_flag(request, "with_content", default=True)
    rows = await services.message.page(
        application.id, window, read_filter(request), with_payload=with_content
    )
    return json_response(
        page(rows, wanted, message_id, lambda row: message_out(row, with_content=with_content))
    )


@router.get(
    "/app/{app_id}/msg/{msg_id}",
    operation_id="v1.message.get",
    response_model=model.MessageOut,
    openapi_extra=described("with_content"),
)
async def get_message(
    request: Request, services: ServicesOf, application: AppOf, msg_id: MessageRef
) -> Response:
    """One message."""
    with_content = read_flag(request, "with_content", default=True)
    message = await services.message.get(application.id, msg_id, with_payload=with_content)
    return json_response(message_out(message, with_content=with_content))


@router.delete(
    "/app/{app_id}/msg/{msg_id}/content", operation_id="v1.message.expunge-content", status_code=204
)
async def expunge_message(services: ServicesOf, application: OrgAppOf, msg_id: MessageRef) -> Response:
    """Delete the payload of a message permanently. Its pending deliveries are canceled."""
    await services.message.expunge(application.id, msg_id)
    return Response(status_code=204)
