"""Every page of the portal, by name, as data: what the tests go through and what pictures are taken of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from playwright.async_api import Page

from tests.portal.browser.history import History

Prepare = Callable[[Page], Awaitable[None]]


@dataclass(frozen=True)
class Place:
    """A page: its path, with names of what the history knows in braces.

    A path is below the application's portal, unless it begins with `//`. `prepare` is done in the page before
    it is looked at, such as opening what is folded.
    """

    name: str
    path: str
    prepare: Prepare | None = None
    status: int = 200
    by_profile: bool = False  # looks another way where a product's profile says so

    def url(self, history: History) -> str:
        path = self.path.format(**history.names)
        place = path[1:] if path.startswith("//") else f"/portal/{history.site.app_id}{path}"
        return f"{history.site.url}{place}"


PLACES = (
    Place("overview", ""),
    Place("endpoints", "/endpoints"),
    Place("endpoint", "/endpoints/{failing}"),
    Place("endpoint-disabled", "/endpoints/{disabled}"),
    Place("endpoint-new", "/endpoints/new", by_profile=True),
    Place("endpoint-settings", "/endpoints/{working}/settings", by_profile=True),
    Place("endpoint-secret", "/endpoints/{working}/secret", by_profile=True),
    Place("endpoint-test", "/endpoints/{working}/test"),
    Place("endpoint-recover", "/endpoints/{failing}/recover"),
    Place("endpoint-code", "/endpoints/{working}/code", by_profile=True),
    Place("messages", "/messages"),
    Place("messages-failed", "/messages?status=failed"),
    Place("messages-wrong-filter", "/messages?since=yesterday", status=422),
    Place("messages-resend", "/messages/resend?status=failed"),
    Place("message", "/messages/{message}"),
    Place("task", "/tasks/{task}"),
    Place("event-types", "/event-types"),
    Place("event-type", "/event-types/{event_type}"),
    Place("play", "/play"),
    Place("play-inbox", "/play/{inbox}"),
    Place("activity", "/audit"),
    Place("alerts", "/alerts"),
    Place("usage", "/usage"),
    Place("alert-link", "//alerts/confirm/wrong", status=404),
    Place("nowhere", "/nowhere", status=404),
    Place("admin", "//admin"),
    Place("admin-endpoints", "//admin/endpoints"),
    Place("admin-dead-letters", "//admin/dead-letters"),
    Place("admin-tasks", "//admin/tasks"),
    Place("admin-messages", "//admin/messages?id={message}"),
    Place("admin-activity", "//admin/audit"),
    Place("admin-quota", "//admin/quota/{application}"),
    Place("admin-login", "//admin/login"),
)
