"""Page of the message log: the deliveries of all endpoints, filtered, with live updates."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response
from starlette.routing import Route

from angarium.core.errors import Invalid, NotFound
from angarium.core.failure import FAMILIES
from angarium.core.log_filter import LogKey, LogStatus
from angarium.core.nouns import Message
from angarium.portal.customer import message_filter, resend
from angarium.portal.customer.message_filter import RequestedFilter, asked_of
from angarium.portal.kit import live
from angarium.portal.kit.route import page
from angarium.portal.kit.text import t
from angarium.portal.kit.visit import Visit
from angarium.portal.kit.words import endpoint_name, kind_words
from angarium.service.log import LogPage
from angarium.store.log import LogEndpoint

ROWS: Final = 50
MAX_SUGGESTED: Final = 250  # event types that the filter suggests
_MORE: Final = ("id", "http", "tag", "channel", "since", "until")  # fields in a closed section while empty


async def show(visit: Visit) -> Response:
    """The page; for htmx only its list."""
    asked = asked_of(visit, visit.request.query_params.multi_items())
    endpoints = await visit.services.log.endpoints(visit.app_id, asked.wanted.endpoint_id)
    found, faults = LogPage(), dict(asked.faults)
    if not faults:
        try:
            found = await _page(visit, asked)
        except Invalid:
            faults["page"] = t("messages.no_page")
    waits = await visit.services.overdue.of(visit.app_id, (line.row for line in found.lines))
    first = not any(name in visit.request.query_params for name in ("before", "after"))
    unrouted = await _unrouted(visit, asked, found) if first and not faults else None
    values: dict[str, Any] = {
        "asked": asked,
        "faults": faults,
        "found": found,
        "waits": waits,
        "first": first,
        "unrouted": unrouted,
        "unwritten": unrouted is not None and await visit.services.message.waits(visit.app_id, unrouted.id),
        "newer": _onward(visit, asked, after=found.newer),
        "older": _onward(visit, asked, before=found.older),
        "live": None,
        "statuses": list(LogStatus),
    }
    if first and not faults and asked.wanted.until is None:
        values["live"] = visit.path("messages", "live", **asked.query, seen=version_of(found))
    if visit.is_partial:
        rows = visit.render("customer/message_rows.html", **values)
        if visit.request.headers.get("hx-trigger") == "filters":
            rows.headers["hx-push-url"] = visit.path("messages", **asked.query)
        return rows
    return visit.render(
        "customer/message_list.html",
        status=422 if faults else 200,
        section="messages",
        heading=t("messages.title"),
        endpoints=[(visit.endpoint_ref(one.id), _name(one)) for one in endpoints],
        types=await event_types(visit),
        running=await resend.running(visit),
        kinds=_kinds(asked),
        classes=[(one, t(f"filter.class.{one}")) for one in message_filter.CLASSES],
        presets=[(one, t(f"filter.preset.{one}")) for one in message_filter.PRESETS],
        more=any(asked[name] for name in _MORE),
        **values,
    )


async def watch(visit: Visit) -> Response:
    """Live updates of the newest page of the filter."""
    asked = asked_of(visit, visit.request.query_params.multi_items())
    if asked.faults:
        raise NotFound()

    async def poll() -> str:
        again = asked_of(visit, visit.request.query_params.multi_items(), visit.services.clock.now())
        return version_of(await visit.services.log.page(visit.app_id, again.wanted, limit=ROWS))

    return live.Stream(visit, poll)


def version_of(found: LogPage) -> str:
    """A text that changes when a page of the log changes."""
    return live.version(
        *(
            (line.key, row.state, row.attempts, row.due_at, row.manual_at, line.endpoint.url)
            for line in found.lines
            for row in (line.row,)
        )
    )


async def event_types(visit: Visit) -> list[str]:
    """The event types that this visitor may see, as suggestions of the filter."""
    found = await visit.services.event_type.page(
        visit.application.org_id,
        None,
        ascending=True,
        limit=MAX_SUGGESTED,
        include_archived=True,
        flags=visit.claims.feature_flags,
    )
    return [one.name for one in found]


def _name(one: LogEndpoint) -> str:
    name = endpoint_name(one)
    return t("filter.endpoint_deleted", name=name) if one.deleted else name


def _kinds(asked: RequestedFilter) -> list[tuple[str, str]]:
    """The kinds of failure to choose from, including the requested one."""
    kinds = dict(FAMILIES)
    if asked["error"]:
        kinds.setdefault(asked["error"], kind_words(asked["error"]))
    return list(kinds.items())


async def _page(visit: Visit, asked: RequestedFilter) -> LogPage:
    query = visit.request.query_params
    after, before = query.get("after"), query.get("before")
    place = after or before
    cursor = None if place is None else LogKey.parse(place)
    return await visit.services.log.page(
        visit.app_id, asked.wanted, cursor, backwards=bool(after), limit=ROWS
    )


async def _unrouted(visit: Visit, asked: RequestedFilter, found: LogPage) -> Message | None:
    """The message requested by its id, if it has no deliveries."""
    if found.lines or not asked.wanted.message:
        return None
    try:
        return await visit.services.message.get(visit.app_id, asked.wanted.message, with_payload=False)
    except NotFound:
        return None


def _onward(visit: Visit, asked: RequestedFilter, **place: LogKey | None) -> str | None:
    ((name, key),) = place.items()
    return None if key is None else visit.path("messages", **asked.query, **{name: key.text()})


def routes() -> list[Route]:
    return [page("/messages", show), page("/messages/live", watch)]
