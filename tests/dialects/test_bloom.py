"""Access to Bloom: the catalogue, the GraphQL query, the link and its session."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import httpx
import pytest
from graphql import get_introspection_query

from angarium import profiles
from angarium.store.database import Database
from tests.kit.receiver import Receiver
from tests.kit.stand import Stand, product, standing

DAY = 86400.0
QUERY = "query DashboardURL {\n  webhookDashboardUrl\n}"
CATALOGUE = {
    "connection.closed": "A connection has been closed.",
    "connection.created": "A connection has been created.",
    "connection.refresh_required": "A connection needs to be re-authenticated.",
    "tradeline.closed_by_user": "A tradeline has been closed by the user.",
    "tradeline.closed_inactivity": "A tradeline has been closed due to inactivity.",
    "tradeline.created": "A tradeline has been created.",
    "tradeline.opened": "A tradeline has been opened.",
    "tradeline.transactions_added": "New transactions have been added to a tradeline.",
    "user.closed": "A user has been closed.",
    "user.created": "A user has been created.",
    "user.synced": "A user has been synced.",
    "user.updated": "A user has been updated.",
}


async def ask(
    stand: Stand,
    query: Any = QUERY,
    *,
    scope: str | None = "organization",
    path: str = "/graphql",
    **more: Any,
) -> httpx.Response:
    headers = {} if scope is None else {"authorization": f"Bearer {stand.keys[scope]}"}
    return await stand.client.post(path, json={"query": query, **more}, headers=headers)


async def link(stand: Stand) -> str:
    answer = await ask(stand)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["data"]["webhookDashboardUrl"])


async def enter(stand: Stand, url: str, **headers: str) -> httpx.Response:
    """Do what the page does with the key in the fragment."""
    key = url.partition("#key=")[2]
    return await stand.client.post("/login/session", json={"key": key}, headers=headers)


async def look(stand: Stand, **headers: str) -> int:
    """The status of the portal's first page."""
    return (await stand.client.get(f"/portal/{stand.app_id}", headers=headers)).status_code


def codes(answer: httpx.Response) -> list[str]:
    return [error["extensions"]["code"] for error in answer.json()["errors"]]


async def test_the_catalogue_has_the_twelve_types_with_their_descriptions(database: Database) -> None:
    async with standing(database, product("bloom")) as stand:
        listed = await stand.native("GET", "//event-type", limit=50)
        assert {one["name"]: one["description"] for one in listed["data"]} == CATALOGUE
        for event in profiles.load("bloom").events:
            assert event.example, f"{event.name} has no example"
            assert event.group == event.name.partition(".")[0]


async def test_a_type_added_to_the_profile_is_there_after_the_next_start(database: Database) -> None:
    async with standing(database, product("bloom")) as stand:
        await stand.native("PATCH", "//event-type/user.synced", {"archived": True})
        await stand.native("POST", "//event-type", {"name": "our.own", "description": "The operator's."})
        async with stand.world.database.transaction() as connection:
            await connection.execute("delete from event_type where name = 'user.updated'")
            await connection.execute("update event_type set description = 'old' where name = 'user.closed'")
        await stand.provision.refresh()
        listed = await stand.native("GET", "//event-type", limit=50, include_archived="true")
        found = {one["name"]: one for one in listed["data"]}
        assert set(found) == {*CATALOGUE, "our.own"}
        assert found["user.closed"]["description"] == "A user has been closed."
        assert found["user.synced"]["archived"] is True


@pytest.mark.parametrize("path", ["/graphql", "/v2/gql"])
async def test_the_query_gives_a_url_of_the_documented_shape(database: Database, path: str) -> None:
    async with standing(database, product("bloom")) as stand:
        answer = await ask(stand, path=path)
        assert answer.status_code == 200
        url = answer.json()["data"]["webhookDashboardUrl"]
        assert re.fullmatch(
            r"http://angarium\.test/login\?primaryColorLight=1481e6&primaryColorDark=1481e6#key=.+", url
        )
        key = url.partition("#key=")[2]
        packed = json.loads(base64.urlsafe_b64decode(key + "=" * (-len(key) % 4)))
        assert packed["appId"] == stand.app_id


