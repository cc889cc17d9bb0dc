"""Null in a request: as good as nothing in what is optional, and what takes a value away in a PATCH."""

from __future__ import annotations

import copy
import itertools
import json
import re
from typing import Any

import pytest

from tests.api.conftest import Api
from tests.api.operation import APP, ENDPOINT, NATIVE, ORG
from tests.api.sample import SampleServer, bearer
from tests.api.schema import Property, body_schema, changed, properties, without

# what the rows of NATIVE leave out, so that the objects inside of a body are walked too
_INSIDE: dict[tuple[str, str], Any] = {
    ("POST", "/api/v1/auth/app-portal-access/{app_id}"): {"application": {"name": "N"}},
    ("POST", f"{APP}/msg"): {"application": {"name": "N"}},
}
# who asks for either has to say one
_EITHER = {("/api/v1/auth/credential/revoke", ("token",))}
# where null takes a value away
_CLEARS = {("PATCH", APP), ("PATCH", ENDPOINT), ("PATCH", "/api/v1/event-type/{event_type_name}")}
# what Svix's own document says of its requests: these take null
_SVIX_TAKES_NULL = {
    "ApplicationIn": {"throttleRate", "uid"},
    "ApplicationPatch": {"throttleRate", "uid"},
    "AppPortalAccessIn": {"application", "capabilities", "expiry", "readOnly", "sessionId"},
    "EndpointIn": {"channels", "eventTypes", "headers", "secret", "throttleRate", "uid"},
    "EndpointPatch": {"channels", "eventTypes", "throttleRate", "uid"},
    "EndpointUpsertIn": {"channels", "eventTypes", "throttleRate", "uid"},
    "EndpointSecretRotateIn": {"gracePeriodSeconds", "key"},
    "EventTypeIn": {"featureFlag", "featureFlags", "groupName", "schemas"},
    "EventTypePatch": {"featureFlag", "featureFlags", "groupName", "schemas"},
    "ExpireAllIn": {"expiry"},
    "WindowIn": {"until"},
    "MessageIn": {
        "application", "channels", "deliverAt", "eventId", "payloadRetentionHours", "payloadRetentionPeriod",
        "tags", "transformationsParams",
    },
}  # fmt: skip


def _requests(document: dict[str, Any]) -> list[tuple[str, str, Any, Property]]:
    """Each optional property of each operation, with a body that is good without it."""
    found = []
    for (method, path), (_, row) in NATIVE.items():
        schema = body_schema(document, method, path)
        if schema is None:
            continue
        body = {**copy.deepcopy(row), **_INSIDE.get((method, path), {})}
        found += [(method, path, body, one) for one in properties(document, schema, body) if not one.required]
    return found


def _plain(answer: Any) -> Any:
    """An answer without what differs each time: ids, times, tokens."""
    text = json.dumps(answer, sort_keys=True)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)
    text = re.sub(r"[a-z]+_[0-9A-Za-z]{27}", "ID", text)
    return re.sub(r'(eyJ[\w.-]+|#key=[^"]+|n\d+\.made)', "TOKEN", text)


async def test_null_in_an_optional_field_is_the_same_as_leaving_it_out(sample: SampleServer) -> None:
    operator = bearer(sample.services.token.for_organization(ORG))
    document = (await sample.client.get("/api/v1/openapi.json")).json()
    names = itertools.count()

    async def answered(method: str, path: str, body: Any) -> tuple[int, Any]:
        if path.endswith("/event-type"):
            body = {**body, "name": f"n{next(names)}.made"}
        answer = await sample.call(method, path, operator, body)
        return answer.status_code, _plain(answer.json() if answer.content else None)

    wrong, tried = [], 0
    for method, path, body, one in _requests(document):
        if (method, path) in _CLEARS:
            continue
        tried += 1
        if not one.nullable:
            wrong.append(f"{method} {path}: {one.place} does not say in the document that it takes null")
        with_null = await answered(method, path, changed(body, one.place, None))
        if with_null != (left_out := await answered(method, path, without(body, one.place))):
            wrong.append(f"{method} {path}: {one.place}: {with_null} with null, {left_out} without")
        elif with_null[0] == 422 and (path, one.place) not in _EITHER:
            wrong.append(f"{method} {path}: {with_null[1]}: such a body shows nothing")
    assert wrong == []
    assert tried > 60


async def test_a_patch_accepts_null_only_where_it_is_documented(sample: SampleServer) -> None:
    operator = bearer(sample.services.token.for_organization(ORG))
    document = (await sample.client.get("/api/v1/openapi.json")).json()
    wrong, nullable = [], set()
    for method, path, _, one in _requests(document):
        if (method, path) not in _CLEARS:
            continue
        answer = await sample.call(method, path, operator, {one.place[0]: None})
        if answer.status_code != (200 if one.nullable else 422):
            wrong.append(f"{path}: {one.place}: {answer.status_code} {answer.text}")
        if one.nullable:
            nullable.add(one.place[0])
    assert wrong == []
    assert {
        "uid",
        "throttleRate",
        "rateLimit",
        "eventTypes",
        "filterTypes",
        "channels",
        "metadata",
    } < nullable


async def test_fields_that_accept_null_at_svix_accept_it_here(sample: SampleServer) -> None:
    schemas = (await sample.client.get("/api/v1/openapi.json")).json()["components"]["schemas"]
    missing = {
        f"{name}.{field}"
        for name, fields in _SVIX_TAKES_NULL.items()
        for field in fields
        if not Property((field,), schemas[name]["properties"].get(field, {}), required=False).nullable
    }
    assert missing == set()


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        ({"throttleRate": None, "rateLimit": 5}, 5),
        ({"throttleRate": 4, "rateLimit": None}, 4),
        ({"throttleRate": 4, "rateLimit": 5}, 4),
        ({"rateLimit": 5}, 5),
        ({"throttleRate": None}, None),
    ],
)
async def test_null_in_one_of_two_names_of_a_field_is_ignored(
    api: Api, body: dict[str, Any], limit: int | None
) -> None:
    made = await api.post("/app", {"name": "A", **body})
    assert made["throttleRate"] == limit
    endpoint = await api.post(f"/app/{made['id']}/endpoint", {"url": "http://localhost:9/", **body})
    assert endpoint["throttleRate"] == limit
