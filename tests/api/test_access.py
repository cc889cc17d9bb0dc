"""Who may do what: every operation of every API, for everyone who might try.

The operations are taken from the routes themselves. One that has no row here fails the test.
"""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from angarium.api.app import create_app
from angarium.core import ids
from angarium.core.claims import EVERYTHING, Capability
from angarium.core.product import product_of
from angarium.portal import app as portal
from angarium.profiles import load_all
from angarium.service.application import ApplicationDraft
from angarium.service.intake import Intake
from angarium.service.listener import Receipt
from angarium.service.product import Products
from angarium.service.provision import NewKey, Provision
from angarium.service.services import Services
from angarium.store.database import Database
from tests.api.conftest import JWT_SECRET, MovingClock
from tests.kit.access import Crowd, operations
from tests.kit.stand import services_of
from tests.kit.world import World

SPARE = "spare"  # in a body: a token that nobody needs any more
SINCE = "since"  # a body that says since when
ORG, OTHER_ORG = "org_one", "org_other"
TOKEN = "token"  # whoever has one

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
    ("POST", "/api/v1/app"): (ORG, {"name": "New"}),
    ("GET", APP): (VIEW, None),
    ("PUT", APP): (ORG, {"name": "Put"}),
    ("PATCH", APP): (ORG, {"name": "Patched"}),
    ("DELETE", APP): (ORG, None),
    ("GET", f"{APP}/attempt/endpoint/{{endpoint_id}}"): (VIEW, None),
    ("GET", f"{APP}/attempt/msg/{{msg_id}}"): (VIEW, None),
    ("GET", f"{APP}/endpoint"): (VIEW, None),
    ("POST", f"{APP}/endpoint"): (MANAGE, URL),
    ("GET", ENDPOINT): (VIEW, None),
    ("PUT", ENDPOINT): (MANAGE, URL),
    ("PATCH", ENDPOINT): (MANAGE, {"description": "New"}),
    ("DELETE", ENDPOINT): (MANAGE, None),
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
    ("GET", f"{MSG}/endpoint"): (VIEW, None),
    ("GET", f"{MSG}/endpoint/{{endpoint_id}}/attempt"): (VIEW, None),
    ("POST", f"{MSG}/endpoint/{{endpoint_id}}/resend"): (SEND, None),
    ("GET", "/api/v1/audit"): (ORG, None),
    ("POST", "/api/v1/auth/app-portal-access/{app_id}"): (ORG, {}),
    ("POST", "/api/v1/auth/app/{app_id}/expire-all"): (ORG, {}),
    ("POST", "/api/v1/auth/dashboard-access/{app_id}"): (ORG, None),
    ("GET", "/api/v1/auth/credential"): (ORG, None),
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
}
# what another organization does at these paths it does in its own house; at all others there is nothing
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
}
# whoever lists these with an application token sees the organization's
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
        "/api/v1/openapi.json", "/docs", "/docs/products/{name}.md", "/llms.txt", "/style.css",
    )
}  # fmt: skip


@dataclass
class House:
    """Two organizations, two applications with everything in each, and customers of three products."""

    services: Services
    client: httpx.AsyncClient
    app: Any
    database: Database
    clock: MovingClock
    places: dict[str, str] = field(default_factory=dict)  # of the first application
    others: dict[str, str] = field(default_factory=dict)  # of the second
    keys: dict[str, list[NewKey]] = field(default_factory=dict)

    @property
    def app_id(self) -> UUID:
        found = ids.parse(ids.APPLICATION, self.places["app_id"])
        assert found is not None
        return found

    async def call(
        self, method: str, path: str, headers: dict[str, str], body: Any, places: dict[str, str] | None = None
    ) -> httpx.Response:
        since = "2026-01-01T00:00:00Z" if self.clock.now() < 1.769e9 else _ago(self.clock)
        query = {"since": since} if body == SINCE else {"wait": "0"} if body == "wait" else None
        if isinstance(body, dict) and body.get("since") == SINCE:
            body = {"since": since}
        if isinstance(body, dict) and body.get("token") == SPARE:
            body = {"token": self.services.token.for_application(ORG, self.app_id)}
        filled = path
        for name, value in (places or self.places).items():
            filled = filled.replace(f"{{{name}}}", value)
        return await self.client.request(
            method, filled, params=query, json=body if isinstance(body, dict) else None, headers=headers
        )

    async def deeds(self) -> int:
        """How much was done in the first organization."""
        async with self.database.connection() as connection:
            return int(await connection.fetchval("select count(*) from audit where org_id = $1", ORG))


