"""A 422 says where the fault is and what kind it is, in one form on every route."""

from __future__ import annotations

import copy
from typing import Any, Final, get_args

import pytest

from angarium.api.errors import faults_of
from angarium.core.errors import FaultType
from tests.api.conftest import Api
from tests.api.operation import APP, NATIVE, ORG, SINCE
from tests.api.sample import SampleServer, bearer
from tests.api.schema import Place, body_schema, changed, kinds, properties, without

TYPES: Final = set(get_args(FaultType))
BATCH: Final = f"{APP}/msg/batch"
_INSIDE: dict[tuple[str, str], Any] = {
    ("POST", "/api/v1/auth/app-portal-access/{app_id}"): {"application": {"name": "N"}},
    ("POST", f"{APP}/msg"): {"application": {"name": "N"}},
}
# of another type than each of these
_WRONG: dict[str, Any] = {"object": 7, "array": 7, "string": {"no": 1}, "integer": "no", "number": "no"}


def _loc(place: Place) -> list[str]:
    return ["body", *(f"[{step}]" if isinstance(step, int) else step for step in place)]


def _faults(answer: Any) -> list[dict[str, Any]]:
    """The faults that an answer names, or that the first message of a batch has."""
    said = answer.json() if answer.content else {}
    found = said["results"][0].get("detail") if "results" in said else said.get("detail")
    return list(found) if isinstance(found, list) else []


def _malformed(faults: list[dict[str, Any]]) -> bool:
    return not faults or any(
        set(fault) != {"loc", "msg", "type"}
        or not all(isinstance(step, str) for step in fault["loc"])
        or fault["loc"][0] not in ("body", "query", "path")
        or fault["type"] not in TYPES
        or not fault["msg"]
        for fault in faults
    )


async def test_an_invalid_value_is_reported_at_its_location_in_every_body(sample: SampleServer) -> None:
    operator = bearer(sample.services.token.for_organization(ORG))
    document = (await sample.client.get("/api/v1/openapi.json")).json()
    wrong, tried = [], 0
    for (method, path), (_, row) in NATIVE.items():
        if (schema := body_schema(document, method, path)) is None:
            continue
        body = {**copy.deepcopy(row), **_INSIDE.get((method, path), {})}
        for one in properties(document, schema, body):
            allowed = kinds(one.schema) or {"object"}
            value = next((_WRONG[kind] for kind in _WRONG if kind in allowed), "no")
            if "dict" in str(one.schema.get("additionalProperties")):
                continue
            answer = await sample.call(method, path, operator, changed(body, one.place, value))
            faults = _faults(answer)
            tried += 1
            if (
                _malformed(faults)
                or not any(fault["loc"][: len(one.place) + 1] == _loc(one.place) for fault in faults)
                or not {fault["type"] for fault in faults} <= {"type_error", "value_error"}
            ):
                wrong.append(f"{method} {path}: {one.place}: {value!r}: {answer.status_code} {faults}")
    assert wrong == []
    assert tried > 100


async def test_missing_fields_are_named_in_every_body(sample: SampleServer) -> None:
    operator = bearer(sample.services.token.for_organization(ORG))
    document = (await sample.client.get("/api/v1/openapi.json")).json()
    wrong, tried = [], 0
    for (method, path), (_, row) in NATIVE.items():
        if (schema := body_schema(document, method, path)) is None:
            continue
        body = {**copy.deepcopy(row), **_INSIDE.get((method, path), {})}
        for one in properties(document, schema, body):
            if not one.required:
                continue
            tried += 1
            answer = await sample.call(method, path, operator, without(body, one.place))
            faults = _faults(answer)
            named = [(_loc(one.place), "value_error.missing")]
            if _malformed(faults) or [(fault["loc"], fault["type"]) for fault in faults] != named:
                wrong.append(f"{method} {path}: {one.place}: {answer.status_code} {faults}")
    assert wrong == []
    assert tried > 15


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"{", "value_error.jsondecode"), (b"[1]", "type_error"), (b'"a"', "type_error"), (b"7", "type_error")],
)
async def test_a_body_that_is_not_an_object_is_an_error_of_the_body(
    sample: SampleServer, content: bytes, kind: str
) -> None:
    headers = bearer(sample.services.token.for_organization(ORG))
    document = (await sample.client.get("/api/v1/openapi.json")).json()
    wrong = []
    for method, path in NATIVE:
        if body_schema(document, method, path) is None:
            continue
        filled = path
        for name, value in sample.places.items():
            filled = filled.replace(f"{{{name}}}", value)
        answer = await sample.client.request(method, filled, content=content, headers=headers)
        said = _faults(answer)
        if _malformed(said) or [(fault["loc"], fault["type"]) for fault in said] != [(["body"], kind)]:
            wrong.append(f"{method} {path}: {answer.status_code} {said}")
    assert wrong == []


