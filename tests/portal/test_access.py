"""Who may see and do what in the portal: every page and action, for everyone who might try.

Pages and actions are taken from the portal's routes. One that has no row here fails the test.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from angarium.core import ids
from angarium.core.claims import EVERYTHING, Capability
from angarium.portal import app as portal
from angarium.portal.kit import session
from angarium.service.token import LEEWAY, SESSION_LIFETIME
from tests.kit.access import Crowd
from tests.kit.stand import ORG, URL, Stand

VIEW, MANAGE, SEND = Capability.VIEW, Capability.MANAGE_ENDPOINT, Capability.CREATE_ATTEMPTS
SECRET, ROTATE = Capability.VIEW_SECRET, Capability.MANAGE_SECRET
ENDPOINT, MESSAGE, INBOX = "/endpoints/{endpoint}", "/messages/{message}", "/play/{inbox}"
CONTACT = "/alerts/{contact}"

# below /portal/{app_id}: what a session must be allowed
PAGES: dict[tuple[str, str], Capability] = {
    ("GET", ""): VIEW,
    ("POST", "/logout"): VIEW,
    ("GET", "/audit"): VIEW,
    ("GET", "/alerts"): VIEW,
    ("GET", "/usage"): VIEW,
    ("POST", "/alerts"): MANAGE,
    ("POST", f"{CONTACT}/ask"): MANAGE,
    ("POST", f"{CONTACT}/remove"): MANAGE,
    ("GET", "/messages"): VIEW,
    ("GET", "/messages/live"): VIEW,
    ("GET", "/messages/resend"): SEND,
    ("POST", "/messages/resend"): SEND,
    ("GET", MESSAGE): VIEW,
    ("GET", f"{MESSAGE}/payload"): VIEW,
    ("GET", f"{MESSAGE}/live"): VIEW,
    ("POST", f"{MESSAGE}/resend"): SEND,
    ("GET", "/tasks/{task}"): VIEW,
    ("POST", "/tasks/{task}/cancel"): SEND,
    ("GET", "/play"): VIEW,
    ("POST", "/play"): MANAGE,
    ("GET", INBOX): VIEW,
    ("GET", f"{INBOX}/live"): VIEW,
    ("POST", INBOX): MANAGE,
    ("POST", f"{INBOX}/clear"): MANAGE,
    ("POST", f"{INBOX}/delete"): MANAGE,
    ("GET", "/endpoints"): VIEW,
    ("POST", "/endpoints"): MANAGE,
    ("GET", "/endpoints/new"): MANAGE,
    ("GET", "/endpoints/check"): MANAGE,
    ("GET", "/endpoints/matches"): VIEW,
    ("POST", "/endpoints/try"): SEND,
    ("GET", ENDPOINT): VIEW,
    ("POST", f"{ENDPOINT}/enable"): MANAGE,
    ("POST", f"{ENDPOINT}/disable"): MANAGE,
    ("POST", f"{ENDPOINT}/delete"): MANAGE,
    ("GET", f"{ENDPOINT}/settings"): VIEW,
    ("POST", f"{ENDPOINT}/settings"): MANAGE,
    ("GET", f"{ENDPOINT}/secret"): VIEW,
    ("POST", f"{ENDPOINT}/secret"): SECRET,
    ("POST", f"{ENDPOINT}/secret/rotate"): ROTATE,
    ("POST", f"{ENDPOINT}/secret/activate"): ROTATE,
    ("GET", f"{ENDPOINT}/test"): SEND,
    ("POST", f"{ENDPOINT}/test"): SEND,
    ("GET", f"{ENDPOINT}/recover"): SEND,
    ("POST", f"{ENDPOINT}/recover"): SEND,
    ("POST", f"{ENDPOINT}/replay-missing"): SEND,
    ("GET", f"{ENDPOINT}/code"): VIEW,
    ("GET", "/event-types"): VIEW,
    ("GET", "/event-types/{name}"): VIEW,
}
# what else a session must be allowed
ALSO = {("POST", "/endpoints/try"): MANAGE}
# the operator's own
ADMIN = {
    ("GET", "/admin"),
    ("GET", "/admin/endpoints"),
    ("GET", "/admin/messages"),
    ("GET", "/admin/audit"),
    ("GET", "/admin/dead-letters"),
    ("POST", "/admin/dead-letters"),
    ("GET", "/admin/tasks"),
    ("GET", "/admin/quota/{app_id}"),
    ("POST", "/admin/quota/{app_id}"),
    ("POST", "/admin/logout"),
    ("POST", "/admin/view"),
}
# any visitor; the inboxes of Play are receivers, which need no session, and a link in a mail is enough
OPEN = {
    ("GET", "/portal/static/{name}"), ("GET", "/portal/theme.css"), ("GET", "/login"),
    ("POST", "/login/session"), ("GET", "/admin/login"), ("POST", "/admin/login"),
    ("GET", "/portal/{rest:path}"), ("GET", "/admin/{rest:path}"), ("GET", "/alerts/{rest:path}"),
    ("GET", "/alerts/confirm/{token}"), ("POST", "/alerts/confirm/{token}"),
    ("GET", "/alerts/unsubscribe/{token}"), ("POST", "/alerts/unsubscribe/{token}"),
} | {(method, "/play/in/{inbox}") for method in ("GET", "POST", "PUT", "PATCH", "DELETE")}  # fmt: skip
BASE = "/portal/{app_id}"
# what another may see of an address that it does not have
NOTHING_THERE = re.compile(r"\{(endpoint|message|task|inbox|contact)\}")


@dataclass
class Scene:
    """Two applications with everything in each, and a visitor without a session."""

    stand: Stand
    client: httpx.AsyncClient
    mine: dict[str, str] = field(default_factory=dict)
    theirs: dict[str, str] = field(default_factory=dict)

    def link(self, places: dict[str, str], **claims: Any) -> str:
        """The token of a new link."""
        app_id = ids.parse(ids.APPLICATION, places["app_id"])
        assert app_id is not None
        return self.stand.services.token.for_application(claims.pop("org_id", ORG), app_id, **claims)

    def session(self, places: dict[str, str], **claims: Any) -> str:
        """The session of a visitor who has opened a link."""
        token = self.stand.services.token
        return token.for_session(token.verify(self.link(places, **claims)))

    def operator(self, org_id: str = ORG) -> str:
        token = self.stand.services.token
        return token.for_operator(token.verify(token.for_organization(org_id)))

    async def ask(
        self,
        method: str,
        path: str,
        cookie: str = "",
        *,
        owner: str | None = None,
        places: dict[str, str] | None = None,
        csrf_token: str | None = None,
        data: dict[str, str] | None = None,
        **headers: str,
    ) -> httpx.Response:
        """One request with the cookie of an owner: the application of the path unless another is named."""
        places = places or self.mine
        for name, value in places.items():
            path = path.replace(f"{{{name}}}", value)
        if cookie:
            headers["cookie"] = f"angarium-{owner or places['app_id']}={cookie}"
        form = {
            "csrf_token": session.csrf_token_of(cookie) if csrf_token is None else csrf_token,
            **(data or {}),
        }
        return await self.client.request(
            method, path, headers=headers, data=form if method == "POST" else None
        )

    async def audit_events(self) -> int:
        (row,) = await self.stand.world.fetch("select count(*) from all_audit")
        return int(row[0])


@pytest.fixture
async def scene(stand: Stand) -> AsyncIterator[Scene]:
    async with httpx.AsyncClient(transport=Crowd(stand.app), base_url=URL) as client:
        made = Scene(stand, client)
        await stand.native("POST", "//event-type", {"name": "order.filled", "description": ""})
        other = (await stand.native("POST", "//app", {"name": "Other"}))["id"]
        made.mine = await _furnish(made, stand.app_id)
        made.theirs = await _furnish(made, other)
        yield made


async def _furnish(scene: Scene, app_id: str) -> dict[str, str]:
    stand, below = scene.stand, f"//app/{app_id}"
    endpoint = (await stand.native("POST", f"{below}/endpoint", {"url": "http://127.0.0.1:9/hook"}))["id"]
    sent = await stand.native("POST", f"{below}/msg", {"eventType": "order.filled", "payload": {}})
    contacts = {"contacts": [{"email": f"{app_id[-8:]}@example.com"}]}
    contact = (await stand.native("PUT", f"{below}/contact", contacts))["contacts"][0]["id"]
    since = (datetime.fromtimestamp(stand.clock.now(), UTC) - timedelta(hours=1)).isoformat()
    task = await stand.native("POST", f"{below}/endpoint/{endpoint}/recover", {"since": since})
    places = {"app_id": app_id, "endpoint": endpoint, "message": sent["id"], "task": task["id"]}
    places["contact"] = contact
    cookie = scene.session(places)
    answer = await scene.ask("POST", f"{BASE}/play", cookie, places=places)
    assert answer.status_code == 303, answer.text
    inbox = answer.headers["location"].partition("/play/")[2].partition("?")[0]
    return {**places, "inbox": inbox, "name": "order.filled"}


def test_every_route_has_a_row() -> None:
    routes = {
        (method, route.path)
        for route in portal.routes()
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD", "OPTIONS"}
    }
    rows = {(method, BASE + path) for method, path in PAGES} | ADMIN | OPEN
    assert routes - rows == set(), "these have no row here: say who may use them"
    assert rows - routes == set(), "these rows have no route any more"


async def test_without_a_living_session_of_ones_own_nothing_is_shown(scene: Scene) -> None:
    token = scene.stand.services.token
    ended = scene.link(scene.mine)
    of_ended = token.for_session(token.verify(ended))
    left = scene.session(scene.mine)
    await token.revoke(token.verify(left))
    await token.revoke(token.verify(ended))
    strangers = {
        "nobody": ("", None),
        "a guess": ("guess", None),
        "a session left": (left, None),
        "the session of a link that was ended": (of_ended, None),
        "a link's token, never exchanged": (scene.link(scene.mine), None),
        "another application's session": (scene.session(scene.theirs), scene.theirs["app_id"]),
        "another application's session in our cookie": (scene.session(scene.theirs), None),
        "an organization's token": (token.for_organization(ORG), None),
        "an operator's session": (scene.operator(), "operator"),
        "an operator's session in our cookie": (scene.operator(), None),
    }
    wrong = []
    before = await scene.audit_events()
    for who, (cookie, owner) in strangers.items():
        for method, path in PAGES:
            answer = await scene.ask(method, BASE + path, cookie, owner=owner)
            if answer.status_code != 401:
                wrong.append(f"{who}: {method} {path}: {answer.status_code}")
    assert wrong == []
    assert await scene.audit_events() == before


async def test_a_session_of_another_organization_finds_no_application(scene: Scene) -> None:
    cookie = scene.session(scene.mine, org_id="org_stranger")
    wrong = []
    for method, path in PAGES:
        answer = await scene.ask(method, BASE + path, cookie)
        if answer.status_code != 404:
            wrong.append(f"{method} {path}: {answer.status_code}")
    assert wrong == []


async def test_a_session_ends_with_its_time(scene: Scene) -> None:
    cookie = scene.session(scene.mine)
    admin = scene.operator()
    assert (await scene.ask("GET", BASE, cookie)).status_code == 200
    await scene.stand.clock.advance_to(scene.stand.clock.now() + SESSION_LIFETIME + LEEWAY + 1)
    wrong = []
    for method, path in PAGES:
        answer = await scene.ask(method, BASE + path, cookie)
        if answer.status_code != 401:
            wrong.append(f"{method} {path}: {answer.status_code}")
    for method, path in ADMIN:
        if (answer := await scene.ask(method, path, admin, owner="operator")).status_code != 401:
            wrong.append(f"{method} {path}: {answer.status_code}")
    assert wrong == []


@pytest.mark.parametrize(
    "capabilities",
    [EVERYTHING, frozenset({VIEW}), frozenset()]
    + [EVERYTHING - {one} for one in (MANAGE, SEND, SECRET, ROTATE)],
    ids=lambda found: "+".join(sorted(one.value for one in found)) or "nothing",
)
async def test_a_link_allows_what_it_was_given_for(scene: Scene, capabilities: frozenset[Capability]) -> None:
    wrong = []
    order = sorted(PAGES, key=lambda row: ("delete" in row[1], "{" not in row[1]))
    for method, path in order:
        needed = {PAGES[method, path], ALSO.get((method, path), VIEW)}
        allowed = needed <= capabilities
        if allowed and path.endswith("/live"):
            continue  # continues for as long as the page is open
        cookie = scene.session(scene.mine, capabilities=sorted(capabilities))
        data = {"endpoint": scene.mine["endpoint"]}
        answer = await scene.ask(method, BASE + path, cookie, data=data)
        # a form that was sent empty may be told so
        good = answer.status_code in (200, 303, 400, 422) if allowed else answer.status_code == 403
        if not good:
            wrong.append(f"{method} {path}: {answer.status_code}")
    assert wrong == []


async def test_what_is_anothers_is_not_found_in_ones_own_portal(scene: Scene) -> None:
    places = {**scene.theirs, "app_id": scene.mine["app_id"]}
    before = await scene.audit_events()
    wrong = []
    for method, path in PAGES:
        if not NOTHING_THERE.search(path):
            continue
        data = {"endpoint": scene.mine["endpoint"]}
        answer = await scene.ask(method, BASE + path, scene.session(scene.mine), places=places, data=data)
        if answer.status_code != 404:
            wrong.append(f"{method} {path}: {answer.status_code}")
    theirs = {"endpoint": scene.theirs["endpoint"]}
    for path in (f"{MESSAGE}/resend", "/messages/resend"):
        answer = await scene.ask("POST", BASE + path, scene.session(scene.mine), data=theirs)
        if answer.is_success or answer.status_code == 303:
            wrong.append(f"{path} to another's endpoint: {answer.status_code}")
    assert wrong == []
    assert await scene.audit_events() == before


async def test_a_form_of_another_page_does_nothing(scene: Scene) -> None:
    cookie, other, admin = scene.session(scene.mine), scene.session(scene.mine), scene.operator()
    foreign = {"origin": "https://evil.example"}
    tricks: dict[str, dict[str, Any]] = {
        "no CSRF token": {"csrf_token": ""},
        "another session's CSRF token": {"csrf_token": session.csrf_token_of(other)},
        "a foreign origin": foreign,
        "a null origin": {"origin": "null"},
        "another site, as the browser says": {"sec-fetch-site": "cross-site"},
        "a sibling host": {"sec-fetch-site": "same-site"},
    }
    before = await scene.audit_events()
    wrong = []
    rows: list[tuple[str, str, str | None]]
    rows = [(BASE + path, cookie, None) for method, path in PAGES if method == "POST"]
    rows += [(path, admin, "operator") for method, path in ADMIN if method == "POST"]
    for path, token, owner in rows:
        for how, more in tricks.items():
            answer = await scene.ask("POST", path, token, owner=owner, **more)
            if answer.status_code != 403:
                wrong.append(f"{how}: {path}: {answer.status_code}")
    for path in ("/login/session", "/admin/login"):
        answer = await scene.client.post(path, data={"token": "x"}, headers=foreign)
        if answer.status_code != 403:
            wrong.append(f"{path}: {answer.status_code}")
    assert wrong == []
    assert await scene.audit_events() == before


async def test_the_operators_pages_are_the_operators(scene: Scene) -> None:
    token = scene.stand.services.token
    left = scene.operator()
    await token.revoke(token.verify(left))
    app_id = ids.parse(ids.APPLICATION, scene.mine["app_id"])
    assert app_id is not None
    view = token.for_operator_view(token.verify(scene.operator()), app_id)
    strangers = {
        "nobody": "",
        "a guess": "guess",
        "a customer's session": scene.session(scene.mine),
        "a customer's token": scene.link(scene.mine),
        "an organization's token": token.for_organization(ORG),
        "a session left": left,
        "an operator view": view,
    }
    wrong = []
    for who, cookie in strangers.items():
        for method, path in ADMIN:
            answer = await scene.ask(method, path, cookie, owner="operator")
            if answer.status_code != 401:
                wrong.append(f"{who}: {method} {path}: {answer.status_code}")
            if scene.mine["app_id"] in answer.text:
                wrong.append(f"{who}: {method} {path} tells of an application")
    for method, path in sorted(ADMIN, key=lambda row: "logout" in row[1]):
        data = {"application": scene.mine["app_id"]}
        answer = await scene.ask(method, path, scene.operator(), owner="operator", data=data)
        if answer.status_code not in (200, 303, 400):
            wrong.append(f"the operator: {method} {path}: {answer.status_code}")
    assert wrong == []


async def test_a_look_shows_what_a_read_only_link_shows(scene: Scene) -> None:
    token = scene.stand.services.token
    app_id = ids.parse(ids.APPLICATION, scene.mine["app_id"])
    assert app_id is not None
    cookie = token.for_operator_view(token.verify(scene.operator()), app_id)
    wrong = []
    for (method, path), needed in sorted(PAGES.items(), key=lambda row: "logout" in row[0][1]):
        if path.endswith("/live") and needed == VIEW:
            continue
        answer = await scene.ask(method, BASE + path, cookie)
        if (answer.status_code == 403) != (needed != VIEW):
            wrong.append(f"{method} {path}: {answer.status_code}")
    assert wrong == []