async def test_only_organization_scope_may_ask(database: Database) -> None:
    async with standing(database, product("bloom")) as stand:
        answer = await ask(stand, scope="user")
        assert answer.status_code == 200
        assert answer.json()["data"] is None
        assert codes(answer) == ["FORBIDDEN"]
        assert answer.json()["errors"][0]["path"] == ["webhookDashboardUrl"]


async def test_without_a_good_token_it_is_401(database: Database) -> None:
    async with standing(database, product("bloom")) as stand:
        good = stand.keys["organization"]
        operator = stand.services.token.for_organization("org_23rb8YdGqMT0qIzpgGwdXfHirSt")
        shapes = ("Bearer", "Bearer nonsense", f"Bearer {good}x", f"Basic {good}", f"Bearer {good}:x")
        for shown in (None, *shapes, f"Bearer {operator}"):
            headers = {} if shown is None else {"authorization": shown}
            answer = await stand.client.post("/graphql", json={"query": QUERY}, headers=headers)
            assert answer.status_code == 401, shown
            assert answer.headers["www-authenticate"] == "Bearer"
            assert codes(answer) == ["UNAUTHENTICATED"]


async def test_a_key_may_be_an_id_and_a_secret_with_a_colon_between(database: Database) -> None:
    async with standing(database, product("bloom")) as stand:
        shown = stand.services.api_key.draw("client_", with_secret=True)
        application = await stand.services.application.find("org_23rb8YdGqMT0qIzpgGwdXfHirSt", stand.app_id)
        await stand.services.api_key.register(
            shown, org_id=application.org_id, app_id=application.id, scope="organization", name="pair"
        )
        for secret, status in ((shown.secret, 200), ("wrong", 401), ("", 401)):
            headers = {"authorization": f"Bearer {shown.key}:{secret}"}
            answer = await stand.client.post("/graphql", json={"query": QUERY}, headers=headers)
            assert answer.status_code == status
        headers = {"authorization": f"Bearer {shown.key}"}
        assert (
            await stand.client.post("/graphql", json={"query": QUERY}, headers=headers)
        ).status_code == 401


async def test_the_schema_can_be_introspected(database: Database) -> None:
    async with standing(database, product("bloom")) as stand:
        answer = (await ask(stand, get_introspection_query())).json()
        assert "errors" not in answer, answer
        (query,) = [one for one in answer["data"]["__schema"]["types"] if one["name"] == "Query"]
        assert [field["name"] for field in query["fields"]] == ["webhookDashboardUrl"]


async def test_odd_queries_are_refused_in_words_and_tell_nothing_of_the_inside(database: Database) -> None:
    many = " ".join(f"a{n}: webhookDashboardUrl" for n in range(6))
    queries = {
        "{": "GRAPHQL_PARSE_FAILED",
        "{ webhookDashboardURL }": "GRAPHQL_VALIDATION_FAILED",
        f"{{ {many} }}": "GRAPHQL_VALIDATION_FAILED",
        "{ " + "__typename " * 1100 + "}": "GRAPHQL_PARSE_FAILED",
        "{ ...A } fragment A on Query { ...B }": "GRAPHQL_VALIDATION_FAILED",
        "{ ...A } fragment A on Query { ...A }": "GRAPHQL_VALIDATION_FAILED",
        "{ a " * 19 + "{ b }" + "}" * 19: "GRAPHQL_VALIDATION_FAILED",
        "query A($x: Int!) { webhookDashboardUrl }": "GRAPHQL_VALIDATION_FAILED",
    }
    async with standing(database, product("bloom")) as stand:
        for query, code in queries.items():
            answer = await ask(stand, query)
            assert answer.status_code == 200, (query[:60], answer.text)
            assert codes(answer)[0] == code, (query[:60], answer.text)
            assert "Traceback" not in answer.text
            assert "strawberry" not in answer.text
        for query in (
            "",
            "{ a " * 21 + "}" * 21,
            "mutation { x }",
            "subscription { x }",
            "fragment A on Query { __typename }",
        ):
            answer = await ask(stand, query)
            assert answer.status_code in (200, 400), query
            assert len(codes(answer)) == 1, query
        headers = {"authorization": f"Bearer {stand.keys['organization']}"}
        for body in (b"", b"[]", b"{", b'{"query": 1}', b'{"query": "{x}", "variables": [1]}', b"x" * 20_000,
                     b'{"query": "{x}", "operationName": 1}'):  # fmt: skip
            answer = await stand.client.post("/graphql", content=body, headers=headers)
            assert answer.status_code == 400, body[:40]
            assert codes(answer) == ["BAD_REQUEST"]
        await stand.world.database.close()  # something breaks inside
        answer = await ask(stand)
        assert answer.status_code in (401, 503)
        assert "postgres" not in answer.text.lower()


