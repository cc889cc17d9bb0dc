"""Who may do what in the native API: every operation, for everyone who might try."""

from __future__ import annotations

import jwt
import pytest

from angarium.core import ids
from angarium.core.claims import EVERYTHING, Capability
from tests.api.operation import (
    APP,
    AT_HOME,
    ENDPOINT,
    KEYED,
    KEYLESS,
    MANAGE,
    NATIVE,
    NOTHING,
    OPEN,
    ORG,
    OTHER_ORG,
    PLAYED,
    SEND,
    SHARED,
    TOKEN,
    VIEW,
    in_order,
)
from tests.api.sample import SampleServer, bearer, key_headers
from tests.kit.access import operations


def test_every_route_has_a_row(sample: SampleServer) -> None:
    rows = set(NATIVE) | OPEN | set(NOTHING)
    for product in KEYED:
        rows |= set(KEYED[product]) | set(PLAYED[product])
    # pages are another matter: tests/portal/test_access.py
    pages = ("/portal", "/admin", "/login", "/play", "/alerts")
    routes = {row for row in operations(sample.app) if not row[1].startswith(pages)}
    named = {(method, path.replace("{endpoint_id}", "{listener}") if "/listener/" in path else path)
             for method, path in routes}  # fmt: skip
    assert named - rows == set(), "these routes have no row here: say who may use them"
    assert rows - named == set(), "these rows have no route any more"


async def _strangers(sample: SampleServer) -> dict[str, dict[str, str]]:
    """Who is not let in anywhere in the native API."""
    token = sample.services.token
    link = await sample.services.portal_link.open(sample.services.portal_link.make(ORG, sample.app_id).key)
    operator = token.for_operator(token.verify(token.for_organization(ORG)))
    ended = token.for_application(ORG, sample.app_id)
    await token.revoke(token.verify(ended))
    everyone = {
        "nobody": {},
        "a guess": bearer("nonsense"),
        "no bearer": {"authorization": f"Token {token.for_organization(ORG)}"},
        "an organization's token that is over": bearer(token.for_organization(ORG, lifetime=-120)),
        "an application's token that is over": bearer(
            token.for_application(ORG, sample.app_id, lifetime=-120)
        ),
        "a token that was logged out": bearer(ended),
        "another server's token": bearer(_forged(sample)),
        "a session": bearer(link.token),
        "an operator's session": bearer(operator),
        "a cookie": {
            "cookie": f"angarium-{sample.places['app_id']}={link.token}; angarium-operator={operator}"
        },
    }
    for name, (first, *_) in sample.keys.items():
        everyone[f"a key of {name}"] = key_headers(name, first)
    return everyone


def _forged(sample: SampleServer) -> str:
    return jwt.encode(
        {"sub": ORG, "exp": sample.clock.now() + 3600}, "another secret " * 4, algorithm="HS256"
    )


async def test_unauthenticated_requests_are_refused_everywhere_and_change_nothing(
    sample: SampleServer,
) -> None:
    wrong = []
    strangers = await _strangers(sample)
    before = await sample.audit_events()
    for who, headers in strangers.items():
        for (method, path), (_, body) in NATIVE.items():
            answer = await sample.call(method, path, headers, body)
            if answer.status_code != 401:
                wrong.append(f"{who}: {method} {path}: {answer.status_code}")
    assert wrong == []
    assert await sample.audit_events() == before


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
    sample: SampleServer, capabilities: frozenset[Capability]
) -> None:
    wrong = []
    for method, path in in_order(NATIVE):
        needed, body = NATIVE[method, path]
        token = sample.services.token.for_application(ORG, sample.app_id, capabilities=sorted(capabilities))
        answer = await sample.call(method, path, bearer(token), body)
        expected = _refusal(needed, capabilities)
        if answer.status_code != expected if expected else not answer.is_success:
            wrong.append(f"{method} {path}: {answer.status_code}, not {expected or 'success'}: {answer.text}")
    assert wrong == []


async def test_the_organization_may_do_everything(sample: SampleServer) -> None:
    headers = bearer(sample.services.token.for_organization(ORG))
    wrong = []
    for method, path in in_order(NATIVE):
        needed, body = NATIVE[method, path]
        answer = await sample.call(method, path, headers, body)
        expected = 403 if needed == TOKEN else 400 if (method, path) in KEYLESS else None
        if answer.status_code != expected if expected else not answer.is_success:
            wrong.append(f"{method} {path}: {answer.status_code}: {answer.text}")
    assert wrong == []


async def test_another_organization_finds_nothing(sample: SampleServer) -> None:
    headers = bearer(sample.services.token.for_organization(OTHER_ORG))
    before = await sample.audit_events()
    wrong = []
    # what it makes at home comes last
    for (method, path), (_, body) in sorted(NATIVE.items(), key=lambda row: row[0] in AT_HOME):
        answer = await sample.call(method, path, headers, body)
        if (method, path) in AT_HOME:
            if not {sample.places[name] for name in ("app_id", "task_id")}.isdisjoint(answer.text.split('"')):
                wrong.append(f"{method} {path}: sees {answer.text}")
        elif answer.status_code != 404:
            wrong.append(f"{method} {path}: {answer.status_code}")
    assert wrong == []
    assert await sample.audit_events() == before


async def test_an_application_finds_nothing_of_another(sample: SampleServer) -> None:
    other = ids.parse(ids.APPLICATION, sample.others["app_id"])
    assert other is not None
    headers = bearer(sample.services.token.for_application(ORG, other))
    before = await sample.audit_events()
    wrong = []
    for (method, path), (needed, body) in NATIVE.items():
        if needed in (ORG, TOKEN) or (method, path) in SHARED:
            continue
        for ref in (sample.places["app_id"], "mine"):
            answer = await sample.call(method, path, headers, body, {**sample.places, "app_id": ref})
            if answer.status_code != 404:
                wrong.append(f"{method} {path} of {ref}: {answer.status_code}")
    assert wrong == []
    assert await sample.audit_events() == before


async def test_objects_of_another_application_are_not_found(sample: SampleServer) -> None:
    """The application is one's own, but what is asked for in it is another's."""
    token = sample.services.token
    before = await sample.audit_events()
    wrong = []
    places = {**sample.others, "app_id": sample.places["app_id"]}
    for headers in (bearer(token.for_application(ORG, sample.app_id)), bearer(token.for_organization(ORG))):
        for (method, path), (needed, body) in NATIVE.items():
            inside = path.removeprefix(APP)
            if inside == path or "{" not in inside.replace("{kind}", ""):  # a kind is no object
                continue
            if method == "PUT" and path == ENDPOINT:
                continue  # would make it
            answer = await sample.call(method, path, headers, body, places)
            if answer.status_code not in ((403, 404) if needed == ORG else (404,)):
                wrong.append(f"{method} {path}: {answer.status_code}: {answer.text}")
    assert wrong == []
    assert await sample.audit_events() == before


async def test_public_routes_need_no_token(sample: SampleServer) -> None:
    for method, path in OPEN:
        answer = await sample.call(method, path, {}, None)
        assert answer.status_code in (200, 204, 307), (path, answer.status_code)
