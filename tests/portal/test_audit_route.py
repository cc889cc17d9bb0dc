"""Every form of the portal that changes something says in the audit log what it did, by whom, from where.

The forms are taken from the portal's routes. One that is in neither table here fails the test.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from starlette.routing import Route

from angarium.core import ids
from angarium.portal import app as portal
from angarium.portal.kit import session
from tests.kit.stand import ORG
from tests.portal.test_access import ADMIN, BASE, CONTACT, ENDPOINT, INBOX, MESSAGE, Scene, scene

__all__ = ["scene"]

# below the application's portal, in an order that works: what the audit log says, and the form
YES = {"confirmed": "yes"}
FORMS: list[tuple[str, str, dict[str, str]]] = [
    ("/tasks/{task}/cancel", "task.canceled", {}),
    ("/endpoints", "endpoint.created", {"url": "http://127.0.0.1:9/new", "every": "all"}),
    (f"{ENDPOINT}/settings", "endpoint.updated", {"url": "http://127.0.0.1:9/changed", "every": "all"}),
    (f"{ENDPOINT}/secret", "endpoint.secret.revealed", {}),
    (f"{ENDPOINT}/secret/rotate", "endpoint.secret.rotated", {}),
    (f"{ENDPOINT}/test", "endpoint.test.sent", {"type": "order.filled", "payload": "{}", "anyway": "1"}),
    (f"{MESSAGE}/resend", "message.resent", {"endpoint": "{endpoint}"}),
    (f"{ENDPOINT}/recover", "endpoint.recover.begun", {"moment": "{now}"}),
    (f"{ENDPOINT}/replay-missing", "endpoint.replay.begun", {"moment": "{now}"}),
    ("/messages/resend", "delivery.resend.begun", {"rate": "20", "all": "yes"}),
    ("/alerts", "contact.created", {"email": "new@example.com", "kind": "endpoint.disabled"}),
    (f"{CONTACT}/ask", "contact.asked", {}),
    (f"{CONTACT}/remove", "contact.deleted", YES),
    ("/play", "inbox.created", {}),
    (INBOX, "inbox.updated", {"status": "410", "delay": "0", "failures": "0"}),
    (f"{INBOX}/clear", "inbox.cleared", YES),
    (f"{INBOX}/delete", "inbox.deleted", YES),
    (f"{ENDPOINT}/disable", "endpoint.disabled", YES),
    (f"{ENDPOINT}/enable", "endpoint.enabled", {}),
    (f"{ENDPOINT}/delete", "endpoint.deleted", {"host": "127.0.0.1"}),
    ("/logout", "session.ended", {}),
]
ADMIN_FORMS: list[tuple[str, str, dict[str, str]]] = [
    ("/admin/dead-letters", "endpoint.recover.begun", {"endpoint": "{app_id}.{endpoint}", **YES}),
    ("/admin/view", "portal.viewed", {"application": "{app_id}"}),
    ("/admin/quota/{app_id}", "application.quota.changed", {"messages_hard": "5"}),
    ("/admin/logout", "session.ended", {}),
]
ELSEWHERE = {
    f"{BASE}{ENDPOINT}/secret/activate": "as over the API: tests/api/test_audit_route.py",
    f"{BASE}/endpoints/try": "nothing is changed or kept: one request to a URL that may be an endpoint's",
    "/login/session": "test_a_session_is_begun_on_the_record",
    "/admin/login": "test_a_session_is_begun_on_the_record",
    "/alerts/confirm/{token}": "tests/portal/test_contact.py",
    "/alerts/unsubscribe/{token}": "tests/portal/test_contact.py",
    "/play/in/{inbox}": "a receiver: what came in is the inbox's own record",
}


def test_every_form_has_a_deed_or_a_reason() -> None:
    forms = {
        route.path
        for route in portal.routes()
        if isinstance(route, Route) and "POST" in (route.methods or set())
    }
    rows = {BASE + path for path, _, _ in FORMS} | {path for path, _, _ in ADMIN_FORMS} | set(ELSEWHERE)
    assert forms - rows == set(), "these change something: say what the audit log has of it, or why nothing"
    assert rows - forms == set(), "these rows have no route any more"
    assert {path for method, path in ADMIN if method == "POST"} <= rows


def _filled(form: dict[str, str], places: dict[str, str]) -> dict[str, str]:
    filled = {}
    for name, value in form.items():
        for place, text in places.items():
            value = value.replace(f"{{{place}}}", text)
        filled[name] = value
    return filled


async def _lines(scene: Scene) -> dict[Any, Any]:
    rows = await scene.stand.world.fetch("select id, action, actor, address from all_audit order by id")
    return {row["id"]: row for row in rows}


async def _do(
    scene: Scene, path: str, cookie: str, action: str, form: dict[str, str], owner: str | None, kind: str
) -> str | None:
    """The faults in the audit record of a form that was posted."""
    places = {**scene.mine, "now": datetime.fromtimestamp(scene.stand.clock.now() - 60, UTC).isoformat()}
    before = await _lines(scene)
    answer = await scene.ask("POST", path, cookie, owner=owner, data=_filled(form, places))
    if answer.status_code not in (200, 303):
        return f"{path}: {answer.status_code} {answer.text[-400:]}"
    new = [row for key, row in (await _lines(scene)).items() if key not in before]
    named = [row for row in new if row["action"] == action]
    if not named:
        return f"{path}: no {action} among {[row['action'] for row in new]}"
    (row, *_) = named
    if not row["actor"].startswith(f"{kind}:") or not (row["address"] or "").startswith("10."):
        return f"{path}: {action} by {row['actor']} from {row['address']}"
    return None


async def test_every_form_of_a_customer_is_in_the_audit_log(scene: Scene) -> None:
    inbox = ids.parse(ids.INBOX, scene.mine["inbox"])
    assert inbox is not None
    kept = await scene.stand.client.post(f"/play/in/{scene.mine['inbox']}", content=b"{}")
    assert kept.status_code == 200
    # whether it is done by now or not: it is running, and no process takes a further step
    await scene.stand.world.fetch("update background_task set status = 'running', due_at = '9000-01-01'")
    cookie = scene.session(scene.mine)
    wrong = [
        await _do(scene, BASE + path, cookie, action, form, None, "portal-session")
        for path, action, form in FORMS
    ]
    assert [fault for fault in wrong if fault] == []


async def test_every_form_of_the_operator_is_in_the_audit_log(scene: Scene) -> None:
    cookie = scene.operator()
    wrong = [
        await _do(scene, path, cookie, action, form, "operator", "operator-session")
        for path, action, form in ADMIN_FORMS
    ]
    assert [fault for fault in wrong if fault] == []


async def test_a_session_is_begun_on_the_record(scene: Scene) -> None:
    services = scene.stand.services
    app_id = ids.parse(ids.APPLICATION, scene.mine["app_id"])
    assert app_id is not None
    key = services.portal_link.make(ORG, app_id).key
    assert (await scene.client.post("/login/session", json={"key": key})).is_success
    token = services.token.for_organization(ORG)
    answer = await scene.client.post("/admin/login", data={"token": token})
    assert answer.status_code == 303
    begun = [row["actor"] for row in (await _lines(scene)).values() if row["action"] == "session.begun"]
    assert sorted(actor.partition(":")[0] for actor in begun) == ["operator-session", "portal-session"]
    for hidden in (key, token, session.csrf_token_of(token)):
        assert hidden not in str(await _lines(scene))


async def test_a_look_at_a_secret_says_which_and_not_what(scene: Scene) -> None:
    cookie = scene.session(scene.mine)
    page = await scene.ask("POST", f"{BASE}{ENDPOINT}/secret", cookie)
    (row,) = await scene.stand.world.fetch(
        "select * from all_audit where action = 'endpoint.secret.revealed'"
    )
    assert row["target"] == scene.mine["endpoint"]
    (endpoint,) = await services_endpoints(scene)
    assert endpoint.keys[0].secret in page.text
    assert endpoint.keys[0].secret not in str(dict(row))
    assert row["after"].keys() == {"secrets"}


async def services_endpoints(scene: Scene) -> list[Any]:
    app_id = ids.parse(ids.APPLICATION, scene.mine["app_id"])
    assert app_id is not None
    found: list[Any] = await scene.stand.services.endpoint.page(app_id, None, ascending=True, limit=10)
    return found


async def test_a_secret_is_not_shown_when_that_cannot_be_written_down(scene: Scene) -> None:
    await scene.stand.world.fetch(
        "create function refuse() returns trigger language plpgsql as "
        "$$ begin raise exception 'no room' using errcode = '53100'; end $$"
    )
    await scene.stand.world.fetch(
        "create trigger refuse before insert on audit for each row execute function refuse()"
    )
    (endpoint,) = await services_endpoints(scene)
    page = await scene.ask("POST", f"{BASE}{ENDPOINT}/secret", scene.session(scene.mine))
    assert page.status_code == 503
    assert endpoint.keys[0].secret not in page.text
    api = await scene.stand.client.get(
        f"/api/v1/app/{scene.mine['app_id']}/endpoint/{scene.mine['endpoint']}/secret",
        headers={"authorization": f"Bearer {scene.stand.services.token.for_organization(ORG)}"},
    )
    assert api.status_code == 503
