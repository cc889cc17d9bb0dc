"""Profiles and API keys over the command line, and `angarium dev` serving products side by side."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import stat
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from angarium.core.errors import SettingsError
from angarium.profiles import load_all
from tests.cli.test_command import SETTINGS, refusal
from tests.cli.test_serve import KEY, SECRET, healthy, serve
from tests.kit.command import run
from tests.kit.patience import SLOW, until
from tests.kit.receiver import Receiver
from tests.kit.server import angarium, announced, end

FOURTH = str(Path(__file__).parents[1] / "dialects" / "fourth.toml")
ORG = "org_23rb8YdGqMT0qIzpgGwdXfHirPr"
LIST = ("api-key", "list", "--database", "--org", ORG)
LINES = {
    "bluum": {"base_url", "api_key", "api_secret", "investor_key", "investor_secret"},
    "bluma": {"base_url", "api_key"},
    "bloom": {"graphql_url", "organization_token", "user_token"},
}


def test_check_says_what_is_right_and_what_is_wrong_and_where(tmp_path: Path) -> None:
    assert "Parcel (parcel), 2 event types: valid" in run("profile", "check", FOURTH).stdout
    broken = tmp_path / "broken.toml"
    broken.write_text(Path(FOURTH).read_text().replace("retries", "retrys"))
    words = refusal("profile", "check", str(broken))
    line = broken.read_text().splitlines().index('retrys = "7s,70s,700s"') + 1
    assert f"{broken}:{line}: delivery.retrys: 'retrys' is not a key here; did you mean retries?" in words
    assert "no such file" in refusal("profile", "check", str(tmp_path / "none.toml"))


def test_show_and_list_and_docs() -> None:
    assert 'header = "X-Parcel-Proof"' in run("profile", "show", FOURTH).stdout
    listed = run("profile", "list").stdout
    assert [line.split()[0] for line in listed.splitlines()] == ["bloom", "bluma", "bluum", "standard"]
    assert "did you mean bloom?" in refusal("profile", "show", "blom")
    assert run("profile", "docs", "bloom").stdout.startswith("# Bloom webhooks")
    assert "name a profile" in refusal("profile", "docs")


def test_a_profile_is_installed_and_its_keys_listed_and_revoked(database_url: str) -> None:
    settings = SETTINGS | {"ANGARIUM_DATABASE_URL": database_url}

    def command(*arguments: str) -> str:
        done = run(*arguments, **settings)
        assert done.returncode == 0, done.stderr
        return done.stdout

    made = json.loads(command("profile", "install", "bloom", "--org", ORG, "--name", "acme", "--json"))
    assert made["profile"] == "bloom"
    assert made["organization_token"].startswith("bloom_live_")
    words = command("profile", "install", "bloom", "--org", ORG, "--name", "other")
    assert "Save the keys now" in words
    assert "To serve it, set ANGARIUM_PROFILES=bloom" in words
    settings["ANGARIUM_PROFILES"] = "bloom"
    pair = command("api-key", "create", "--org", ORG, "--app", "acme", "--pair")
    assert ":" in pair
    listed = [json.loads(line) for line in command(*LIST, "--json").splitlines()]
    assert [one["scope"] for one in listed] == ["organization", "user"] * 2 + ["organization"]
    assert [one["name"] for one in listed[::2]] == [
        "acme, organization",
        "other, organization",
        "acme, organization 2",
    ]
    everything = command(*LIST)
    assert made["organization_token"] not in everything
    assert "is revoked" in command("api-key", "revoke", listed[0]["id"], "--database", "--org", ORG)
    listed = [json.loads(line) for line in command(*LIST, "--json").splitlines()]
    assert [one["revokedAt"] is not None for one in listed] == [True, False, False, False, False]
    unknown = f"key_{'0' * 27}"
    wrong = ("api-key", "revoke", unknown, "--database", "--org", ORG)
    assert "No key has this id" in refusal(*wrong, **settings)
    assert "already has the profile bloom" in refusal("profile", "install", "bluma", "--org", ORG, **settings)
    no_scope = ("api-key", "create", "--org", ORG, "--app", "acme", "--scope", "x")
    assert "has no scope 'x'. Its scopes are organization, user" in refusal(*no_scope, **settings)


def test_a_new_key_has_a_name_that_no_other_one_has_and_tells_its_id(database_url: str) -> None:
    settings = SETTINGS | {"ANGARIUM_DATABASE_URL": database_url, "ANGARIUM_PROFILES": "bloom"}
    create = ("api-key", "create", "--org", ORG, "--app", "acme", "--name", "backend")
    assert run("profile", "install", "bloom", "--org", ORG, "--name", "acme", **settings).returncode == 0
    made = run(*create, **settings)
    listed = [json.loads(line) for line in run(*LIST, "--json", **settings).stdout.splitlines()]
    assert made.stderr.splitlines() == [f"{listed[-1]['id']} 'backend'"]
    assert made.stdout.startswith(listed[-1]["beginning"])
    assert "The application has a key with the name 'backend'." in refusal(*create, **settings)
    assert "Must not be empty" in refusal(*create[:-1], "", **settings)


async def dev(directory: Path, log: Path, *arguments: str, **variables: str) -> Any:
    """A development server; gives the process and the line it printed."""
    with log.open("wb") as errors:
        process = await angarium(
            *("dev", "--json", "--port", "0", "--data", str(directory), *arguments),
            stderr=errors.fileno(),
            **variables,
        )
    return process, await announced(process)


async def test_dev_keeps_keys_serves_what_it_is_told_and_never_logs_a_portal_key(
    directory: Path, tmp_path: Path
) -> None:
    """The second start serves all products, and logs everything."""
    process, first = await dev(directory, tmp_path / "log", "--profile", "bluma", "--profile", FOURTH)
    try:
        assert set(first["profiles"]) == {"bluma", "parcel"}
        assert set(first["profiles"]["parcel"]) == {"base_url", "organization", "application", "token"}
        operator = first["operators"]["bluma"]
        headers = {"authorization": f"Bearer {operator['token']}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            place = f"{first['url']}/api/v1/app/{operator['application']}"
            async with session.delete(place) as answer:  # the next start creates a new one; keys continue
                assert answer.status == 204
    finally:
        await end(process)
    log = tmp_path / "log"
    logged = {"ANGARIUM_LOG_LEVEL": "debug", "ANGARIUM_LOG_FORMAT": "json"}
    process, second = await dev(directory, log, **logged)
    try:
        assert {name: set(one) for name, one in second["profiles"].items()} == LINES
        assert second["profiles"]["bluma"]["api_key"] == first["profiles"]["bluma"]["api_key"]
        assert second["operators"]["bluma"]["organization"] == operator["organization"]
        assert second["operators"]["bluma"]["application"] != operator["application"]
        headers = {"authorization": f"Bearer {second['profiles']['bluma']['api_key']}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(f"{second['url']}/api/v1/webhooks") as answer,
        ):
            assert answer.status == 200
        secrets = await _serves_three_products_side_by_side(second, directory)
        await _add_contact(second)
        await until(lambda: "mail.printed" in log.read_text(), "the mail is in the log", pause=SLOW)
    finally:
        await end(process)
    lines = [json.loads(one) for one in log.read_text().splitlines() if one.startswith("{")]
    assert "delivery.attempted" in {one["event"] for one in lines}, "the log is not what the server logs"
    for secret in secrets:
        assert secret not in log.read_text()
    (mail,) = [one for one in lines if one["event"] == "mail.printed"]
    assert mail["to"] == "dev@example.com"
    assert f"{second['url']}/alerts/confirm/" in mail["text"]


async def _add_contact(line: dict[str, str]) -> None:
    headers = {"authorization": f"Bearer {line['token']}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        place = f"{line['url']}/api/v1/app"
        async with session.post(place, json={"name": "Acme"}) as answer:
            app_id = (await answer.json())["id"]
        body = {"contacts": [{"email": "dev@example.com"}]}
        async with session.put(f"{place}/{app_id}/contact", json=body) as answer:
            assert answer.status == 200


async def _serves_three_products_side_by_side(line: dict[str, Any], directory: Path) -> list[str]:
    """Gives secrets that must not be logged."""
    products = line["profiles"]
    for name in LINES:
        kept = directory / f"product-{name}"
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    token = products["bloom"]["organization_token"]
    jar = aiohttp.CookieJar(unsafe=True)
    async with Receiver() as receiver, aiohttp.ClientSession(cookie_jar=jar) as session:
        auth = {"authorization": f"Bearer {token}"}
        query = {"query": "query DashboardURL { webhookDashboardUrl }"}
        for place in (products["bloom"]["graphql_url"], f"{line['url']}/v2/gql"):
            async with session.post(place, json=query, headers=auth) as answer:
                url = (await answer.json())["data"]["webhookDashboardUrl"]
        assert re.search(r"/login\?primaryColorLight=1481e6&primaryColorDark=1481e6#key=.+", url)
        user = {"authorization": f"Bearer {products['bloom']['user_token']}"}
        async with session.post(place, json=query, headers=user) as answer:
            assert (await answer.json())["errors"][0]["extensions"]["code"] == "FORBIDDEN"
        async with session.get(url) as answer:  # a browser sends everything but the fragment
            assert answer.status == 200
        key = url.partition("#key=")[2]
        begin = f"{line['url']}/login/session"
        async with session.post(begin, json={"key": key}) as answer:
            assert answer.status == 200
        async with session.post(begin, json={"key": key + "x"}) as answer:
            assert answer.status == 401
        async with session.post(begin, data=f'{{"key": "{key}"') as answer:
            assert answer.status == 401
        async with session.get(f"{line['url']}/portal/{line['operators']['bloom']['application']}") as answer:
            assert answer.status == 200
        app = line["operators"]["bloom"]["application"]
        place, body = f"{line['url']}/api/v1/app/{app}", {"url": receiver.url}
        operator = {"authorization": f"Bearer {line['operators']['bloom']['token']}"}
        async with session.post(f"{place}/endpoint", json=body, headers=operator) as answer:
            assert answer.status == 201
        message = {"eventType": "user.created", "payload": {"user_id": "u"}}
        async with session.post(f"{place}/msg", json=message, headers=operator) as answer:
            assert answer.status == 202
        (request,) = await receiver.wait_for(1)
        assert request.header("svix-id")
        basic = base64.b64encode(
            f"{products['bluum']['api_key']}:{products['bluum']['api_secret']}".encode()
        ).decode()
        for path, shown in (
            ("/v1/webhooks", f"Basic {basic}"),
            ("/webhooks", f"Basic {basic}"),
            ("/api/v1/webhooks", f"Bearer {products['bluma']['api_key']}"),
        ):
            async with session.get(line["url"] + path, headers={"authorization": shown}) as answer:
                assert answer.status == 200, path
    inside = json.loads(base64.urlsafe_b64decode(key + "=" * (-len(key) % 4)))["token"]
    return [key, inside, inside.rpartition(".")[2], token]


async def test_a_server_in_production_serves_installed_products_and_no_sandbox(database_url: str) -> None:
    given = {"ANGARIUM_DATABASE_URL": database_url, "ANGARIUM_JWT_SECRET": SECRET, "ANGARIUM_SECRET_KEY": KEY}
    arguments = ("profile", "install", "bluma", "--org", ORG, "--json")
    done = await asyncio.to_thread(run, *arguments, **given, ANGARIUM_PROFILES="bluma")
    made = json.loads(done.stdout)
    assert made["api_key"].startswith("bluma_live_")
    headers = {"authorization": f"Bearer {made['api_key']}"}
    served = serve(database_url, ANGARIUM_PROFILES="bluum,bluma,bloom")
    async with served as (_, url), aiohttp.ClientSession(headers=headers) as session:
        await healthy(url)
        async with session.get(f"{url}/api/v1/webhooks") as answer:
            assert answer.status == 200
        async with session.post(f"{url}/api/v1/videos", json={"template_id": "meme"}) as answer:
            assert answer.status == 404
        async with session.get(f"{url}/.well-known/webhook-sources.json") as answer:
            assert answer.status == 404


def test_dev_refuses_a_profile_that_is_not_there(directory: Path) -> None:
    words = refusal("dev", "--profile", "blum", "--data", str(directory))
    assert "there is no profile 'blum'" in words
    with pytest.raises(SettingsError, match=r"there is no profile 'none\.toml'"):
        load_all(["none.toml"])
