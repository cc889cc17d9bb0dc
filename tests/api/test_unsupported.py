"""Operations that Svix has and Angarium does not say so, with a link, to every authenticated caller."""

from __future__ import annotations

import re

import httpx
import pytest

from angarium.api.errors import unsupported_operations as operations
from tests.api.operation import NATIVE, ORG
from tests.api.sample import SampleServer, bearer

LISTED = [(method, path) for path, methods in operations().items() for method in methods]
FILLED = {"app": "app_id", "endpoint": "endpoint_id", "msg": "msg_id", "attempt": "attempt_id"}


def _filled(sample: SampleServer, path: str) -> str:
    """With ids that exist where there are any, so that nothing else answers 404."""
    parts = path.split("/")
    for at, part in enumerate(parts):
        if part == "*":
            parts[at] = sample.places.get(FILLED.get(parts[at - 1], ""), "x-1")
    return "/".join(parts)


async def test_each_unsupported_operation_responds_with_501_and_a_link(sample: SampleServer) -> None:
    assert len(LISTED) > 150
    app_token = sample.services.token.for_application(ORG, sample.app_id)
    pages = set()
    for token in (sample.services.token.for_organization(ORG), app_token):
        for method, path in LISTED:
            answer = await sample.client.request(
                method, _filled(sample, path), headers=bearer(token), json={}
            )
            assert answer.status_code == 501, (method, path, answer.text)
            assert answer.json()["code"] == "not_implemented"
            pages |= set(re.findall(r"https?://\S+", answer.json()["detail"]))
    (page,) = pages
    text = (await sample.client.get(httpx.URL(page).raw_path.decode())).text
    for path, methods in operations().items():
        assert f"- `{path}`: {', '.join(methods)}\n" in text


async def test_unauthenticated_callers_get_401(sample: SampleServer) -> None:
    for method, path in LISTED:
        for headers in ({}, bearer("nonsense")):
            answer = await sample.client.request(method, _filled(sample, path), headers=headers)
            assert answer.status_code == 401, (method, path)


async def test_no_supported_operation_is_listed_as_unsupported(sample: SampleServer) -> None:
    ours = {(method, re.sub(r"\{[^}]+\}", "*", path)) for method, path in NATIVE}
    assert ours.isdisjoint(LISTED)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/app/x/destination/y/z", 404),
        ("PUT", "/api/v1/event-type", 405),
        ("PATCH", "/api/v1/app/x/destination", 404),
        ("GET", "/ingest/api/v1", 404),
    ],
)
async def test_other_paths_respond_as_before(
    sample: SampleServer, method: str, path: str, status: int
) -> None:
    headers = bearer(sample.services.token.for_organization(ORG))
    assert (await sample.client.request(method, path, headers=headers)).status_code == status
