"""Every operation that changes something says in the audit log what it did, who had it done, and from where.

The operations are taken from the routes. One that is in neither table here fails the test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from angarium.core import ids
from tests.api.operation import APP, ENDPOINT, KEYED, MSG, NATIVE, NOTHING, ORG, PLAYED, TOKEN, in_order
from tests.api.sample import SampleServer, bearer, key_headers
from tests.kit.access import operations

BEGUN = "endpoint.recover.begun"
# what is written down for each; a body where that of the access test changes nothing
CHANGES: dict[tuple[str, str], tuple[str, Any]] = {
    ("POST", "/api/v1/app"): ("application.created", None),
    ("PUT", APP): ("application.updated", None),
    ("PATCH", APP): ("application.updated", None),
    ("DELETE", APP): ("application.deleted", None),
    ("POST", f"{APP}/erase"): ("application.erase.begun", None),
    ("POST", f"{APP}/export"): ("application.exported", None),
    ("PUT", f"{APP}/contact"): (
        "contact.created",
        {"contacts": [{"email": "mine@example.com"}, {"email": "new@example.com"}]},
    ),
    ("POST", f"{APP}/contact"): ("contact.created", {"email": "added@example.com"}),
    ("DELETE", f"{APP}/contact/{{contact_id}}"): ("contact.deleted", None),
    ("POST", f"{APP}/contact/{{contact_id}}/confirmation"): ("contact.asked", None),
    ("PATCH", f"{APP}/quota"): ("application.quota.changed", {"messagesHard": 2000}),
    ("POST", f"{APP}/endpoint"): ("endpoint.created", None),
    ("PUT", ENDPOINT): ("endpoint.updated", {"url": "http://localhost:9/put"}),
    ("PATCH", ENDPOINT): ("endpoint.updated", None),
    ("DELETE", ENDPOINT): ("endpoint.deleted", None),
    ("PUT", f"{ENDPOINT}/headers"): ("endpoint.headers.changed", {"headers": {"X-A": "1"}}),
    ("PATCH", f"{ENDPOINT}/headers"): ("endpoint.headers.changed", {"headers": {"X-A": "2"}}),
    ("POST", f"{ENDPOINT}/recover"): (BEGUN, None),
    ("POST", f"{ENDPOINT}/replay-missing"): ("endpoint.replay.begun", None),
    ("GET", f"{ENDPOINT}/secret"): ("endpoint.secret.revealed", None),
    ("POST", f"{ENDPOINT}/secret/rotate"): ("endpoint.secret.rotated", None),
    ("POST", f"{ENDPOINT}/send-example"): ("endpoint.test.sent", None),
    ("POST", f"{APP}/inbox"): ("inbox.created", None),
    ("PATCH", f"{APP}/inbox/{{inbox_id}}"): ("inbox.updated", None),
    ("DELETE", f"{APP}/inbox/{{inbox_id}}"): ("inbox.deleted", None),
    ("POST", f"{APP}/listener"): ("endpoint.secret.revealed", None),
    ("POST", f"{APP}/log/resend"): ("delivery.resend.begun", None),
    ("POST", f"{APP}/task/{{task_id}}/cancel"): ("task.canceled", None),
    ("DELETE", f"{MSG}/attempt/{{attempt_id}}/content"): ("attempt.expunged", None),
    ("DELETE", f"{MSG}/content"): ("message.expunged", None),
    ("POST", f"{MSG}/erase"): ("message.erase.begun", None),
    ("POST", f"{MSG}/endpoint/{{endpoint_id}}/resend"): ("message.resent", None),
    ("POST", "/api/v1/auth/app-portal-access/{app_id}"): ("portal_link.made", None),
    ("POST", "/api/v1/auth/app/{app_id}/expire-all"): ("token.all_ended", None),
    ("POST", "/api/v1/auth/dashboard-access/{app_id}"): ("portal_link.made", None),
    ("POST", "/api/v1/auth/credential/revoke"): ("token.ended", None),
    ("POST", "/api/v1/auth/logout"): ("token.ended", None),
    ("POST", "/api/v1/event-type"): ("event_type.created", None),
    ("PUT", "/api/v1/organization"): ("organization.profile_given", None),
    ("PUT", "/api/v1/event-type/{event_type_name}"): ("event_type.updated", {"description": "put"}),
    ("PATCH", "/api/v1/event-type/{event_type_name}"): ("event_type.updated", None),
    ("DELETE", "/api/v1/event-type/{event_type_name}"): ("event_type.updated", None),
}
MESSAGES = "messages have a log of their own, and there are too many"
UNRECORDED: dict[tuple[str, str], str] = {
    ("POST", f"{APP}/msg"): MESSAGES,
    ("POST", f"{APP}/msg/batch"): MESSAGES,
    ("POST", f"{APP}/listener/{{listener}}/answer"): "what came of a delivery is an attempt in the log",
    ("POST", f"{ENDPOINT}/compare"): "it changes nothing",
    ("POST", "/api/v1/auth/credential"): "tests/api/test_credential.py",
    **dict.fromkeys(NOTHING, "there is nothing at these paths"),
    **{row: MESSAGES for rows in PLAYED.values() for row in rows},
}

_BLUUM = {
    ("POST", ""): "endpoint.created",
    ("PATCH", "/{webhook_id}"): "endpoint.updated",
    ("POST", "/{webhook_id}/enable"): "endpoint.enabled",
    ("POST", "/{webhook_id}/rotate-secret"): "endpoint.secret.rotated",
    ("POST", "/{webhook_id}/dead-letters/replay"): BEGUN,
    ("POST", "/{webhook_id}/dead-letters/{event_id}/replay"): "message.resent",
    ("DELETE", "/{webhook_id}"): "endpoint.deleted",
}
_BLUMA = {
    ("POST", ""): "endpoint.created",
    ("PATCH", "/{webhook_id}"): "endpoint.updated",
    ("POST", "/{webhook_id}/enable"): "endpoint.enabled",
    ("POST", "/{webhook_id}/recover"): BEGUN,
    ("POST", "/{webhook_id}/regenerate-secret"): "endpoint.secret.rotated",
    ("POST", "/{webhook_id}/activate-secret"): "endpoint.secret.activated",
    ("DELETE", "/{webhook_id}"): "endpoint.deleted",
}
KEYED_CHANGES: dict[str, dict[tuple[str, str], str]] = {
    "bluum": {
        (method, f"{base}/webhooks{path}"): action
        for base in ("", "/v1")
        for (method, path), action in _BLUUM.items()
    },
    "bluma": {(method, f"/api/v1/webhooks{path}"): action for (method, path), action in _BLUMA.items()},
    "bloom": {("POST", path): "portal_link.made" for path in ("/graphql", "/v2/gql")},
}


@dataclass(frozen=True)
class Line:
    id: UUID
    action: str
    actor: str
    address: str | None


async def _lines(sample: SampleServer, org_id: str) -> list[Line]:
    async with sample.database.connection() as connection:
        rows = await connection.fetch(
            "select id, action, actor, address from all_audit where org_id = $1 order by id", org_id
        )
        return [Line(**row) for row in rows]


def _fault(new: list[Line], action: str, kind: str) -> str | None:
    """What is wrong with the lines that an operation added."""
    named = [line for line in new if line.action == action]
    if not named:
        return f"no {action} among {[line.action for line in new]}"
    (line, *_) = named
    if not line.actor.startswith(f"{kind}:") or line.address is None or not line.address.startswith("10."):
        return f"{action} by {line.actor} from {line.address}"
    return None


def test_every_changing_route_has_an_audit_event_or_a_reason(sample: SampleServer) -> None:
    pages = ("/portal", "/admin", "/login", "/play", "/alerts")  # tests/portal/test_audit_route.py
    changing = {
        (method, path.replace("{endpoint_id}", "{listener}") if "/listener/" in path else path)
        for method, path in operations(sample.app)
        if method != "GET" and not path.startswith(pages)
    }
    rows = set(CHANGES) | set(UNRECORDED) | {row for rows in KEYED_CHANGES.values() for row in rows}
    assert changing - rows == set(), (
        "these change something: say what the audit log has of it, or why nothing"
    )
    assert {row for row in rows if row[0] != "GET"} - changing == set(), "these rows have no route any more"


async def test_every_changing_operation_of_the_api_is_in_the_audit_log(sample: SampleServer) -> None:
    wrong = []
    operator = bearer(sample.services.token.for_organization(ORG))
    for method, path in in_order(CHANGES):
        action, changing = CHANGES[method, path]
        needed, body = NATIVE[method, path]
        headers, kind = operator, "organization-token"
        if needed == TOKEN:
            headers = bearer(sample.services.token.for_application(ORG, sample.app_id))
            kind = "application-token"
        before = {line.id for line in await _lines(sample, ORG)}
        answer = await sample.call(method, path, headers, changing or body)
        new = [line for line in await _lines(sample, ORG) if line.id not in before]
        fault = _fault(new, action, kind) if answer.is_success else f"{answer.status_code} {answer.text}"
        if fault:
            wrong.append(f"{method} {path}: {fault}")
    assert wrong == []


@pytest.mark.parametrize("product", ["bluum", "bluma"])
async def test_every_changing_operation_of_a_products_api_is_in_the_audit_log(
    sample: SampleServer, product: str
) -> None:
    wrong = []
    org_id, headers = f"org_{product}", key_headers(product, sample.keys[product][0])
    places: dict[str, str] = {}
    for (method, path), action in KEYED_CHANGES[product].items():
        if "{webhook_id}" in path:
            await _prepare(sample, org_id, places, action)
        before = {line.id for line in await _lines(sample, org_id)}
        answer = await sample.call(method, path, headers, KEYED[product][method, path], places)
        if action == "endpoint.created":
            places = {"webhook_id": (answer.json().get("data") or answer.json())["id"]}
            places["event_id"] = await _message(sample, product)
        new = [line for line in await _lines(sample, org_id) if line.id not in before]
        fault = _fault(new, action, "api-key") if answer.is_success else f"{answer.status_code} {answer.text}"
        if fault:
            wrong.append(f"{method} {path}: {fault}")
    assert wrong == []


async def test_a_dashboard_link_over_graphql_is_in_the_audit_log(sample: SampleServer) -> None:
    for (method, path), action in KEYED_CHANGES["bloom"].items():
        before = {line.id for line in await _lines(sample, "org_bloom")}
        await sample.call(
            method, path, key_headers("bloom", sample.keys["bloom"][0]), KEYED["bloom"][method, path]
        )
        new = [line for line in await _lines(sample, "org_bloom") if line.id not in before]
        assert _fault(new, action, "api-key") is None


async def _prepare(sample: SampleServer, org_id: str, places: dict[str, str], action: str) -> None:
    """Bring the endpoint where the operation changes something."""
    endpoint = ids.parse(places["webhook_id"].partition("_")[0] + "_", places["webhook_id"])
    assert endpoint is not None
    async with sample.database.connection() as connection:
        if action == "endpoint.enabled":
            await connection.execute(
                "update endpoint set disabled_at = now(), disabled_reason = 'manual' where id = $1",
                endpoint,
            )


async def _message(sample: SampleServer, product: str) -> str:
    """A message for the product's customer; its id as the product writes it."""
    profile = sample.services.product.named(product).profile
    answer = await sample.client.post(
        "/api/v1/app/customer/msg",
        json={"eventType": profile.events[0].name, "payload": profile.events[0].example},
        headers=bearer(sample.services.token.for_organization(f"org_{product}")),
    )
    message = ids.parse(ids.MESSAGE, answer.json()["id"])
    assert message is not None
    return ids.text(profile.ids.message, message)