async def test_the_key_opens_a_session_until_the_seventh_day_and_may_be_used_again(
    database: Database,
) -> None:
    async with standing(database, product("bloom")) as stand:
        url, start = await link(stand), stand.clock.now()
        assert (await enter(stand, url)).status_code == 200
        await stand.clock.advance_to(start + 6.99 * DAY)
        answer = await enter(stand, url)
        assert answer.status_code == 200
        assert answer.json() == {"location": f"/portal/{stand.app_id}"}
        assert await look(stand) == 200
        await stand.clock.advance_to(start + 7.01 * DAY)
        refused = await enter(stand, url)
        assert refused.status_code == 401
        assert "set-cookie" not in refused.headers
        assert await look(stand) == 401, "the session outlived its link"


async def test_a_link_can_be_ended_and_its_sessions_with_it(database: Database) -> None:
    async with standing(database, product("bloom")) as stand:
        one, other = await link(stand), await link(stand)
        packed = one.partition("#key=")[2]
        token = json.loads(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))["token"]
        await enter(stand, one)
        ended = await stand.client.post("/api/v1/auth/logout", headers={"authorization": f"Bearer {token}"})
        assert ended.status_code == 204
        assert await look(stand) == 401
        assert (await enter(stand, one)).status_code == 401
        assert (await enter(stand, other)).status_code == 200
        await stand.native("POST", f"//auth/app/{stand.app_id}/expire-all", {})
        assert await look(stand) == 401
        assert (await enter(stand, other)).status_code == 401
        await stand.clock.advance_to(stand.clock.now() + 0.002)
        assert (await enter(stand, await link(stand))).status_code == 200


async def test_logging_out_ends_the_session_and_not_the_link(database: Database) -> None:
    async with standing(database, product("bloom")) as stand:
        url = await link(stand)
        cookie = (await enter(stand, url)).headers["set-cookie"].partition(";")[0]
        assert await look(stand) == 200
        page = (await stand.client.get(f"/portal/{stand.app_id}")).text
        csrf_token = re.findall(r'name="csrf_token" value="([0-9a-f]+)"', page)[0]
        answer = await stand.client.post(f"/portal/{stand.app_id}/logout", data={"csrf_token": csrf_token})
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?over=1")
        assert "Max-Age=0" in answer.headers["set-cookie"]
        assert await look(stand, cookie=cookie) == 401
        assert (await enter(stand, url)).status_code == 200