async def test_a_parameter_that_is_refused_is_named_on_every_route(sample: SampleServer) -> None:
    operator = bearer(sample.services.token.for_organization(ORG))
    document = (await sample.client.get("/api/v1/openapi.json")).json()
    wrong, refused = [], 0
    for (method, path), (_, row) in NATIVE.items():
        for parameter in document["paths"].get(path, {}).get(method.lower(), {}).get("parameters", []):
            if parameter["in"] != "query" or row == "wait":
                continue
            filled = path
            for name, value in sample.places.items():
                filled = filled.replace(f"{{{name}}}", value)
            query = {"since": "2026-01-01T00:00:00Z"} if row == SINCE else {}
            query |= {parameter["name"]: "!"}
            answer = await sample.client.request(
                method, filled, params=query, headers=operator, json=row if isinstance(row, dict) else None
            )
            if answer.status_code != 422:
                continue
            refused += 1
            said = answer.json()["detail"]
            if _malformed(said) or any(fault["loc"][:2] != ["query", parameter["name"]] for fault in said):
                wrong.append(f"{method} {path}: {parameter['name']}: {said}")
    assert wrong == []
    assert refused > 50


async def test_the_location_of_an_error_has_no_numbers(api: Api) -> None:
    """Svix's SDKs in typed languages declare a list of texts."""
    app = await api.application()
    body = {"url": "http://localhost:9/", "channels": ["good", "not good"]}
    refused = await api.post(f"/app/{app}/endpoint", body, status=422)
    assert [fault["loc"] for fault in refused["detail"]] == [["body", "channels", "[1]"]]
    refused = await api.post(
        "/event-type", {"name": "a", "description": "", "schemas": {"1.0": 7}}, status=422
    )
    assert [fault["loc"] for fault in refused["detail"]] == [["body", "schemas", "1.0"]]
    for uid, kind in ((None, "application_uid_missing"), ("other", "application_uid_mismatch")):
        given = {"application": {"name": "N", "uid": uid}}
        message = {"eventType": "a", "payload": {}, **given}
        for path, asked in (("/auth/app-portal-access/nobody", given), ("/app/nobody/msg", message)):
            refused = await api.post(path, asked, status=422)
            assert [(one["loc"], one["type"]) for one in refused["detail"]] == [
                (["body", "application", "uid"], kind)
            ]


async def test_an_error_of_a_shared_rule_has_the_location_of_its_value(api: Api) -> None:
    app = await api.application()
    endpoint = f"/app/{app}/endpoint/{await api.endpoint(app)}"

    def places(refused: Any) -> list[list[str]]:
        return [fault["loc"] for fault in refused["detail"]]

    old = {"since": "2001-01-01T00:00:00Z"}
    assert places(await api.get(f"{endpoint}/recover", status=422, **old)) == [["query", "since"]]
    assert places(await api.post(f"{endpoint}/recover", old, status=422)) == [["body", "since"]]
    for asked, written, value in (
        ("event_type", "eventType", "a b"),
        ("endpoint", "endpoint", "nobody"),
        ("error", "error", "?!"),
        ("tag", "tag", "a b"),
    ):
        listed = await api.get(f"/app/{app}/log", status=422, **{asked: value})
        assert places(listed) == [["query", asked]]
        resent = await api.post(f"/app/{app}/log/resend", {"filter": {written: value}}, status=422)
        assert places(resent) == [["body", "filter", written]]


def test_kinds_of_pydantic_become_svix_kinds() -> None:
    def kind(name: str) -> str:
        return faults_of([{"loc": ("x",), "msg": "m", "type": name}], "body")[0].type

    assert [kind(name) for name in ("missing", "json_invalid", "string_type", "int_parsing", "too_long")] == [
        "value_error.missing",
        "value_error.jsondecode",
        "type_error",
        "type_error",
        "value_error",
    ]
