"""The OpenAPI document describes everything, and its examples are what the server takes and returns."""

from __future__ import annotations

import copy
import gzip
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import jsonschema_rs
import pytest

from angarium.api import static
from angarium.api.document import TAGS, operations
from angarium.api.field import APPLICATION, ATTEMPT, ENDPOINT, INBOX, MESSAGE, NOW, TASK
from angarium.api.native.auth import API_KEY
from angarium.api.native.endpoint_secret import NEW_SECRET
from angarium.api.native.listener import RECEIPT as RECEIPT_SHOWN
from angarium.core.error_text import TEXTS
from tests.api.operation import KEYLESS, NATIVE, ORG, RECEIPT, in_order
from tests.api.sample import SampleServer, bearer
from tests.api.schema import kinds

REFERENCE = "#/components/"
Found = Iterator[str]


async def document_of(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/api/v1/openapi.json")
    found: dict[str, Any] = answer.json()
    return found


def resolved(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """What a reference in the document leads to."""
    while "$ref" in part:
        _, kind, name = part["$ref"].removeprefix("#/").split("/")
        part = document["components"][kind][name]
    return part


def faults(document: dict[str, Any], schema: dict[str, Any], value: Any) -> list[str]:
    """Where a value is not as a schema of the document says."""
    # a validator compiles all that it is given, so it gets only what the schema leads to
    needed: dict[str, Any] = {}
    ahead = [schema]
    while ahead:
        for name in set(re.findall(r"#/components/schemas/(\w+)", json.dumps(ahead.pop()))) - needed.keys():
            needed[name] = document["components"]["schemas"][name]
            ahead.append(needed[name])
    validator = jsonschema_rs.validator_for({**schema, "components": {"schemas": needed}})
    return [f"{list(error.instance_path)}: {error.message}" for error in validator.iter_errors(value)]


def is_prose(words: Any) -> bool:
    """A sentence in English."""
    return (
        isinstance(words, str)
        and len(words) > 8
        and (words[0].isupper() or not words[0].isalpha())
        and words.rstrip("`)")[-1] in ".:"
    )


def undescribed(document: dict[str, Any], schema: dict[str, Any], at: str, seen: set[str]) -> Found:
    """The properties in a schema, however deep, without a description or an example that is valid."""
    if "$ref" in schema:
        name = schema["$ref"]
        if name in seen:
            return
        seen.add(name)
        at, schema = name.rpartition("/")[2], resolved(document, schema)
        if not is_prose(schema.get("description")):
            yield f"{at}: description {schema.get('description')!r}"
    for name, found in schema.get("properties", {}).items():
        place = f"{at}.{name}"
        if not is_prose(found.get("description")):
            yield f"{place}: description {found.get('description')!r}"
        inside = [found, *found.get("anyOf", ()), found.get("items", {})]
        if "examples" not in found and not any("$ref" in str(one) for one in inside):
            yield f"{place} has no example"
        for example in found.get("examples", ()):
            yield from (f"{place}: example {one}" for one in faults(document, found, example))
        if generated := {"title", "x-rare", "x-required", "x-hidden"} & found.keys():
            yield f"{place} has {generated}"
        yield from undescribed(document, found, place, seen)
    for one in (*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else ())):
        yield from undescribed(document, one, at, seen)


def incomplete(document: dict[str, Any], operation: dict[str, Any], seen: set[str]) -> Found:
    """What an operation lacks."""
    name = operation["operationId"]
    summary, words = operation.get("summary", ""), operation.get("description", "")
    if not 3 < len(summary) < 60 or summary.endswith(".") or "Describes" in summary:
        yield f"{name}: summary {summary!r}"
    if not is_prose(words) or words.startswith(summary):
        yield f"{name}: description {words!r}"
    if len(operation.get("tags", ())) != 1 or operation["tags"][0] not in TAGS:
        yield f"{name}: tags {operation.get('tags')}"
    for parameter in operation.get("parameters", ()):
        place = f"{name} {parameter['name']}"
        if not is_prose(parameter.get("description")):
            yield f"{place}: description {parameter.get('description')!r}"
        if "example" not in parameter:
            yield f"{place} has no example"
        else:
            schema = parameter["schema"]
            yield from (f"{place}: example {one}" for one in faults(document, schema, parameter["example"]))
        if {"title", "examples", "anyOf"} & parameter["schema"].keys():
            yield f"{place}: {parameter['schema']}"
    bodies = [("request", operation.get("requestBody", {}))]
    bodies += [(status, resolved(document, one)) for status, one in operation["responses"].items()]
    for at, body in bodies:
        content = body.get("content", {}).get("application/json")
        if at != "request" and not is_prose(body["description"]) and body["description"] not in _PLAIN:
            yield f"{name} {at}: description {body['description']!r}"
        if content is None:
            if at not in ("request", "204"):
                yield f"{name} {at} has no schema"
            continue
        examples = [one["value"] for one in content.get("examples", {}).values()]
        examples += [content["example"]] if "example" in content else []
        if not examples:
            yield f"{name} {at} has no example"
        for example in examples:
            yield from (f"{name} {at}: {one}" for one in faults(document, content["schema"], example))
        yield from undescribed(document, content["schema"], name, seen)


_PLAIN = {"OK", "Created", "Accepted"}


async def test_every_part_of_the_document_has_a_description_and_a_valid_example(
    client: httpx.AsyncClient,
) -> None:
    document = await document_of(client)
    seen: set[str] = set()
    found = [operation for _, _, operation in operations(document)]
    assert len(found) > 55
    assert [one for operation in found for one in incomplete(document, operation, seen)] == []
    schemas = {f"{REFERENCE}schemas/{name}" for name in document["components"]["schemas"]}
    enumerations = {name for name in schemas if "enum" in resolved(document, {"$ref": name})}
    assert schemas - seen <= enumerations, "no operation uses these"


BREAKS: Final[list[Callable[[dict[str, Any]], Any]]] = [
    lambda post: post.pop("summary"),
    lambda post: post.update(summary="Describes Create"),
    lambda post: post.update(tags=["Message", "Message"]),
    lambda post: post["parameters"][0].pop("description"),
    lambda post: post["parameters"][0].pop("example"),
    lambda post: post["requestBody"]["content"]["application/json"].pop("example"),
    lambda post: post["requestBody"]["content"]["application/json"]["example"].pop("payload"),
    lambda post: post["responses"]["202"]["content"]["application/json"]["example"].update(id=7),
    lambda post: post["responses"]["422"].update(description="", content={}),
]


async def test_whatever_lacks_something_is_found(client: httpx.AsyncClient) -> None:
    document = await document_of(client)
    whole = document["paths"]["/api/v1/app/{app_id}/msg"]["post"]
    whole["responses"]["422"] = resolved(document, whole["responses"]["422"])
    assert list(incomplete(document, whole, set())) == []
    for number, break_it in enumerate(BREAKS):
        post = copy.deepcopy(whole)
        break_it(post)
        assert list(incomplete(document, post, set())) != [], number


async def test_a_property_that_lacks_something_is_found(client: httpx.AsyncClient) -> None:
    document = await document_of(client)
    reference = {"$ref": f"{REFERENCE}schemas/ListResponseMessageOut"}
    properties = document["components"]["schemas"]["MessageOut"]["properties"]
    for change in ({"description": ""}, {"examples": [7]}, {"title": "Id"}):
        assert list(undescribed(document, reference, "", set())) == []
        before = dict(properties["id"])
        properties["id"] |= change
        assert list(undescribed(document, reference, "", set())) != []
        properties["id"] = before


async def test_every_error_lists_its_codes(client: httpx.AsyncClient) -> None:
    document = await document_of(client)
    for response in document["components"]["responses"].values():
        examples = response["content"]["application/json"]["examples"]
        assert examples
        for code, example in examples.items():
            assert f"`{code}`: {TEXTS[code].title} {TEXTS[code].advice}" in response["description"]
            if code != "validation":
                assert example["value"] == {"code": code, "detail": TEXTS[code].example}
    for _, _, operation in operations(document):
        if "security" in operation:
            assert {"401", "403", "404", "429", "503"} <= operation["responses"].keys()


async def test_what_all_operations_share_is_explained_once(client: httpx.AsyncClient) -> None:
    document = await document_of(client)
    words = document["info"]["description"]
    for heading in ("Authentication", "Pagination", "Idempotency", "Rate limits", "Errors", "Versions"):
        assert words.count(f"## {heading}\n") == 1
    assert [tag["name"] for tag in document["tags"]][: len(TAGS)] == list(TAGS)
    used = {operation["tags"][0] for _, _, operation in operations(document)}
    assert used == set(TAGS)
    assert all(is_prose(tag["description"]) for tag in document["tags"])


def filled(sample: SampleServer, example: Any) -> Any:
    """The example with things that exist in place of those it is about."""
    places = sample.places
    real = {
        APPLICATION: places["app_id"],
        ENDPOINT: places["endpoint_id"],
        MESSAGE: places["msg_id"],
        ATTEMPT: places["attempt_id"],
        TASK: places["task_id"],
        INBOX: places["inbox_id"],
        RECEIPT_SHOWN: RECEIPT,
        API_KEY: sample.services.token.for_application(ORG, sample.app_id),
        NEW_SECRET: NEW_SECRET,
        NOW: (datetime.now(UTC) - timedelta(hours=1)).isoformat(),
    }
    if isinstance(example, dict):
        if example.get("id") == API_KEY:
            return {"token": real[API_KEY]}
        return {name: filled(sample, one) for name, one in example.items()}
    if isinstance(example, list):
        return [filled(sample, one) for one in example]
    return real.get(example, example) if isinstance(example, str) else example


def differences(shown: Any, real: Any, at: str) -> Found:
    """Where a response has another form than its example. Null and an empty list say nothing of a form."""
    if shown is None or real is None:
        return
    if isinstance(shown, dict) and isinstance(real, dict):
        if at.endswith((".payload", ".data", ".schemas", ".metadata", ".headers", ".before", ".after")):
            return
        for name in shown.keys() & real.keys():
            yield from differences(shown[name], real[name], f"{at}.{name}")
    elif isinstance(shown, list) and isinstance(real, list):
        for one in real[:1] if shown else ():
            yield from differences(shown[0], one, f"{at}[0]")
    elif not at.endswith(_VARIES) and not _alike(shown, real):
        yield f"{at}: {real!r}, but {shown!r} in the example"


def _alike(shown: Any, real: Any) -> bool:
    if isinstance(shown, str) and isinstance(real, str):
        if re.fullmatch(r"-?[a-z]+_[0-9A-Za-z]{27}", shown):
            return shown.partition("_")[0] == real.partition("_")[0]
        return shown != NOW or len(real) == len(NOW)
    return type(shown) is type(real) or (type(shown) is int and type(real) is float)


# a token or a key; whatever was changed
_VARIES: Final = ("/auth/credential.data[0].id", "/audit.data[0].target")


async def test_the_examples_of_requests_are_answered_as_documented(sample: SampleServer) -> None:
    operator = bearer(sample.services.token.for_organization(ORG))
    document = await document_of(sample.client)
    wrong, sent, compared = [], 0, 0
    for method, path in in_order(NATIVE):
        shown = path.replace("{listener}", "{endpoint_id}")
        operation = document["paths"].get(shown, {}).get(method.lower())
        if operation is None:
            continue
        row = NATIVE[method, path][1]
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        body = row if content is None else filled(sample, content["example"])
        if content is not None:
            sent += 1
        if isinstance(body, dict) and ("uid" in body or path.endswith("/event-type")):
            body |= {"uid": f"own-{sent}", "name": f"made.{sent}"}
        if isinstance(body, dict) and "eventId" in body:
            body["eventId"] = f"own-{sent}"
        if method == "PUT" and path.endswith("/contact"):
            body["contacts"] += row["contacts"]  # the one that is deleted later stays
        if path.endswith("/send-example"):
            kind = document["paths"]["/api/v1/event-type/{event_type_name}"]["put"]["requestBody"]
            example = kind["content"]["application/json"]["example"]
            await sample.client.put("/api/v1/event-type/order.filled", json=example, headers=operator)
        answer = await sample.call(method, path, operator, body)
        if not answer.is_success and (method, path) not in _NOTHING_TO_DO:
            wrong.append(f"{method} {path}: {answer.status_code} {answer.text}")
        response = operation["responses"].get(str(answer.status_code))
        if response is None:
            wrong.append(f"{method} {path}: {answer.status_code} is not documented")
            continue
        described = resolved(document, response).get("content", {}).get("application/json")
        if (described is None) == bool(answer.content):
            wrong.append(f"{method} {path}: {answer.status_code} {answer.text}")
        if described is None or not answer.content:
            continue
        compared += 1
        schema = {**described["schema"]}
        wrong += [f"{method} {path}: {one}" for one in faults(document, schema, answer.json())]
        if "example" in described:
            wrong += differences(described["example"], answer.json(), f"{method} {path}")
    assert wrong == []
    assert sent > 20
    assert compared > 45


def _before(time: str) -> str:
    return (datetime.fromisoformat(time) - timedelta(seconds=1)).isoformat()


# what an application token alone can do, and what the sample has nothing for
_NOTHING_TO_DO = {("POST", "/api/v1/auth/logout"), *KEYLESS}


async def test_parameters_take_their_examples(sample: SampleServer) -> None:
    operator = bearer(sample.services.token.for_organization(ORG))
    document = await document_of(sample.client)
    wrong, tried = [], 0
    for method, path in NATIVE:
        operation = document["paths"].get(path, {}).get(method.lower(), {})
        if method != "GET" or path.endswith("/fetch"):
            continue
        url = path
        for name, value in sample.places.items():
            url = url.replace(f"{{{name}}}", value)
        for parameter in operation.get("parameters", ()):
            if parameter["in"] != "query" or parameter["name"] in ("iterator", "order"):
                continue
            example = filled(sample, parameter["example"])
            value = str(example).lower() if isinstance(example, bool) else example
            query = {"since": _before(filled(sample, NOW))} if path.endswith("/recover") else {}
            answer = await sample.client.get(
                url, params={**query, parameter["name"]: value}, headers=operator
            )
            tried += 1
            if not answer.is_success:
                wrong.append(f"{path} {parameter['name']}={value}: {answer.status_code} {answer.text}")
    assert wrong == []
    assert tried > 60


async def test_no_schema_is_a_riddle(client: httpx.AsyncClient) -> None:
    """Every property says which types it has, except payloads and schemas."""
    document = await document_of(client)
    for name, schema in document["components"]["schemas"].items():
        for field, found in schema.get("properties", {}).items():
            typed = kinds(found) or "$ref" in str(found) or "enum" in str(found) or "const" in str(found)
            assert typed, f"{name}.{field}: {found}"


def test_the_page_about_the_api_lists_every_code() -> None:
    page = (Path(__file__).parents[2] / "docs/api.md").read_text().partition("## Errors\n")[2]
    listed = [line for line in page.splitlines() if line.startswith("| `")]
    rows = TEXTS.items()
    assert listed == [f"| `{code}` | {row.status} | {row.title} | {row.advice} |" for code, row in rows]


def test_redoc_is_the_version_that_is_pinned() -> None:
    folder = Path(static.__file__).parent
    script = gzip.decompress((folder / "redoc.js.gz").read_bytes())
    assert hashlib.sha256(script).hexdigest() == static.REDOC_SHA256
    assert f'Version: "{static.REDOC}"' in (folder / "redoc.LICENSE.txt").read_text()
    assert b"cdn.redoc.ly" not in script
    assert len((folder / "redoc.js.gz").read_bytes()) < 400_000


@pytest.mark.parametrize("accepts", ["gzip", "identity"])
async def test_redoc_is_served_as_the_client_accepts_it(client: httpx.AsyncClient, accepts: str) -> None:
    answer = await client.get(f"/docs/redoc-{static.REDOC}.js", headers={"accept-encoding": accepts})
    assert answer.headers.get("content-encoding") == (accepts if accepts == "gzip" else None)
    assert hashlib.sha256(answer.content).hexdigest() == static.REDOC_SHA256
    assert "immutable" in answer.headers["cache-control"]