async def test_the_session_is_a_cookie_that_scripts_and_other_sites_cannot_use(database: Database) -> None:
    async with standing(database, product("bloom")) as stand:
        url = await link(stand)
        answer = await enter(stand, url)
        cookie = answer.headers["set-cookie"]
        assert all(part in cookie for part in ("HttpOnly", "SameSite=Lax", "Path=/"))
        assert "Secure" not in cookie
        assert answer.headers["cache-control"] == "no-store"
        path = f"/portal/{stand.app_id}"
        page = await stand.client.get(path)
        assert page.status_code == 200
        csrf_token = re.findall(r'name="csrf_token" value="([0-9a-f]+)"', page.text)[0]
        key = {"key": url.partition("#key=")[2]}
        foreign: list[dict[str, str]] = [
            {"origin": "https://evil.example"},
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
        ]
        for headers in foreign:
            posted = await stand.client.post(
                f"{path}/logout", data={"csrf_token": csrf_token}, headers=headers
            )
            assert posted.status_code == 403, headers
            begun = await stand.client.post("/login/session", json=key, headers=headers)
            assert begun.status_code == 403, headers
        assert (await stand.client.post(f"{path}/logout", data={"csrf_token": "0" * 32})).status_code == 403
        # and the token inside is good for nothing else
        token = cookie.partition("=")[2].partition(";")[0]
        stand.client.cookies.clear()
        api = f"/api/v1/app/{stand.app_id}"
        stolen = await stand.client.get(api, headers={"authorization": f"Bearer {token}"})
        assert stolen.status_code == 401
        assert (await stand.client.get(api, headers={"cookie": cookie})).status_code == 401
        link_token = json.loads(base64.urlsafe_b64decode(key["key"] + "=="))["token"]
        name = cookie.partition("=")[0]
        assert await look(stand, cookie=f"{name}={link_token}") == 401


async def test_over_https_the_cookie_is_secure_and_bound_to_the_host(database: Database) -> None:
    async with standing(database, product("bloom"), base_url="https://hooks.example.com") as stand:
        url = await link(stand)
        assert url.startswith("https://hooks.example.com/login?primaryColorLight=1481e6&")
        cookie = (await enter(stand, url, origin="https://hooks.example.com")).headers["set-cookie"]
        assert cookie.startswith("__Host-")
        assert "Secure" in cookie


async def test_nonsense_instead_of_a_key_is_refused(database: Database) -> None:
    async with standing(database, product("bloom")) as stand:
        operator = stand.services.token.for_organization("org_23rb8YdGqMT0qIzpgGwdXfHirSt")
        keys: list[Any] = [
            "",
            "x",
            "é",
            "e30",
            "\ud83d".encode("utf-16", "surrogatepass").hex(),
            "a" * 10_000,
        ]
        for app_id in (stand.app_id, "app_x"):
            packed = json.dumps({"appId": app_id, "token": operator}).encode()
            keys.append(base64.urlsafe_b64encode(packed).decode().rstrip("="))
        for key in keys:
            answer = await stand.client.post("/login/session", json={"key": key})
            assert answer.status_code == 401, key
        for body in (b"", b"[]", b'{"key": 1}', b"{}"):
            answer = await stand.client.post("/login/session", content=body)
            assert answer.status_code == 401, body


async def test_the_page_behind_the_link_is_strict_and_loads_nothing_from_elsewhere(
    database: Database,
) -> None:
    async with standing(database, product("bloom")) as stand:
        url = await link(stand)
        page = await stand.client.get(url.replace("#key", "&next=/endpoints/ep_1#key"))
        assert page.status_code == 200
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["referrer-policy"] == "same-origin"
        assert page.headers["x-content-type-options"] == "nosniff"
        loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert loaded
        for place in loaded:
            assert place.startswith(("/portal/", "#")), place
            if place.startswith("#"):
                continue
            assert (await stand.client.get(place)).status_code == 200


async def test_an_endpoint_with_chosen_types_gets_those_and_one_without_gets_all(
    database: Database,
) -> None:
    """The selection only; its pages are tested with the portal."""
    async with Receiver() as receiver, standing(database, product("bloom")) as stand:
        for path, types in (("/some", ["user.created", "tradeline.opened"]), ("/all", None)):
            await stand.endpoint(receiver.url + path, eventTypes=types)
        for event_type in ("user.created", "user.closed"):
            await stand.send(event_type)
        got = await receiver.wait_for(3)
        assert sorted(request.path.rpartition("/")[2] for request in got) == ["all", "all", "some"]
