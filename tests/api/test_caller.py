"""Who is calling, as routes see it: the bearer token, what it may do, and which application it is for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse

from angarium.api.auth import (
    AnyCaller,
    AppOf,
    Caller,
    OrgAppOf,
    OrgCaller,
    ServicesOf,
    TokenCaller,
    application_id,
    base_url,
    bearer_of,
    caller_of,
    header_of,
    requires,
)
from angarium.core import ids
from angarium.core.audit import ActorKind
from angarium.core.claims import EVERYTHING, Capability, Claims
from angarium.core.errors import AngariumError, NotAllowed, NotAuthenticated, NotFound
from angarium.core.nouns import Application
from angarium.service import audit
from angarium.service.login import LoginThrottle

ORG = "org_a"
APP, OTHER_APP = UUID(int=7), UUID(int=8)
ADDRESS = "192.0.2.7"


def claims(name: str, app_id: UUID | None = None, **more: Any) -> Claims:
    digest = name.encode().ljust(32)
    return replace(Claims(ORG, app_id, frozenset(), EVERYTHING, None, 0.0, 1.0, digest), **more)


KNOWN = {
    "org": claims("org"),
    "new": claims("new"),
    "app": claims("app", APP, feature_flags=frozenset({"beta"}), session_id="s@1"),
    "other": claims("other", OTHER_APP),
    "viewer": claims("viewer", APP, capabilities=frozenset({Capability.VIEW})),
    "nothing": claims("nothing", APP, capabilities=frozenset()),
    "session": claims("session", APP, link=b"l" * 32),
}


def application(app_id: UUID) -> Application:
    nothing: Any = None
    return Application(app_id, ORG, None, "app", None, {}, nothing, nothing)


@dataclass
class Backend:
    """Stands for the services: a few tokens and two applications."""

    asked: list[Any] = field(default_factory=list)

    admit = cast(Any, LoginThrottle.admit)

    @property
    def token(self) -> Backend:
        return self

    @property
    def login_throttle(self) -> Backend:
        return self

    @property
    def application(self) -> Backend:
        return self

    def at_once(self, token: str) -> Claims | None:
        return KNOWN[token] if token == "org" else None

    @contextmanager
    def watching(self, kind: str, cookie: str | None) -> Iterator[None]:
        self.asked.append((kind, cookie))
        yield

    def verify(self, token: str) -> Claims:
        if token not in KNOWN:
            raise NotAuthenticated
        return KNOWN[token]

    async def check_live(self, shown: Claims) -> None:
        self.asked.append(shown)

    async def find(self, org_id: str, ref: str) -> Application:
        assert org_id == ORG
        found = {"app": APP, "other": OTHER_APP}.get(ref)
        if found is None:
            raise NotFound
        return application(found)


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def client(backend: Backend) -> httpx.AsyncClient:
    app = FastAPI()
    app.state.services = backend
    app.state.base_url = None

    @app.exception_handler(AngariumError)
    async def refuse(request: Request, error: AngariumError) -> JSONResponse:
        return JSONResponse(type(error).__name__, 400)

    @app.get("/token")
    async def token(caller: TokenCaller) -> str:
        return caller.claims.digest.decode().strip()

    @app.get("/any")
    async def any_caller(caller: AnyCaller) -> str:
        return caller.claims.digest.decode().strip()

    @app.get("/organization")
    async def organization(caller: OrgCaller) -> str:
        return caller.org_id

    @app.get("/app/{app_id}")
    async def one(application: AppOf) -> str:
        return application_id(application)

    @app.get("/app/{app_id}/organization")
    async def one_of_organization(application: OrgAppOf) -> str:
        return application_id(application)

    @app.get("/secret", dependencies=[requires(Capability.VIEW_SECRET)])
    async def secret() -> str:
        return "secret"

    @app.get("/services")
    async def services(found: ServicesOf) -> bool:
        thing: object = found
        return thing is backend

    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://angarium.test")


def request(backend: Any = None, *headers: tuple[bytes, bytes], configured: str | None = None) -> Request:
    state = SimpleNamespace(services=backend, base_url=configured)
    return Request(
        {
            "type": "http", "headers": list(headers), "app": SimpleNamespace(state=state), "path": "/x",
            "root_path": "", "query_string": b"", "scheme": "https", "server": ("hooks.example.com", 8443),
        }
    )  # fmt: skip


def bearer(token: str) -> tuple[bytes, bytes]:
    return b"authorization", f"Bearer {token}".encode()


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"), ("bearer abc", "abc"), ("BEARER   abc  ", "abc"), ("Bearer a b", "a b"),
        ("Bearer", ""), ("Bearer ", ""), ("", ""), ("abc", ""), ("Basic abc", ""), ("Bearers abc", ""),
        ("Bearer\tabc", ""),
    ],
)  # fmt: skip
def test_a_token_follows_the_word_bearer_in_any_case(header: str, token: str) -> None:
    assert bearer_of(header) == token


def test_a_header_is_found_by_its_name_in_lower_case() -> None:
    found = request(None, (b"a", b"1"), (b"b", b"caf\xe9"), (b"b", b"2"))
    assert header_of(found, b"a") == "1"
    assert header_of(found, b"b") == "café", "the first of a name, byte by byte"
    assert header_of(found, b"c") == ""


def test_urls_use_the_public_url_or_the_url_of_the_request() -> None:
    assert base_url(request(configured="https://hooks.example.org/in")) == "https://hooks.example.org/in"
    assert base_url(request()) == "https://hooks.example.com:8443"
    mounted = request()
    mounted.scope["root_path"] = "/X"
    assert base_url(mounted) == "https://hooks.example.com:8443/X"


async def test_a_caller_is_read_from_the_token_once(backend: Backend) -> None:
    asking = request(backend, bearer("app"))
    caller = await caller_of(asking)
    assert caller == Caller(ORG, APP, frozenset({"beta"}), EVERYTHING, "s@1", KNOWN["app"])
    assert backend.asked == [("token", None), KNOWN["app"]]
    assert await caller_of(asking) is caller
    assert len(backend.asked) == 2


async def test_a_cached_organization_token_is_not_looked_up(backend: Backend) -> None:
    assert (await caller_of(request(backend, bearer("org")))).app_id is None
    assert backend.asked == []
    assert (await caller_of(request(backend, bearer("new")))).app_id is None
    assert backend.asked == [("token", None), KNOWN["new"]]


@pytest.mark.parametrize(
    ("token", "kind", "app_id"),
    [
        ("org", ActorKind.ORGANIZATION_TOKEN, None), ("new", ActorKind.ORGANIZATION_TOKEN, None),
        ("app", ActorKind.APPLICATION_TOKEN, APP),
    ],
)  # fmt: skip
async def test_the_caller_is_the_actor_of_its_changes(
    backend: Backend, token: str, kind: ActorKind, app_id: UUID | None
) -> None:
    audit.arrived(ADDRESS)
    await caller_of(request(backend, bearer(token)))
    actor = audit.current()
    assert (actor.kind, actor.name, actor.address) == (kind, KNOWN[token].name, ADDRESS)
    assert (actor.org_id, actor.app_id) == (ORG, app_id)


@pytest.mark.parametrize("headers", [(), (bearer(""),), (bearer("stranger"),), (bearer("session"),)])
async def test_a_caller_needs_a_valid_token(
    backend: Backend, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    """A session is good for the browser that has it, and for nothing else."""
    audit.arrived(ADDRESS)
    with pytest.raises(NotAuthenticated):
        await caller_of(request(backend, *headers))
    assert audit.current().kind is ActorKind.STRANGER


def test_a_caller_may_do_what_the_token_carries() -> None:
    caller = Caller(ORG, APP, frozenset(), frozenset({Capability.VIEW}), None, KNOWN["viewer"])
    caller.require(Capability.VIEW)
    with pytest.raises(NotAllowed):
        caller.require(Capability.MANAGE_ENDPOINT)
    with pytest.raises(NotAllowed):
        caller.require_organization()
    replace(caller, app_id=None).require_organization()


APP_ID, OTHER_ID = ids.text(ids.APPLICATION, APP), ids.text(ids.APPLICATION, OTHER_APP)
NO, MISSING = "NotAllowed", "NotFound"


@pytest.mark.parametrize(
    ("path", "answers"),
    [
        ("/token", {"org": "org", "app": "app", "viewer": "viewer", "nothing": "nothing"}),
        ("/any", {"org": "org", "app": "app", "viewer": "viewer", "nothing": NO}),
        ("/organization", {"org": ORG, "app": NO, "viewer": NO, "nothing": NO}),
        ("/app/app", {"org": APP_ID, "app": APP_ID, "viewer": APP_ID, "other": MISSING, "nothing": NO}),
        ("/app/other", {"org": OTHER_ID, "app": MISSING, "other": OTHER_ID}),
        ("/app/nobody", {"org": MISSING, "app": MISSING}),
        ("/app/app/organization", {"org": APP_ID, "app": NO, "other": NO}),
        ("/secret", {"org": "secret", "app": "secret", "viewer": NO, "nothing": NO}),
    ],
)
async def test_a_route_is_open_to_those_it_is_for(
    client: httpx.AsyncClient, path: str, answers: dict[str, str]
) -> None:
    async with client:
        for token, expected in answers.items():
            answer = await client.get(path, headers={"authorization": f"Bearer {token}"})
            assert answer.json() == expected, token
        assert (await client.get(path)).json() == "NotAuthenticated"


async def test_routes_are_given_the_services(client: httpx.AsyncClient) -> None:
    async with client:
        assert (await client.get("/services")).json() is True
