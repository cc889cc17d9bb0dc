"""Null in an answer: what is always there is null when there is nothing; what may be missing never is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.api.conftest import Api
from tests.api.operation import NATIVE, ORG, in_order
from tests.api.sample import SampleServer, bearer

# as Svix's own server writes them
_NULL = {
    "ApplicationOut": {"rateLimit", "throttleRate"},
    "EndpointOut": {"channels", "eventTypes", "filterTypes", "rateLimit", "throttleRate", "uid"},
    "EventTypeOut": {"featureFlag", "featureFlags", "groupName", "schemas"},
    "MessageOut": {"channels", "eventId"},
    "EndpointMessageOut": {"channels", "eventId"},
    "MessageEndpointOut": {
        "channels", "eventTypes", "filterTypes", "nextAttempt", "ourFault", "rateLimit", "throttleRate",
        "uid",
    },
}  # fmt: skip
_LEFT_OUT = {"ApplicationOut": {"uid"}, "EndpointMessageOut": {"nextAttempt", "ourFault"}}


async def test_null_and_omitted_fields_are_documented(sample: SampleServer) -> None:
    schemas = (await sample.client.get("/api/v1/openapi.json")).json()["components"]["schemas"]
    for name, fields in _NULL.items():
        assert fields <= set(schemas[name]["required"]), name
        for field in fields:
            assert {"type": "null"} in schemas[name]["properties"][field]["anyOf"], (name, field)
    for name, fields in _LEFT_OUT.items():
        assert fields <= set(schemas[name]["properties"]) - set(schemas[name]["required"]), name


async def test_an_empty_object_is_written_as_svix_writes_it(api: Api) -> None:
    app = await api.post("/app", {"name": "A"})
    assert app.keys() == {
        "id", "name", "rateLimit", "throttleRate", "metadata", "createdAt", "updatedAt"
    }  # fmt: skip
    path = f"/app/{app['id']}"
    endpoint = await api.post(f"{path}/endpoint", {"url": "http://localhost:9/"})
    assert {name for name, value in endpoint.items() if value is None} == _NULL["EndpointOut"]
    kind = await api.post("/event-type", {"name": "order.made", "description": ""})
    assert {name for name, value in kind.items() if value is None} == _NULL["EventTypeOut"]
    message = await api.post(f"{path}/msg", {"eventType": "order.made", "payload": {}}, status=202)
    assert message.keys() == {"id", "eventId", "eventType", "channels", "payload", "timestamp"}
    assert {name for name, value in message.items() if value is None} == _NULL["MessageOut"]
    assert await api.get(f"{path}/msg/{message['id']}") == message
    assert (await api.get(f"{path}/msg"))["data"] == [message]
    batch = await api.post(f"{path}/msg/batch", {"messages": [{"eventType": "a", "payload": {}}]}, status=202)
    assert batch["results"][0].keys() == {*message, "status"}
    await api.patch(f"{path}/endpoint/{endpoint['id']}", {"disabled": True})  # nothing more is tried
    (destination,) = (await api.get(f"{path}/msg/{message['id']}/endpoint"))["data"]
    assert {name for name, value in destination.items() if value is None} == _NULL["MessageEndpointOut"]
    (_, standing) = (await api.get(f"{path}/endpoint/{endpoint['id']}/msg"))["data"]
    assert standing.keys() == {*message, "status", "statusText"}


def _departures(document: dict[str, Any], schema: dict[str, Any], value: Any, at: str) -> Iterator[str]:
    """Where a value is not as the schema says, as far as fields and null go."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        found = [one for one in schema["anyOf"] if (one.get("type") == "null") == (value is None)]
        if not found:
            yield f"{at} is null"
        elif value is not None:
            yield from min((list(_departures(document, one, value, at)) for one in found), key=len)
    elif value is None and schema:
        yield f"{at} is null"
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _departures(document, schema.get("items", {}), item, f"{at}[{index}]")
    elif isinstance(value, dict) and "properties" in schema:
        known = schema["properties"]
        yield from (f"{at}.{name} is missing" for name in schema.get("required", ()) if name not in value)
        yield from (f"{at}.{name} is not documented" for name in value if name not in known)
        for name in value.keys() & known.keys():
            if value[name] is None and name not in schema.get("required", ()):
                yield f"{at}.{name} may be left out and is null"
            yield from _departures(document, known[name], value[name], f"{at}.{name}")


async def test_every_response_has_the_documented_fields(sample: SampleServer) -> None:
    operator = bearer(sample.services.token.for_organization(ORG))
    document = (await sample.client.get("/api/v1/openapi.json")).json()
    wrong, seen = [], 0
    for method, path in in_order(NATIVE):
        operation = document["paths"].get(path, {}).get(method.lower())
        answer = await sample.call(method, path, operator, NATIVE[method, path][1])
        if operation is None or not answer.is_success or not answer.content:
            continue
        described = operation["responses"].get(str(answer.status_code), {}).get("content", {})
        schema = described.get("application/json", {}).get("schema", {})
        if schema:
            seen += 1
            wrong += [f"{method} {path}: {one}" for one in _departures(document, schema, answer.json(), "")]
    assert wrong == []
    assert seen > 40
