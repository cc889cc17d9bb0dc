"""Page of a message: its payload, its deliveries, and its attempts with their responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from starlette.responses import Response
from starlette.routing import Route

from angarium.core import ids
from angarium.core.claims import Capability
from angarium.core.errors import BadRequest
from angarium.core.log_filter import LogFilter
from angarium.core.nouns import Message
from angarium.portal.kit import live
from angarium.portal.kit.form import Form
from angarium.portal.kit.render import UNKEPT
from angarium.portal.kit.route import action, error_words, page
from angarium.portal.kit.text import t
from angarium.portal.kit.visit import Visit
from angarium.portal.kit.words import plain, pretty
from angarium.service.log import MAX_DELIVERIES, LogLine, MessageDelivery

SHOWN: Final = 64 * 1024  # bytes of a payload; the download has all of it
MAX_BROKEN: Final = 4 * SHOWN  # characters with line breaks; deep nesting makes the text far longer
SHOWN_DELIVERIES: Final = 100  # the others are in the log
WHOLE_ATTEMPTS: Final = 20  # shown with headers and response; older ones only with their result


async def show(visit: Visit) -> Response:
    """The page."""
    return await _show(visit)


async def payload(visit: Visit) -> Response:
    """The payload as a download that a browser does not render."""
    message = await visit.services.message.get(visit.app_id, _ref(visit))
    if message.payload is None:
        raise BadRequest(t("message.deleted_fault"))
    name = f"{visit.message_ref(message.id)}.json"
    return Response(
        message.payload,
        media_type="application/octet-stream",
        headers=UNKEPT
        | {
            "content-disposition": f'attachment; filename="{name}"',
            "content-security-policy": "default-src 'none'; sandbox",
        },
    )


async def watch(visit: Visit) -> Response:
    """Live updates of the deliveries."""
    ref = _ref(visit)
    await visit.services.message.get(visit.app_id, ref, with_payload=False)  # raises NotFound
    its = LogFilter(message=ref)

    async def poll() -> str:
        found = await visit.services.log.page(visit.app_id, its, limit=MAX_DELIVERIES)
        return _version(found.lines)

    return live.Stream(visit, poll)


async def resend(visit: Visit, form: Form) -> Response:
    """Resends the message to one endpoint, in any state of the delivery."""
    try:
        await visit.services.replay.resend(
            visit.app_id, _ref(visit), visit.native_endpoint(form.text("endpoint"))
        )
    except BadRequest as error:
        return await _show(visit, status=400, refused=error_words(error))
    return visit.go(visit.path("messages", visit.message_ref(visit.message_id()), done="resent"))


async def _show(visit: Visit, status: int = 200, refused: str | None = None) -> Response:
    detail = await visit.services.log.message(visit.application.org_id, visit.app_id, _ref(visit))
    message, deliveries = detail.message, detail.deliveries[:SHOWN_DELIVERIES]
    ref = visit.message_ref(message.id)
    unwritten = await visit.services.message.waits(visit.app_id, message.id)
    pending = unwritten or any(one.line.row.due_at for one in deliveries)
    waits = await visit.services.overdue.of(visit.app_id, (one.line.row for one in deliveries))
    names = {one.line.endpoint.id: one.line.endpoint for one in detail.deliveries}
    return visit.render(
        "customer/message.html",
        status=status,
        section="messages",
        heading=message.event_type,
        message=message,
        ref=ref,
        refused=refused,
        deliveries=deliveries,
        unwritten=unwritten,
        waits=waits,
        more_deliveries=len(detail.deliveries) - len(deliveries),
        since={one.line.endpoint.id: _failed_since(visit, message, one) for one in deliveries},
        attempts=detail.attempts,
        more_attempts=detail.more_attempts,
        endpoints=names,
        whole=WHOLE_ATTEMPTS,
        live=visit.path("messages", ref, "live", seen=_version([one.line for one in detail.deliveries]))
        if pending
        else None,
        **_payload(message),
    )


def _payload(message: Message) -> dict[str, Any]:
    """The payload as text, cut to SHOWN bytes; also formatted if it is not cut."""
    content = message.payload or b""
    cut = len(content) > SHOWN
    # the cut may split a character
    text = content[:SHOWN].decode("utf-8", "ignore") if cut else plain(content)
    broken = None if cut else pretty(content)
    if broken is not None and len(broken) > MAX_BROKEN:
        broken = None
    return {"raw": text, "pretty": broken, "size": len(content), "cut": cut}


def _failed_since(visit: Visit, message: Message, delivery: MessageDelivery) -> str:
    """The page that resends what failed at this endpoint since this message."""
    since = message.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    endpoint = visit.endpoint_ref(delivery.line.endpoint.id)
    return visit.path("messages", "resend", endpoint=endpoint, status=["failed", "canceled"], since=since)


def _version(lines: Sequence[LogLine]) -> str:
    return live.version(
        *sorted(
            (row.endpoint_id, row.state, row.attempts, str(row.due_at), str(row.manual_at))
            for row in (line.row for line in lines)
        )
    )


def _ref(visit: Visit) -> str:
    return ids.text(ids.MESSAGE, visit.message_id())


def routes() -> list[Route]:
    return [
        page("/messages/{message}", show),
        page("/messages/{message}/payload", payload),
        page("/messages/{message}/live", watch),
        action("/messages/{message}/resend", resend, Capability.CREATE_ATTEMPTS),
    ]
