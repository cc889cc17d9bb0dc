"""Page that sends a test message to one endpoint and shows the result."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from angarium import json_bounds
from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.claims import Capability
from angarium.core.errors import BadRequest, BodyTooLarge, NotFound
from angarium.core.nouns import AttemptStatus, Endpoint, EventType
from angarium.portal.customer.endpoint import found, render
from angarium.portal.customer.endpoint_form import matching
from angarium.portal.customer.event_type import groups, visible
from angarium.portal.kit.form import Form
from angarium.portal.kit.route import action, page
from angarium.portal.kit.text import t
from angarium.portal.kit.visit import Visit
from angarium.portal.kit.words import pretty
from angarium.service.event_type import example_of, misfit
from angarium.service.intake import Draft
from angarium.service.log import MessageDetail

_PLACE: Final = re.compile(r" \(byte (\d+)\)$")


async def show(visit: Visit) -> Response:
    """The form with the example of `type`; with `message`, the result of that test."""
    endpoint = await found(visit)
    query = visit.request.query_params
    detail = await _sent(visit, query["message"]) if query.get("message") else None
    if detail is not None and visit.is_partial:
        return visit.render("customer/endpoint_test_result.html", **_result(visit, endpoint, detail))
    types = await _types(visit)
    wanted = detail.message.event_type if detail else query.get("type", "")
    chosen = _chosen(types, endpoint, wanted)
    if detail is not None and detail.message.payload is not None and not visit.product.profile.envelope:
        text = pretty(detail.message.payload)
    else:
        text = _example(chosen)
    return await _shown(visit, endpoint, types, chosen, text, detail=detail)


async def send(visit: Visit, posted: Form) -> Response:
    """Sends the test if its payload is valid JSON and fits the schema, or the user insists."""
    endpoint = await found(visit)
    types = await _types(visit)
    name, text = posted.text("type"), posted.raw("payload")
    chosen = next((one for one in types if one.name == name), None)
    fault, unfit = _fault(chosen, text, anyway=posted.has("anyway"))
    if fault is None:
        try:
            visit.services.url_check.admit_test(visit.app_id)
            accepted = await visit.services.intake.accept(
                Draft(
                    org_id=visit.application.org_id,
                    app=ids.text(ids.APPLICATION, visit.app_id),
                    event_type=name,
                    payload=msgspec.json.format(text.encode(), indent=-1),
                    endpoint_id=endpoint.id,
                )
            )
        except (BadRequest, BodyTooLarge) as error:
            fault = error.detail
        else:
            message = visit.message_ref(accepted.message.id)
            return visit.go(
                visit.path("endpoints", visit.endpoint_ref(endpoint.id), "test", message=message, done="sent")
            )
    return await _shown(visit, endpoint, types, chosen, text, status=422, fault=fault, unfit=unfit)


async def _types(visit: Visit) -> list[EventType]:
    """The event types to choose from; without a catalogue a generic test type."""
    now = datetime_at(visit.now)
    schemas = {"1": {"examples": [{"test": True}]}}
    test = EventType(
        visit.claims.org_id, "webhook.test", t("test.generic"), schemas, False, False, (), None, now, now
    )
    return await visible(visit) or [test]


def _fault(event_type: EventType | None, text: str, *, anyway: bool) -> tuple[str | None, bool]:
    """The error in a test, and whether it is only a schema mismatch."""
    if event_type is None:
        return t("test.fault.type"), False
    try:
        json_bounds.check(text.encode())
    except ValueError as error:
        return str(error), False
    try:
        payload = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        return t("test.fault.json", reason=_json_words(str(error), text)), False
    if not isinstance(payload, dict):
        return t("test.fault.object"), False
    wrong = None if anyway else misfit(event_type, payload)
    if wrong:
        return t("test.fault.schema", type=event_type.name, reason=wrong), True
    return None, False


def _json_words(said: str, text: str) -> str:
    """The parser's message, with a line number instead of a byte offset."""
    said = said.removeprefix("JSON is malformed: ").replace(
        "Input data was truncated", t("test.fault.json_end")
    )
    place = _PLACE.search(said)
    if place is None:
        return said
    line = text.encode()[: int(place[1])].count(b"\n") + 1
    return t("test.fault.json_line", reason=said[: place.start()], number=line)


def _chosen(types: list[EventType], endpoint: Endpoint, name: str) -> EventType | None:
    """The requested type, else the first with an example that the endpoint is subscribed to."""
    likely = sorted(matching(types, endpoint.event_types), key=lambda one: not example_of(one))
    return next((one for one in types if one.name == name), None) or next(iter([*likely, *types]), None)


def _example(event_type: EventType | None) -> str:
    example = example_of(event_type) if event_type else None
    return pretty(msgspec.json.encode({"test": True} if example is None else example))


async def _sent(visit: Visit, ref: str) -> MessageDetail | None:
    try:
        known = visit.native_message(ref)
        return await visit.services.log.message(visit.claims.org_id, visit.app_id, known)
    except NotFound:
        return None


def _result(visit: Visit, endpoint: Endpoint, detail: MessageDetail) -> dict[str, Any]:
    attempts = [one for one in detail.attempts if one.endpoint_id == endpoint.id]
    line = next((one.line for one in detail.deliveries if one.line.endpoint.id == endpoint.id), None)
    message = visit.message_ref(detail.message.id)
    ref = visit.endpoint_ref(endpoint.id)
    return {
        "attempt": attempts[0] if attempts else None,
        "delivered": bool(attempts) and attempts[0].status is AttemptStatus.SUCCESS,
        "has_delivery": line is not None,
        "event_type": detail.message.event_type,
        "message_path": visit.path("messages", message),
        "here": visit.path("endpoints", ref, "test", message=message),
    }


async def _shown(
    visit: Visit,
    endpoint: Endpoint,
    types: list[EventType],
    chosen: EventType | None,
    text: str,
    *,
    status: int = 200,
    fault: str | None = None,
    unfit: bool = False,
    detail: MessageDetail | None = None,
) -> Response:
    return await render(
        visit,
        "customer/endpoint_test.html",
        endpoint,
        "test",
        status=status,
        groups=groups(types),
        chosen=chosen,
        text=text,
        fault=fault,
        unfit=unfit,
        sent=detail is not None,
        **({} if detail is None else _result(visit, endpoint, detail)),
    )


def routes() -> list[Route]:
    path = "/endpoints/{endpoint}/test"
    return [
        page(path, show, Capability.CREATE_ATTEMPTS),
        action(path, send, Capability.CREATE_ATTEMPTS),
    ]
