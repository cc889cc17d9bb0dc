"""The query of every operation: what it does not take is refused by name, and what it takes is read alike."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import svix.api

from angarium.api.query import IGNORED
from angarium.store.database import Database
from tests.api.conftest import Api, Backend
from tests.api.operation import KEYED, NATIVE, ORG, PLAYED
from tests.api.sample import SampleServer, bearer, key_headers
from tests.api.world import World


@pytest.fixture
def world(backend: Backend, database: Database) -> World:
    return World(backend, database)


HEALTH = {("GET", "/api/v1/health"): (None, None), ("GET", "/api/v1/health/ping"): (None, None)}
OPERATIONS = sorted({**NATIVE, **HEALTH})


def _headers(sample: SampleServer) -> dict[str, str]:
    return bearer(sample.services.token.for_organization(ORG))


async def _ask(
    sample: SampleServer, method: str, path: str, query: str, headers: dict[str, str], body: Any = None
) -> httpx.Response:
    filled = path
    places = (
        {**sample.places, "endpoint_id": sample.places["listener"]} if "/listener/" in path else sample.places
    )
    for name, value in places.items():
        filled = filled.replace(f"{{{name}}}", value)
    json = body if isinstance(body, dict) else None
    return await sample.client.request(method, f"{filled}?{query}", json=json, headers=headers)


def _body(method: str, path: str) -> Any:
    named = path.replace("{endpoint_id}", "{listener}") if "/listener/" in path else path
    return {**NATIVE, **HEALTH}[method, named][1]


def _blamed(answer: httpx.Response) -> list[list[str]]:
    assert answer.status_code == 422, f"{answer.request.method} {answer.request.url}: {answer.text}"
    return [fault["loc"] for fault in answer.json()["detail"]]


async def _parameters(sample: SampleServer) -> dict[tuple[str, str], dict[str, Any]]:
    """The query parameters of each operation in the document, with their schemas."""
    document = (await sample.client.get("/api/v1/openapi.json")).json()
    return {
        (method.upper(), path): {
            one["name"]: one["schema"] for one in operation.get("parameters", ()) if one["in"] == "query"
        }
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def _types(schema: dict[str, Any]) -> set[str]:
    kinds = {str(schema.get("format") or schema.get("type"))}
    return kinds | {kind for one in schema.get("anyOf", ()) for kind in _types(one)}


async def test_unknown_parameters_are_refused_by_name(sample: SampleServer) -> None:
    headers = _headers(sample)
    for method, path in OPERATIONS:
        body = _body(method, path)
        for query in ("surprise=1", "surprise=", "with_content=true&surprise=1", "limit=2&surprise=1"):
            answer = await _ask(sample, method, path, query, headers, body)
            assert ["query", "surprise"] in _blamed(answer), (method, path)


async def test_unauthenticated_requests_get_401_before_parameters_are_checked(sample: SampleServer) -> None:
    for (method, path), (_, body) in NATIVE.items():
        answer = await _ask(sample, method, path, "surprise=1", {}, body)
        assert answer.status_code == 401, (method, path)


@pytest.mark.parametrize("name", ["bluum", "bluma", "bloom"])
async def test_products_refuse_unknown_parameters_in_their_own_form(sample: SampleServer, name: str) -> None:
    headers = key_headers(name, sample.keys[name][0])
    for (method, path), body in {**KEYED[name], **PLAYED[name]}.items():
        strange = await _ask(sample, method, path, "surprise=1", {}, body)
        assert strange.status_code == 401, (method, path)
        answer = await _ask(sample, method, path, "surprise=1", headers, body)
        assert answer.status_code in (400, 422), (method, path, answer.text)
        assert "detail" not in answer.json(), "this is the native form"
        assert "surprise" in answer.text or "not a parameter" in answer.text
    nowhere = await sample.client.get(
        {"bluum": "/webhooks/a/b/c", "bluma": "/api/v1/webhooks/a/b/c", "bloom": "/graphql/a"}[name],
        params={"surprise": "1"},
        headers=headers,
    )
    assert nowhere.status_code == 404


async def test_a_repeated_parameter_is_refused(sample: SampleServer) -> None:
    headers, seen = _headers(sample), 0
    for (method, path), parameters in (await _parameters(sample)).items():
        for name, schema in parameters.items():
            if "array" in _types(schema):
                continue
            answer = await _ask(sample, method, path, f"{name}=a&{name}=a", headers, _body(method, path))
            assert ["query", name] in _blamed(answer)
            seen += 1
    assert seen > 60


WRONG = {
    "boolean": ("1", "yes", "True", "TRUE", "on", "t", "maybe", "%00"),
    "date-time": ("yesterday", "2026-11-27", "2026-11-27T10:55:53", "2026-W48-5", "1764240953", "%00"),
    "integer": ("x", "1.0", "1e1", "%2B1", "-1", "1_0", " 1", "%D9%A3", "9" * 30, "%00"),
}
RIGHT = {
    "boolean": ("true", "false", ""),
    "date-time": (
        "2026-11-27T10:55:53Z", "2026-11-27t10:55:53z", "2026-11-27+10:55:53+UTC",
        "2026-11-27T16:25:53+05:30", "2026-11-27T16:25:53%2B05:30", "2016-12-31T23:59:60Z", "",
    ),
    "integer": ("1", ""),
}  # fmt: skip


async def test_values_are_parsed_in_the_same_way(sample: SampleServer) -> None:
    headers, seen = _headers(sample), set()
    for (method, path), parameters in (await _parameters(sample)).items():
        for name, schema in parameters.items():
            for kind in _types(schema) & set(WRONG):
                seen.add(kind)
                body = _body(method, path)
                for value in WRONG[kind]:
                    answer = await _ask(sample, method, path, f"{name}={value}", headers, body)
                    assert ["query", name] in _blamed(answer), (path, name, value)
                if method != "GET" or "enum" in schema:
                    continue
                for value in RIGHT[kind]:
                    answer = await _ask(sample, method, path, f"{name}={value}", headers, body)
                    faults = answer.json()["detail"] if answer.status_code == 422 else []
                    # a window may be too long ago, which is said in other words
                    words = [one["msg"] for one in faults if one["loc"] == ["query", name]]
                    assert not any("must be" in one for one in words), (path, name, value)
    assert seen == set(WRONG)


def _sent() -> Iterator[tuple[str, str, set[str]]]:
    """Method, path and query parameters of each operation of Svix's client."""
    for file in Path(svix.api.__file__).parent.glob("*.py"):
        tree = ast.parse(file.read_text())
        options = {
            one.name: {str(key.value) for call in ast.walk(method) if isinstance(call, ast.Dict)
                       for key in call.keys if isinstance(key, ast.Constant)}
            for one in tree.body if isinstance(one, ast.ClassDef)
            for method in one.body if isinstance(method, ast.FunctionDef) and method.name == "_query_params"
        }  # fmt: skip
        for function in ast.walk(tree):
            if not isinstance(function, ast.AsyncFunctionDef):
                continue
            names = {ast.unparse(arg.annotation) for arg in function.args.args if arg.annotation is not None}
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "self._request_asyncio":
                    given = {one.arg: one.value for one in call.keywords}
                    method, path = ast.literal_eval(given["method"]), ast.literal_eval(given["path"])
                    yield method.upper(), path, set().union(*(options.get(name, set()) for name in names))


