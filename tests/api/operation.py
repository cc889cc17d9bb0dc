"""Every operation of every API: who may do it, and a body that it takes.

Tests of access and of the audit log go through all of them; one that has no row here fails those tests.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from angarium.api.static import REDOC
from angarium.core.claims import Capability
from angarium.service.listener import Receipt

SPARE = "spare"  # in a body: a token that is not needed any more
SINCE = "since"  # a body that says since when
ORG, OTHER_ORG = "org_one", "org_other"
TOKEN = "token"  # any caller with a token

WINDOW: dict[str, Any] = {"since": SINCE}
URL = {"url": "http://localhost:9/hook"}
MESSAGE = {"eventType": "order.filled", "payload": {"n": 1}}
EVENT_TYPE = {"name": "order.made", "description": ""}
APP = "/api/v1/app/{app_id}"
ENDPOINT = f"{APP}/endpoint/{{endpoint_id}}"
MSG = f"{APP}/msg/{{msg_id}}"

RECEIPT = Receipt(UUID(int=1), 1, 0, 1, None, 0.0).text()
VIEW, MANAGE, SEND = Capability.VIEW, Capability.MANAGE_ENDPOINT, Capability.CREATE_ATTEMPTS
NATIVE: dict[tuple[str, str], tuple[str, Any]] = {
    ("GET", "/api/v1/app"): (ORG, None),
    ("GET", "/api/v1/usage"): (ORG, None),
    ("POST", "/api/v1/app"): (ORG, {"name": "New"}),
    ("GET", APP): (VIEW, None),
    ("PUT", APP): (ORG, {"name": "Put"}),
    ("PATCH", APP): (ORG, {"name": "Patched"}),
    ("DELETE", APP): (ORG, None),
    ("POST", f"{APP}/erase"): (ORG, None),
    ("GET", f"{APP}/export/{{kind}}"): (ORG, None),
    ("POST", f"{APP}/export"): (
        ORG,
        {"files": [{"name": "message.jsonl", "records": 1, "sha256": "0" * 64}]},
    ),
    ("GET", f"{APP}/attempt/endpoint/{{endpoint_id}}"): (VIEW, None),
    ("GET", f"{APP}/attempt/msg/{{msg_id}}"): (VIEW, None),
    ("GET", f"{APP}/contact"): (VIEW, None),
    ("PUT", f"{APP}/contact"): (MANAGE, {"contacts": [{"email": "mine@example.com"}]}),
    ("POST", f"{APP}/contact"): (MANAGE, {"email": "added@example.com"}),
    ("DELETE", f"{APP}/contact/{{contact_id}}"): (MANAGE, None),
    ("POST", f"{APP}/contact/{{contact_id}}/confirmation"): (MANAGE, None),
    ("GET", f"{APP}/quota"): (VIEW, None),
    ("PATCH", f"{APP}/quota"): (ORG, {"messagesHard": 1000}),
    ("GET", f"{APP}/endpoint"): (VIEW, None),
    ("POST", f"{APP}/endpoint"): (MANAGE, URL),
    ("GET", ENDPOINT): (VIEW, None),
    ("PUT", ENDPOINT): (MANAGE, URL),
    ("PATCH", ENDPOINT): (MANAGE, {"description": "New"}),
    ("DELETE", ENDPOINT): (MANAGE, None),
    ("POST", f"{ENDPOINT}/compare"): (ORG, {"headers": {"X-A": "1"}}),
    ("GET", f"{ENDPOINT}/headers"): (VIEW, None),
    ("PUT", f"{ENDPOINT}/headers"): (MANAGE, {"headers": {}}),
    ("PATCH", f"{ENDPOINT}/headers"): (MANAGE, {"headers": {}}),
    ("GET", f"{ENDPOINT}/msg"): (VIEW, None),
    ("GET", f"{ENDPOINT}/recover"): (VIEW, SINCE),
    ("POST", f"{ENDPOINT}/recover"): (SEND, WINDOW),
    ("POST", f"{ENDPOINT}/replay-missing"): (SEND, WINDOW),
    ("GET", f"{ENDPOINT}/secret"): (Capability.VIEW_SECRET, None),
    ("POST", f"{ENDPOINT}/secret/rotate"): (Capability.MANAGE_SECRET, {}),
    ("POST", f"{ENDPOINT}/send-example"): (ORG, {"eventType": "svix.ping"}),
    ("GET", f"{ENDPOINT}/stats"): (VIEW, None),
    ("POST", f"{APP}/inbox"): (MANAGE, None),
    ("PATCH", f"{APP}/inbox/{{inbox_id}}"): (MANAGE, {"status": 410}),
    ("DELETE", f"{APP}/inbox/{{inbox_id}}"): (MANAGE, None),
    ("GET", f"{APP}/inbox/{{inbox_id}}/request"): (VIEW, None),
    ("POST", f"{APP}/listener"): (MANAGE, {"name": "laptop"}),
    ("GET", f"{APP}/listener/{{listener}}/fetch"): (MANAGE, "wait"),
    ("POST", f"{APP}/listener/{{listener}}/answer"): (
        MANAGE,
        {"data": [{"receipt": RECEIPT, "statusCode": 200}]},
    ),
    ("GET", f"{APP}/log"): (VIEW, None),
    ("POST", f"{APP}/log/resend"): (SEND, {"filter": {}}),
    ("GET", f"{APP}/task/{{task_id}}"): (VIEW, None),
    ("POST", f"{APP}/task/{{task_id}}/cancel"): (SEND, None),
    ("GET", f"{APP}/msg"): (VIEW, None),
    ("POST", f"{APP}/msg"): (ORG, MESSAGE),
    ("POST", f"{APP}/msg/batch"): (ORG, {"messages": [MESSAGE]}),
    ("GET", MSG): (VIEW, None),
    ("GET", f"{MSG}/attempt"): (VIEW, None),
    ("GET", f"{MSG}/attempt/{{attempt_id}}"): (VIEW, None),
    ("DELETE", f"{MSG}/attempt/{{attempt_id}}/content"): (ORG, None),
    ("DELETE", f"{MSG}/content"): (ORG, None),
    ("POST", f"{MSG}/erase"): (ORG, None),
    ("GET", f"{MSG}/endpoint"): (VIEW, None),
    ("GET", f"{MSG}/endpoint/{{endpoint_id}}/attempt"): (VIEW, None),
    ("POST", f"{MSG}/endpoint/{{endpoint_id}}/resend"): (SEND, None),
    ("GET", "/api/v1/audit"): (ORG, None),
    ("POST", "/api/v1/auth/app-portal-access/{app_id}"): (ORG, {}),
    ("POST", "/api/v1/auth/app/{app_id}/expire-all"): (ORG, {}),
    ("POST", "/api/v1/auth/dashboard-access/{app_id}"): (ORG, None),
    ("GET", "/api/v1/auth/credential"): (ORG, None),
    ("POST", "/api/v1/auth/credential"): (ORG, {"application": "mine", "name": "k"}),
    ("POST", "/api/v1/auth/credential/revoke"): (ORG, {"token": SPARE}),
    ("POST", "/api/v1/auth/logout"): (TOKEN, None),
    ("GET", "/api/v1/background-task"): (ORG, None),
    ("GET", "/api/v1/background-task/{task_id}"): (ORG, None),
    ("GET", "/api/v1/event-type"): (VIEW, None),
    ("POST", "/api/v1/event-type"): (ORG, EVENT_TYPE),
    ("GET", "/api/v1/event-type/{event_type_name}"): (VIEW, None),
    ("PUT", "/api/v1/event-type/{event_type_name}"): (ORG, {"description": ""}),
    ("PATCH", "/api/v1/event-type/{event_type_name}"): (ORG, {"description": "x"}),
    ("DELETE", "/api/v1/event-type/{event_type_name}"): (ORG, None),
    ("GET", "/api/v1/organization"): (ORG, None),
    ("PUT", "/api/v1/organization"): (ORG, {"profile": "standard"}),
}
# refused to an organization of the standard profile, which has no keys; see tests/api/test_credential.py
KEYLESS = {("POST", "/api/v1/auth/credential")}
# at these paths another organization acts on its own applications; at all others there is nothing
AT_HOME = {
    ("GET", "/api/v1/app"),
    ("POST", "/api/v1/app"),
    ("PUT", APP),
    ("GET", "/api/v1/audit"),
    ("GET", "/api/v1/auth/credential"),
    ("GET", "/api/v1/background-task"),
    ("GET", "/api/v1/event-type"),
    ("POST", "/api/v1/event-type"),
    ("PUT", "/api/v1/event-type/{event_type_name}"),
    ("POST", "/api/v1/auth/logout"),
    ("GET", "/api/v1/organization"),
    ("PUT", "/api/v1/organization"),
    ("GET", "/api/v1/usage"),
}
# a caller who lists these with an application token sees the organization's
SHARED = {("GET", "/api/v1/event-type"), ("GET", "/api/v1/event-type/{event_type_name}")}

_BLUUM = {
    ("GET", "/event-types"): None,
    ("POST", ""): {**URL, "eventTypeNames": ["*"]},
    ("GET", ""): None,
    ("GET", "/{webhook_id}"): None,
    ("PATCH", "/{webhook_id}"): {"description": "x"},
    ("DELETE", "/{webhook_id}"): None,
    ("POST", "/{webhook_id}/enable"): None,
    ("POST", "/{webhook_id}/rotate-secret"): None,
    ("GET", "/{webhook_id}/attempts"): None,
    ("GET", "/{webhook_id}/dead-letters"): None,
    ("POST", "/{webhook_id}/dead-letters/replay"): {},
    ("POST", "/{webhook_id}/dead-letters/{event_id}/replay"): None,
}
_BLUMA = {
    ("POST", ""): {**URL, "events": ["video.completed"]},
    ("GET", ""): None,
    ("GET", "/{webhook_id}"): None,
    ("PATCH", "/{webhook_id}"): {"description": "x"},
    ("DELETE", "/{webhook_id}"): None,
    ("GET", "/{webhook_id}/deliveries"): None,
    ("POST", "/{webhook_id}/enable"): None,
    ("POST", "/{webhook_id}/recover"): WINDOW,
    ("POST", "/{webhook_id}/regenerate-secret"): None,
    ("POST", "/{webhook_id}/activate-secret"): None,
}
QUERY = {"query": "{ webhookDashboardUrl }"}
# product -> operation -> body
KEYED: dict[str, dict[tuple[str, str], Any]] = {
    "bluum": {
        (method, f"{base}/webhooks{path}"): body
        for base in ("", "/v1")
        for (method, path), body in _BLUUM.items()
    },
    "bluma": {(method, f"/api/v1/webhooks{path}"): body for (method, path), body in _BLUMA.items()},
    "bloom": {("POST", path): QUERY for path in ("/graphql", "/v2/gql")},
}
# every key of the product may play, whatever its scope
PLAYED: dict[str, dict[tuple[str, str], Any]] = {
    "bluum": {
        ("POST", f"{base}{path}"): {}
        for base in ("", "/v1")
        for path in ("/trading/accounts/{account_id}/orders", "/transfers/deposits", "/transfers/withdrawals")
    },
    "bluma": {("POST", "/api/v1/videos"): {}},
    "bloom": {},
}
# answered to a key only, with the words that there is nothing
NOTHING = {
    (method, f"{base}/webhooks{rest}"): product
    for base, product in (("", "bluum"), ("/v1", "bluum"), ("/api/v1", "bluma"))
    for rest in ("", "/{rest:path}")
    for method in ("DELETE", "GET", "PATCH", "POST", "PUT")
}
OPEN = {
    ("GET", path)
    for path in (
        "/", "/.well-known/webhook-sources.json", "/api/v1/health", "/api/v1/health/ping",
        "/api/v1/openapi.json", "/docs", f"/docs/redoc-{REDOC}.js", "/docs/products/{name}.md",
        "/docs/svix-operations.md", "/llms.txt", "/style.css",
    )
}  # fmt: skip


def in_order(rows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """So that all of them can be done: what is inside before what it is in, and ends last."""
    return sorted(
        rows,
        key=lambda row: (row[1] == f"{APP}/erase", row[0] == "DELETE", "expire" in row[1], -len(row[1])),
    )
