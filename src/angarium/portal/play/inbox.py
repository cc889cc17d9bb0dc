"""Pages of Play: create a temporary inbox, view its requests and set its response."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from starlette.responses import Response
from starlette.routing import Route

from angarium.core import ids
from angarium.core.claims import Capability
from angarium.core.errors import Conflict, Invalid, NotFound
from angarium.core.inbox import NO_ANSWER, InboxAnswer, InboxRequest, PlayInbox
from angarium.portal.kit import live
from angarium.portal.kit.form import Form
from angarium.portal.kit.route import action, page
from angarium.portal.kit.text import known, t
from angarium.portal.kit.visit import Visit
from angarium.portal.kit.words import endpoint_name
from angarium.service.play import MAX_INBOXES, STATUSES, longest_delay

MANAGE: Final = Capability.MANAGE_ENDPOINT


async def show(visit: Visit) -> Response:
    """The inboxes of the application."""
    return await _list(visit)


async def create(visit: Visit, form: Form) -> Response:
    """Creates an inbox; with the field `then=endpoint` continues with a new endpoint for its URL."""
    try:
        made = await visit.services.play.create(visit.application)
    except Conflict as error:
        return await _list(visit, fault=error.detail, status=409)
    if form.text("then") == "endpoint":
        return visit.go(visit.path("endpoints", "new", url=visit.services.play.url_of(made.id)))
    return visit.go(visit.path("play", _ref(made.id), done="inbox"))


async def inbox(visit: Visit) -> Response:
    """One inbox and its requests; with `HX-Request` only the requests."""
    found = await _inbox_of(visit)
    if visit.is_partial:
        return visit.render("play/requests.html", **await _requests(visit, found))
    return await _inbox(visit, found)


async def watch(visit: Visit) -> Response:
    """Live updates of an inbox: new requests, or all deleted."""
    found = await _inbox_of(visit)

    async def poll() -> str:
        return live.version(await visit.services.play.last(found))

    return live.Stream(visit, poll)


async def set_answer(visit: Visit, form: Form) -> Response:
    """Sets the response of an inbox."""
    found = await _inbox_of(visit)
    entered = {name: form.text(name) for name in ("status", "delay", "failures")}
    try:
        answer = InboxAnswer(
            int(_number(entered["status"], "status", t("inbox.fault.status"))),
            _number(entered["delay"] or "0", "delay", t("inbox.fault.delay")),
            int(_number(entered["failures"] or "0", "failures", t("inbox.fault.failures"))),
        )
        await visit.services.play.set_answer(visit.product, visit.app_id, found.id, lambda _: answer)
    except Invalid as error:
        faults = {str(fault.loc[-1]): fault.msg for fault in error.faults}
        return await _inbox(visit, found, entered=entered, faults=faults, status=422)
    return visit.go(visit.path("play", _ref(found.id), done="saved"))


async def clear(visit: Visit, form: Form) -> Response:
    """Deletes the requests."""
    found = await _inbox_of(visit)
    if (asked := await _asked(visit, form, found, t("inbox.clear_question"), t("inbox.clear"))) is not None:
        return asked
    await visit.services.play.clear(visit.app_id, found.id)
    return visit.go(visit.path("play", _ref(found.id), done="cleared"))


async def delete(visit: Visit, form: Form) -> Response:
    """Deletes the inbox."""
    found = await _inbox_of(visit)
    if (asked := await _asked(visit, form, found, t("inbox.delete_question"), t("inbox.delete"))) is not None:
        return asked
    await visit.services.play.delete(visit.app_id, found.id)
    return visit.go(visit.path("play", done="inbox-deleted"))


async def _asked(visit: Visit, form: Form, found: PlayInbox, heading: str, button: str) -> Response | None:
    requests = len(await visit.services.play.arrivals(found))
    return visit.question(
        form,
        heading=heading,
        happens=t("inbox.deletes", requests),
        button=button,
        back=visit.path("play", _ref(found.id)),
        section="play",
    )


async def _list(visit: Visit, *, fault: str | None = None, status: int = 200) -> Response:
    service = visit.services.play
    inboxes = await service.inboxes(visit.app_id) if service.available else []
    return visit.render(
        "play/inboxes.html",
        section="play",
        heading=t("play.title"),
        status=status,
        available=service.available,
        fault=fault,
        inboxes=[
            (_ref(one.id), service.url_of(one.id), one, last and ids.created_at(last))
            for one, last in inboxes
        ],
        full=len(inboxes) >= MAX_INBOXES,
        manage=visit.may(MANAGE),
    )


async def _inbox(
    visit: Visit,
    found: PlayInbox,
    *,
    entered: dict[str, str] | None = None,
    faults: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    service, answer = visit.services.play, found.answer
    endpoints = await service.endpoints(found)
    return visit.render(
        "play/inbox.html",
        section="play",
        heading=t("inbox.title"),
        status=status,
        inbox=found,
        url=service.url_of(found.id),
        endpoints=[(visit.endpoint_ref(one.id), endpoint_name(one)) for one in endpoints],
        entered=entered
        or {
            "status": str(answer.status_code),
            "delay": f"{answer.delay:g}",
            "failures": str(answer.failure_percent),
        },
        faults=faults or {},
        statuses=[(str(one), one, _hint(one)) for one in STATUSES],
        no_answer=NO_ANSWER,
        timeout=visit.product.timeout,
        longest_delay=longest_delay(visit.product),
        manage=visit.may(MANAGE),
        **await _requests(visit, found),
    )


async def _requests(visit: Visit, found: PlayInbox) -> dict[str, Any]:
    """The list of requests, and the one shown in full: the requested one, or the newest."""
    query = visit.request.query_params
    arrivals = await visit.services.play.arrivals(found)
    asked = query.get("request")
    wanted = _parsed(asked) if asked else arrivals[0].id if arrivals else None
    shown: InboxRequest | None = None
    if wanted is not None:
        shown = await visit.services.play.arrival(found, wanted)
    return {
        "ref": _ref(found.id),
        "seen": live.version(arrivals[0].id if arrivals else None),
        "arrivals": [(_ref(one.id), ids.created_at(one.id), one) for one in arrivals],
        "asked": asked if shown is not None else None,
        "shown": shown,
        "shown_ref": shown and _ref(shown.id),
        "shown_at": shown and ids.created_at(shown.id),
        "raw": query.get("as") == "raw",
    }


async def _inbox_of(visit: Visit) -> PlayInbox:
    inbox_id = _parsed(visit.request.path_params["inbox"])
    if inbox_id is None:
        raise NotFound()
    return await visit.services.play.find(visit.app_id, inbox_id)


def _hint(status: int) -> str | None:
    return t(f"inbox.hint.{status}") if known(f"inbox.hint.{status}") else None


def _number(text: str, field: str, words: str) -> float:
    """Raises Invalid if the text is not a number."""
    try:
        value = float(text)
    except ValueError:
        raise Invalid.field(field, words) from None
    if value != value or abs(value) > 1e6 or (field != "delay" and value != int(value)):
        raise Invalid.field(field, words)
    return value


def _ref(some_id: UUID) -> str:
    return ids.text(ids.INBOX, some_id)


def _parsed(ref: str) -> UUID | None:
    return ids.parse(ids.INBOX, ref)


def routes() -> list[Route]:
    return [
        page("/play", show),
        action("/play", create, MANAGE),
        page("/play/{inbox}", inbox),
        page("/play/{inbox}/live", watch),
        action("/play/{inbox}", set_answer, MANAGE),
        action("/play/{inbox}/clear", clear, MANAGE),
        action("/play/{inbox}/delete", delete, MANAGE),
    ]