def _ago(clock: MovingClock) -> str:
    from angarium.clock import datetime_at

    return datetime_at(clock.now() - 3600).isoformat().replace("+00:00", "Z")


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def basic(key: str, secret: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{key}:{secret}".encode()).decode()}


@pytest.fixture
async def house(database: Database) -> AsyncIterator[House]:
    clock = MovingClock()
    profiles = load_all(["bluum", "bluma", "bloom"])
    products = Products(database, clock, {name: product_of(one, "test") for name, one in profiles.items()})
    intake = Intake(database, clock, os.urandom, lambda _: None, products)
    world = World(database, clock=clock)
    services = services_of(world, products, intake, secret=JWT_SECRET)
    app = create_app(services, sandbox=True, egress=["192.0.2.1"], pages=portal.routes())
    await intake.start()
    async with httpx.AsyncClient(transport=Crowd(app), base_url="http://angarium.test") as client:
        made = House(services, client, app, database, clock)
        operator = bearer(services.token.for_organization(ORG))
        made.places = await _furnish(made, operator, "mine")
        made.others = await _furnish(made, operator, "theirs")
        provision = Provision(database, clock, products, services.application, services.access)
        for name, profile in profiles.items():
            if name == "standard":
                continue
            product = provision.product(name)
            keys = provision.draw_keys(product, sandbox=True)
            draft = ApplicationDraft("Customer", "customer")
            await provision.install(f"org_{name}", name, application=draft, keys=keys)
            made.keys[name] = keys
            assert profile.management.scopes
        yield made
    await intake.stop()


async def _furnish(house: House, operator: dict[str, str], uid: str) -> dict[str, str]:
    """An application that has one of everything."""

    async def make(method: str, path: str, body: Any = None) -> Any:
        answer = await house.client.request(method, f"/api/v1{path}", json=body, headers=operator)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    if uid == "mine":
        await make("POST", "/event-type", {"name": "order.filled", "description": ""})
    app_id = (await make("POST", "/app", {"name": uid, "uid": uid}))["id"]
    endpoint = (await make("POST", f"/app/{app_id}/endpoint", URL))["id"]
    listener = (await make("POST", f"/app/{app_id}/listener", {"name": "laptop"}))["id"]
    inbox = (await make("POST", f"/app/{app_id}/inbox"))["id"]
    message = (await make("POST", f"/app/{app_id}/msg", MESSAGE))["id"]
    task = (await make("POST", f"/app/{app_id}/endpoint/{endpoint}/recover", {"since": _ago(house.clock)}))[
        "id"
    ]
    attempt = ids.new(house.clock.now(), os.urandom(8))
    async with house.database.connection() as connection:
        await connection.execute(
            "insert into attempt (app_id, message_id, id, endpoint_id, number, manual, status, status_code,"
            " duration_ms, url) values ($1, $2, $3, $4, 1, false, 0, 200, 5, '')",
            ids.parse(ids.APPLICATION, app_id), ids.parse(ids.MESSAGE, message), attempt,
            ids.parse(ids.ENDPOINT, endpoint),
        )  # fmt: skip
    return {
        "app_id": app_id, "endpoint_id": endpoint, "listener": listener, "inbox_id": inbox, "msg_id": message,
        "task_id": task,
        "attempt_id": ids.text(ids.ATTEMPT, attempt), "event_type_name": "order.filled",
        "webhook_id": endpoint, "event_id": message, "account_id": "acct_1", "name": "bluum", "rest": "x",
    }  # fmt: skip


def test_every_route_has_a_row(house: House) -> None:
    rows = set(NATIVE) | OPEN | set(NOTHING)
    for product in KEYED:
        rows |= set(KEYED[product]) | set(PLAYED[product])
    # pages are another matter: tests/portal/test_access.py
    pages = ("/portal", "/admin", "/login", "/play")
    routes = {row for row in operations(house.app) if not row[1].startswith(pages)}
    named = {(method, path.replace("{endpoint_id}", "{listener}") if "/listener/" in path else path)
             for method, path in routes}  # fmt: skip
    assert named - rows == set(), "these routes have no row here: say who may use them"
    assert rows - named == set(), "these rows have no route any more"


async def _strangers(house: House) -> dict[str, dict[str, str]]:
    """Who is not let in anywhere in the native API."""
    token = house.services.token
    link = await house.services.portal_link.open(house.services.portal_link.make(ORG, house.app_id).key)
    operator = token.for_operator(token.verify(token.for_organization(ORG)))
    ended = token.for_application(ORG, house.app_id)
    await token.revoke(token.verify(ended))
    everyone = {
        "nobody": {},
        "a guess": bearer("nonsense"),
        "no bearer": {"authorization": f"Token {token.for_organization(ORG)}"},
        "an organization's token that is over": bearer(token.for_organization(ORG, lifetime=-120)),
        "an application's token that is over": bearer(
            token.for_application(ORG, house.app_id, lifetime=-120)
        ),
        "a token that was logged out": bearer(ended),
        "another server's token": bearer(_forged(house)),
        "a session": bearer(link.token),
        "an operator's session": bearer(operator),
        "a cookie": {
            "cookie": f"angarium-{house.places['app_id']}={link.token}; angarium-operator={operator}"
        },
    }
    for name, (first, *_) in house.keys.items():
        everyone[f"a key of {name}"] = (
            basic(first.shown.key, first.shown.secret) if name == "bluum" else bearer(first.shown.key)
        )
    return everyone


def _forged(house: House) -> str:
    import jwt

    return jwt.encode({"sub": ORG, "exp": house.clock.now() + 3600}, "another secret " * 4, algorithm="HS256")


async def test_strangers_are_refused_everywhere_and_leave_no_trace(house: House) -> None:
    wrong = []
    strangers = await _strangers(house)
    before = await house.deeds()
    for who, headers in strangers.items():
        for (method, path), (_, body) in NATIVE.items():
            answer = await house.call(method, path, headers, body)
            if answer.status_code != 401:
                wrong.append(f"{who}: {method} {path}: {answer.status_code}")
    assert wrong == []
    assert await house.deeds() == before


def _refusal(needed: str, capabilities: frozenset[Capability]) -> int | None:
    """What an application token with these capabilities gets; None: what it wants."""
    if needed == TOKEN:
        return None
    if needed == ORG or VIEW not in capabilities or needed not in capabilities:
        return 403
    return None


@pytest.mark.parametrize(
    "capabilities",
    [
        EVERYTHING,
        frozenset({VIEW}),
        frozenset(),
        *(EVERYTHING - {one} for one in (MANAGE, SEND, Capability.VIEW_SECRET, Capability.MANAGE_SECRET)),
    ],
    ids=["everything", "read-only", "nothing", "no-manage", "no-send", "no-secret", "no-rotate"],
)
async def test_an_application_token_does_what_it_was_given_for(
    house: House, capabilities: frozenset[Capability]
) -> None:
    wrong = []
    order = sorted(NATIVE, key=lambda row: (row[0] == "DELETE", len(row[1]) * -1))
    for method, path in order:
        needed, body = NATIVE[method, path]
        token = house.services.token.for_application(ORG, house.app_id, capabilities=sorted(capabilities))
        answer = await house.call(method, path, bearer(token), body)
        expected = _refusal(needed, capabilities)
        if answer.status_code != expected if expected else not answer.is_success:
            wrong.append(f"{method} {path}: {answer.status_code}, not {expected or 'success'}: {answer.text}")
    assert wrong == []


async def test_the_organization_may_do_everything(house: House) -> None:
    headers = bearer(house.services.token.for_organization(ORG))
    wrong = []
    order = sorted(NATIVE, key=lambda row: (row[0] == "DELETE", "expire" in row[1], len(row[1]) * -1))
    for method, path in order:
        needed, body = NATIVE[method, path]
        answer = await house.call(method, path, headers, body)
        if answer.status_code != 403 if needed == TOKEN else not answer.is_success:
            wrong.append(f"{method} {path}: {answer.status_code}: {answer.text}")
    assert wrong == []


async def test_another_organization_finds_nothing(house: House) -> None:
    headers = bearer(house.services.token.for_organization(OTHER_ORG))
    before = await house.deeds()
    wrong = []
    # what it makes at home comes last
    for (method, path), (_, body) in sorted(NATIVE.items(), key=lambda row: row[0] in AT_HOME):
        answer = await house.call(method, path, headers, body)
        if (method, path) in AT_HOME:
            if not {house.places[name] for name in ("app_id", "task_id")}.isdisjoint(answer.text.split('"')):
                wrong.append(f"{method} {path}: sees {answer.text}")
        elif answer.status_code != 404:
            wrong.append(f"{method} {path}: {answer.status_code}")
    assert wrong == []
    assert await house.deeds() == before


async def test_an_application_finds_nothing_of_another(house: House) -> None:
    other = ids.parse(ids.APPLICATION, house.others["app_id"])
    assert other is not None
    headers = bearer(house.services.token.for_application(ORG, other))
    before = await house.deeds()
    wrong = []
    for (method, path), (needed, body) in NATIVE.items():
        if needed in (ORG, TOKEN) or (method, path) in SHARED:
            continue
        for ref in (house.places["app_id"], "mine"):
            answer = await house.call(method, path, headers, body, {**house.places, "app_id": ref})
            if answer.status_code != 404:
                wrong.append(f"{method} {path} of {ref}: {answer.status_code}")
    assert wrong == []
    assert await house.deeds() == before


async def test_what_is_anothers_is_not_found_in_ones_own_application(house: House) -> None:
    """The application is one's own, but what is asked for in it is another's."""
    token = house.services.token
    before = await house.deeds()
    wrong = []
    places = {**house.others, "app_id": house.places["app_id"]}
    for headers in (bearer(token.for_application(ORG, house.app_id)), bearer(token.for_organization(ORG))):
        for (method, path), (needed, body) in NATIVE.items():
            inside = path.removeprefix(APP)
            if inside == path or "{" not in inside:
                continue
            if method == "PUT" and path == ENDPOINT:
                continue  # would make it
            answer = await house.call(method, path, headers, body, places)
            if answer.status_code not in ((403, 404) if needed == ORG else (404,)):
                wrong.append(f"{method} {path}: {answer.status_code}: {answer.text}")
    assert wrong == []
    assert await house.deeds() == before


def key_headers(product: str, key: NewKey) -> dict[str, str]:
    return basic(key.shown.key, key.shown.secret) if product == "bluum" else bearer(key.shown.key)


def _says(answer: httpx.Response, product: str) -> int:
    """The status; GraphQL has its own in the body."""
    if product == "bloom" and answer.status_code == 200:
        code = (answer.json().get("errors") or [{}])[0].get("extensions", {}).get("code")
        return {"FORBIDDEN": 403, None: 200}.get(code, 400)
    return answer.status_code


async def test_a_products_api_knows_its_own_keys_only(house: House) -> None:
    token = house.services.token
    wrong = []
    for product in KEYED:
        gone = house.services.access.draw("gone_", with_secret=product == "bluum")
        org_id = f"org_{product}"
        (customer, *_) = await house.services.application.page(org_id, None, ascending=True, limit=1)
        await house.services.access.register(
            gone, org_id=org_id, app_id=customer.id, scope=house.keys[product][0].scope, name="gone"
        )
        (newest,) = [key for key in await house.services.access.keys(org_id) if key.name == "gone"]
        await house.services.access.revoke(org_id, newest.id)
        strangers = {
            "nobody": {},
            "a guess": basic("a", "b") if product == "bluum" else bearer("guess"),
            "a guess at the secret": basic(house.keys["bluum"][0].shown.key, "guess"),
            "an organization's token": bearer(token.for_organization(org_id)),
            "an application's token": bearer(token.for_application(org_id, customer.id)),
            "a revoked key": basic(gone.key, gone.secret) if product == "bluum" else bearer(gone.key),
        }
        for other in KEYED.keys() - {product}:
            strangers[f"a key of {other}"] = key_headers(other, house.keys[other][0])
            strangers[f"a key of {other}, shown our way"] = key_headers(product, house.keys[other][0])
        rows = KEYED[product] | PLAYED[product]
        rows |= {row: None for row, owner in NOTHING.items() if owner == product}
        for who, headers in strangers.items():
            for (method, path), body in rows.items():
                answer = await house.call(method, path, headers, body)
                if answer.status_code != 401:
                    wrong.append(f"{product}, {who}: {method} {path}: {answer.status_code}")
    assert wrong == []


async def test_a_key_of_another_scope_manages_nothing(house: House) -> None:
    wrong = []
    for product in KEYED:
        for key in house.keys[product][1:]:
            for (method, path), body in KEYED[product].items():
                answer = await house.call(method, path, key_headers(product, key), body)
                if _says(answer, product) != 403:
                    wrong.append(f"{product}, {key.scope}: {method} {path}: {answer.status_code}")
    assert wrong == []


async def test_a_customer_manages_ones_own_and_finds_nothing_of_others(house: House) -> None:
    wrong = []
    for product in KEYED:
        headers = key_headers(product, house.keys[product][0])
        profile = house.services.product.named(product).profile
        # the ids of another organization's things, in the product's own words
        endpoint, message = (
            ids.parse(ids.ENDPOINT, house.places["endpoint_id"]),
            ids.parse(ids.MESSAGE, house.places["msg_id"]),
        )
        assert endpoint is not None
        assert message is not None
        places = {
            "webhook_id": ids.text(profile.ids.endpoint, endpoint),
            "event_id": ids.text(profile.ids.message, message),
        }
        for (method, path), body in KEYED[product].items():
            answer = await house.call(method, path, headers, body, places)
            expected = 404 if "{" in path else None
            if _says(answer, product) != expected if expected else not answer.is_success:
                wrong.append(f"{product}: {method} {path}: {answer.status_code}: {answer.text}")
    assert wrong == []


async def test_what_is_open_is_open_to_everyone(house: House) -> None:
    for method, path in OPEN:
        answer = await house.call(method, path, {}, None)
        assert answer.status_code in (200, 204, 307), (path, answer.status_code)


# what the database itself holds in this test: a change whose transaction has no record cannot be committed
WATCH = """
create function watched() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and to_jsonb(new) - tg_argv[0]::text[] = to_jsonb(old) - tg_argv[0]::text[] then
        return null;
    end if;
    if not exists (select from audit where xmin = pg_current_xact_id()::xid) then
        raise exception '% of % without a record', tg_op, tg_table_name;
    end if;
    return null;
end $$;
"""
WATCHED = {
    "application": "updated_at",
    "endpoint": "updated_at,revision,keys,headers",  # sealed anew whenever they are written
    "event_type": "updated_at",
    "api_key": "last_used_at",
    "play_inbox": "expires_at",
    "organization": "",
    "revoked_token": "",
    "token_cutoff": "",
}


async def test_no_operation_of_any_api_changes_anything_without_a_record(house: House) -> None:
    async with house.database.connection() as connection:
        await connection.execute(WATCH)
        for table, besides in WATCHED.items():
            await connection.execute(
                f"create constraint trigger watched after insert or update or delete on {table} "
                f"deferrable initially deferred for each row execute function watched('{{{besides}}}')"
            )
        await connection.execute(
            "create constraint trigger watched after insert on background_task "
            "deferrable initially deferred for each row execute function watched('{}')"
        )
        with pytest.raises(asyncpg.RaiseError, match="without a record"):
            await connection.execute("update application set name = 'by stealth'")
    wrong = []
    before = await house.deeds()
    operator = bearer(house.services.token.for_organization(ORG))
    order = sorted(NATIVE, key=lambda row: (row[0] == "DELETE", "expire" in row[1], len(row[1]) * -1))
    for method, path in order:
        needed, body = NATIVE[method, path]
        headers = operator
        if needed == TOKEN:
            headers = bearer(house.services.token.for_application(ORG, house.app_id))
        answer = await house.call(method, path, headers, body)
        if not answer.is_success:
            wrong.append(f"{method} {path}: {answer.status_code}: {answer.text}")
    for product in KEYED:
        headers = key_headers(product, house.keys[product][0])
        (method, path), body = next(row for row in KEYED[product].items() if row[0][0] == "POST")
        answer = await house.call(method, path, headers, body)
        if not answer.is_success:
            wrong.append(f"{product}: {method} {path}: {answer.status_code}: {answer.text}")
            continue
        if product == "bloom":
            continue
        places = {"webhook_id": (answer.json().get("data") or answer.json())["id"]}
        rows = sorted(KEYED[product].items(), key=lambda row: row[0][0] == "DELETE")
        for (method, path), body in rows:
            if path.startswith("/v1") or "{webhook_id}" not in path or "{event_id}" in path:
                continue
            answer = await house.call(method, path, headers, body, places)
            # nothing waits to be activated
            if not answer.is_success and "activate" not in path:
                wrong.append(f"{product}: {method} {path}: {answer.status_code}: {answer.text}")
    assert wrong == []
    assert await house.deeds() > before + 15