async def test_everything_that_svixs_client_can_send_is_accepted(sample: SampleServer) -> None:
    ours, seen = await _parameters(sample), 0
    for method, path, sent in _sent():
        if (method, path) in ours:
            assert sent - IGNORED <= set(ours[method, path]), (method, path)
            seen += len(sent)
    assert seen > 60


async def test_event_types_are_listed_in_either_order(api: Api) -> None:
    for name in ("a", "b", "c"):
        await api.event_type(name)
    for order, expected in (("ascending", ["a", "b", "c"]), ("descending", ["c", "b", "a"])):
        page = await api.get("/event-type", order=order)
        assert [one["name"] for one in page["data"]] == expected
        first = await api.get("/event-type", order=order, limit=2)
        rest = await api.get("/event-type", order=order, limit=2, iterator=first["iterator"])
        assert [one["name"] for one in first["data"] + rest["data"]] == expected
        back = await api.get("/event-type", order=order, limit=2, iterator=rest["prevIterator"])
        assert [one["name"] for one in back["data"]] == expected[:2]


async def test_applications_can_be_excluded_by_their_endpoints(world: World) -> None:
    without, play = await world.application(), "https://play.svix.com/in/e_abc/"
    disabled, mixed, played, both = [await world.application() for _ in range(4)]
    ours = (await world.org.post(f"/app/{played}/inbox")).json()["url"]
    for app, urls in {
        disabled: ["http://localhost:9/a"], mixed: ["http://localhost:9/b", "http://localhost:9/c"],
        played: [ours, play], both: [play, "http://localhost:9/d"],
    }.items():  # fmt: skip
        made = [await world.endpoint(app, url=url) for url in urls]
        if app in (disabled, mixed):
            await world.org.patch(f"/app/{app}/endpoint/{made[0]}", json={"disabled": True})
    gone = await world.application()
    await world.org.delete(f"/app/{gone}/endpoint/{await world.endpoint(gone)}")

    async def listed(*flags: str) -> set[str]:
        query = {f"exclude_apps_with_{flag}_endpoints": "true" for flag in flags}
        found: set[str] = set()
        for order in ("ascending", "descending"):
            page = (await world.org.get("/app", params={**query, "order": order})).json()
            found |= {one["id"] for one in page["data"]}
        return found

    everything = {without, disabled, mixed, played, both, gone}
    assert await listed() == everything
    assert await listed("no") == everything - {without, gone}
    assert await listed("disabled") == everything - {disabled}
    assert await listed("svix_play") == everything - {played}
    assert await listed("no", "disabled", "svix_play") == {mixed, both}
