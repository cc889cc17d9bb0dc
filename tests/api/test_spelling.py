"""A credential is accepted in one spelling only. Other texts for the same bytes are refused, so that what was
revoked stays revoked."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from angarium.core import ids
from tests.api.operation import ORG
from tests.api.sample import SampleServer, bearer
from tests.kit.spelling import base64_spellings, jwt_spellings, letters

Credential = tuple[str, str, Iterator[str], Callable[[str], Awaitable[int]]]


async def _get(sample: SampleServer, path: str, headers: dict[str, str]) -> int:
    encoded = {name: value.encode() for name, value in headers.items()}
    return (await sample.client.get(path, headers=encoded)).status_code  # type: ignore[arg-type]


def _bearer(sample: SampleServer, path: str) -> Callable[[str], Awaitable[int]]:
    return lambda text: _get(sample, path, bearer(text))


def _cookie(sample: SampleServer, path: str, name: str) -> Callable[[str], Awaitable[int]]:
    return lambda text: _get(sample, path, {"cookie": f"{name}={text}"})


def _credentials(sample: SampleServer) -> list[Credential]:
    """Each credential: its name, its text, other spellings of it, and a request with it."""
    token, app = sample.services.token, sample.places["app_id"]
    organization = token.for_organization(ORG)
    link = sample.services.portal_link.make(ORG, sample.app_id)
    session = token.for_session(token.verify(link.token))
    operator = token.for_operator(token.verify(organization))
    basic = sample.keys["bluum"][0].shown
    pair = base64.b64encode(f"{basic.key}:{basic.secret}".encode()).decode()
    key = sample.keys["bluma"][0].shown.key

    async def open_link(text: str) -> int:
        return (await sample.client.post("/login/session", json={"key": text})).status_code

    async def operate(text: str) -> int:
        return (await sample.client.post("/admin/login", data={"token": text})).status_code

    async def revoke(text: str) -> int:
        made = await sample.client.post(
            "/api/v1/auth/credential/revoke", json={"token": text}, headers=bearer(organization)
        )
        return made.status_code

    async def of_bluum(text: str) -> int:
        return await _get(sample, "/v1/webhooks", {"authorization": f"Basic {text}"})

    spare = token.for_application(ORG, sample.app_id)
    made: list[tuple[str, str, Callable[[str], Iterator[str]], Callable[[str], Awaitable[int]]]] = [
        ("organization token", organization, jwt_spellings, _bearer(sample, "/api/v1/app")),
        ("application token", link.token, jwt_spellings, _bearer(sample, f"/api/v1/app/{app}/endpoint")),
        ("portal link", link.key, base64_spellings, open_link),
        ("portal session", session, jwt_spellings, _cookie(sample, f"/portal/{app}", f"angarium-{app}")),
        ("operator login", organization, jwt_spellings, operate),
        ("operator session", operator, jwt_spellings, _cookie(sample, "/admin", "angarium-operator")),
        ("key and secret", pair, base64_spellings, of_bluum),
        ("key", key, letters, _bearer(sample, "/api/v1/webhooks")),
        ("token to revoke", spare, jwt_spellings, revoke),
        ("inbox", sample.places["inbox_id"], letters, lambda text: _get(sample, f"/play/in/{text}", {})),
    ]
    return [(name, text, others(text), attempt) for name, text, others, attempt in made]


async def test_every_interface_accepts_one_spelling(sample: SampleServer) -> None:
    wrong = []
    for name, text, others, attempt in _credentials(sample):
        answers = [(other, await attempt(other)) for other in others]
        wrong += [f"{name}: {other!r}: {status}" for other, status in answers if not 400 <= status < 500]
        if (status := await attempt(text)) >= 400:
            wrong.append(f"{name} itself: {status}")
    assert wrong == []


async def test_a_revoked_token_stays_revoked_in_every_spelling(sample: SampleServer) -> None:
    token, app = sample.services.token, sample.places["app_id"]
    revived = []
    for made, path in (
        (token.for_organization(ORG), "/api/v1/app"),
        (token.for_application(ORG, sample.app_id), f"/api/v1/app/{app}/endpoint"),
    ):
        claims = token.verify(made)
        await token.revoke_shown(ORG, made)
        assert await _get(sample, path, bearer(made)) == 401
        revived += [other for other in jwt_spellings(made) if await _get(sample, path, bearer(other)) != 401]
        assert claims.digest not in {token.verify(made).digest for made in revived}
    assert revived == []


@pytest.mark.parametrize("kind", ["receipt", "iterator", "place in the log"])
async def test_iterators_and_receipts_are_accepted_in_one_spelling(sample: SampleServer, kind: str) -> None:
    token, app = sample.services.token.for_organization(ORG), sample.places["app_id"]
    listener = f"/api/v1/app/{app}/listener/{sample.places['listener']}"

    async def get(path: str, **query: str | int) -> Any:
        made = await sample.client.get(path, params=query, headers=bearer(token))
        assert made.is_success, made.text
        return made.json()

    if kind == "receipt":
        (fetched,) = (await get(f"{listener}/fetch"))["data"]
        text = fetched["receipt"]
        others = base64_spellings(text)

        async def attempt(other: str) -> int:
            body = {"data": [{"receipt": other, "statusCode": 200, "durationMs": 1}]}
            return (
                await sample.client.post(f"{listener}/answer", json=body, headers=bearer(token))
            ).status_code
    else:
        path = f"/api/v1/app/{app}/" + ("endpoint" if kind == "iterator" else "log")
        text = str((await get(path, limit=1))["iterator"])
        others = letters(text)

        async def attempt(other: str) -> int:
            query = {"iterator": other}
            return (await sample.client.get(path, params=query, headers=bearer(token))).status_code

    # an id in letters of the other case is another id, or none
    wrong = [other for other in others if other != text.swapcase() and await attempt(other) != 422]
    assert wrong == []
    assert await attempt(text) < 300


def test_an_id_has_one_spelling() -> None:
    for number in (0, 1, 2**64, 2**128 - 1):
        text = ids.text(ids.APPLICATION, UUID(int=number))
        assert ids.parse(ids.APPLICATION, text) is not None
        for other in letters(text):
            found = ids.parse(ids.APPLICATION, other)
            assert found is None or ids.text(ids.APPLICATION, found) == other


async def test_every_interface_logs_refusals_without_the_credential(sample: SampleServer) -> None:
    kinds = set()
    for name, text, _, attempt in _credentials(sample):
        if name in ("inbox", "token to revoke"):
            continue  # no login
        guess = text[:-3] + ("abc" if text[-3:] != "abc" else "def")
        with capture_logs() as lines:
            assert await attempt(guess) == 401, name
        (line,) = [one for one in lines if one["event"] == "credential.refused"]
        assert line["address"].startswith("10."), name
        assert guess not in str(lines), name
        kinds.add(line["kind"])
    assert kinds == {
        "token", "portal-link", "portal-session", "operator-login", "operator-session", "api-key"
    }  # fmt: skip
