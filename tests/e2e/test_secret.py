"""Secrets stay where they belong: a whole story is played, and all that was written is searched for them.

The story has every API, the portal, the operator's pages, and errors provoked on purpose, in a real server
that logs all it can. Then the logs, every file, and every value in the database are looked through.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from angarium.store.embedded import EmbeddedPostgres
from tests.kit.receiver import Receiver, Reply
from tests.kit.schemas import SCHEMAS
from tests.kit.server import angarium, announced, end

# kept for their owner alone, so that a restart finds them: `angarium dev` says where
KEPT = re.compile(r"(jwt-secret|secret-key|organization|product-[a-z]+)$")
DATABASE = "postgres"  # PostgreSQL's own files, looked through by asking it


def _mark(name: str) -> str:
    """A secret that is found wherever it is."""
    return f"{name}-{secrets.token_hex(12)}"


class Story:
    """Plays it, and remembers every secret that came up."""

    def __init__(self, line: dict[str, Any], receiver: Receiver) -> None:
        self.line = line
        self.url: str = line["url"]
        self.receiver = receiver
        self.known: dict[str, str] = {}  # what it is -> the secret
        self.canary = _mark("no secret")  # must be found, or nothing would be
        self.client = httpx.AsyncClient(base_url=self.url, timeout=60)

    def keep(self, name: str, secret: str) -> str:
        self.known[name] = secret
        return secret

    def mark(self, name: str) -> str:
        return self.keep(name, _mark(name))

    def secret(self, name: str) -> str:
        drawn = base64.b64encode(os.urandom(24)).decode()
        self.keep(name, drawn)
        return f"whsec_{drawn}"

    async def play(self) -> None:
        async with self.client:
            token = self.keep("organization's token", self.line["token"])
            await self.native(token)
            await self.dialects()
            await self.guesses()
            await self.operator(token)

    async def native(self, token: str) -> None:
        headers = {"authorization": f"Bearer {token}"}

        async def call(method: str, path: str, body: Any = None, **more: Any) -> Any:
            answer = await self.client.request(
                method, f"/api/v1{path}", json=body, headers={**headers, **more.pop("headers", {})}, **more
            )
            return answer.json() if answer.content else None

        app = (await call("POST", "/app", {"name": self.canary}))["id"]
        sent_to = self.receiver.url
        login = self.mark("password in a URL")
        query = self.mark("key in a URL")
        endpoint = (
            await call(
                "POST",
                f"/app/{app}/endpoint",
                {
                    "url": sent_to,
                    "secret": self.secret("chosen secret"),
                    "headers": {
                        "Authorization": f"Bearer {self.mark('authorization header')}",
                        "X-Api-Key": self.mark("key header"),
                        "X-Anything": self.mark("header of their own"),
                    },
                },
                headers={"idempotency-key": "k1"},
            )
        )["id"]
        at = f"/app/{app}/endpoint/{endpoint}"
        await call("POST", f"/app/{app}/endpoint", {"url": f"http://user:{login}@127.0.0.1:1/x?key={query}"})
        await call("POST", f"{at}/secret/rotate", {"key": self.secret("rotated secret")})
        await call("POST", f"{at}/secret/rotate", {})
        self.keep("made secret", (await call("GET", f"{at}/secret"))["key"].removeprefix("whsec_"))
        await call("PATCH", f"{at}/headers", {"headers": {"X-Later": self.mark("header set later")}})
        # what goes wrong says what is wrong, not with what
        await call(
            "POST", f"/app/{app}/endpoint", {"url": sent_to, "secret": self.mark("secret of a wrong form")}
        )
        await call(
            "PUT", f"{at}/headers", {"headers": {"X-Bad": f"{self.mark('header with a line end')}\nX: y"}}
        )
        await self.client.post(
            "/api/v1/app", content=f'{{"secret": "{self.mark("secret in broken JSON")}', headers=headers
        )
        await call("POST", f"/app/{app}/msg", {"eventType": "a.b", "payload": {"n": self.canary}})
        await self.receiver.wait_for(1)
        shown = await call("POST", f"/auth/app-portal-access/{app}", {}, headers={"idempotency-key": "k2"})
        self.keep("application's token", shown["token"])
        await self.portal(app, endpoint, shown["url"])
        await call("POST", "/auth/logout", headers={"authorization": f"Bearer {shown['token']}"})

    async def portal(self, app: str, endpoint: str, link: str) -> None:
        key = self.keep("portal key", link.partition("#key=")[2])
        answer = await self.client.post("/login/session", json={"key": key, "query": ""})
        assert answer.status_code == 200, answer.text
        self.keep("session", self.client.cookies[f"angarium-{app}"])
        base = f"/portal/{app}"
        page = await self.client.get(base)
        csrf_token = re.findall(r'name="csrf_token" value="([0-9a-f]+)"', page.text)[0]
        for path in ("/endpoints", f"/endpoints/{endpoint}", f"/endpoints/{endpoint}/settings", "/messages",
                     "/audit", "/event-types", "/play"):  # fmt: skip
            assert (await self.client.get(base + path)).status_code == 200, path
        await self.client.post(f"{base}/endpoints/{endpoint}/secret", data={"csrf_token": csrf_token})
        await self.client.post(f"{base}/endpoints/{endpoint}/secret/rotate", data={"csrf_token": csrf_token})
        await self.client.post(
            f"{base}/endpoints",
            data={
                "csrf_token": csrf_token,
                "url": f"http://x:{self.mark('password in a form')}@[::/",
                "name": "x",
            },
        )
        await self.client.post(f"{base}/endpoints", data={"csrf_token": self.mark("a foreign CSRF token")})

    async def dialects(self) -> None:
        profiles = self.line["profiles"]
        bluum, bluma, bloom = profiles["bluum"], profiles["bluma"], profiles["bloom"]
        for name in ("bluum", "bluma", "bloom"):
            for what, value in profiles[name].items():
                if what.endswith(("_key", "_secret", "_token")):
                    self.keep(f"{name}'s {what}", value)
        pair = base64.b64encode(f"{bluum['api_key']}:{bluum['api_secret']}".encode()).decode()
        self.keep("bluum's pair", pair)
        answer = await self.client.post(
            "/webhooks",
            json={"url": self.receiver.url, "eventTypeNames": ["*"], "name": "x"},
            headers={"authorization": f"Basic {pair}"},
        )
        self.keep("bluum's secret", answer.json()["secret"].removeprefix("whsec_"))
        answer = await self.client.post(
            "/api/v1/webhooks",
            json={"url": self.receiver.url, "events": ["video.completed"]},
            headers={"authorization": f"Bearer {bluma['api_key']}"},
        )
        if answer.is_success:
            self.keep("bluma's secret", answer.json()["secret"].removeprefix("whsec_"))
        key = bloom["organization_token"]
        for query in (
            "{ webhookDashboardUrl }",
            f"{{ {self.mark('secret')} (",
            f'{{ x(token: "{self.mark("inside a query")}") }}',
        ):
            answer = await self.client.post(
                "/graphql", json={"query": query}, headers={"authorization": f"Bearer {key}"}
            )
        answer = await self.client.post(
            "/graphql", json={"query": "{ webhookDashboardUrl }"}, headers={"authorization": f"Bearer {key}"}
        )
        link = answer.json()["data"]["webhookDashboardUrl"]
        self.keep("bloom's portal key", link.partition("#key=")[2])

    async def guesses(self) -> None:
        for scheme in ("Bearer", "Basic", "Token"):
            for path in ("/api/v1/app", "/webhooks", "/api/v1/webhooks"):
                await self.client.get(
                    path, headers={"authorization": f"{scheme} {self.mark(f'guess at {path}')}"}
                )
        await self.client.post("/login/session", json={"key": self.mark("guess at a link")})
        await self.client.post("/admin/login", data={"token": self.mark("guess at the operator's")})

    async def operator(self, token: str) -> None:
        answer = await self.client.post("/admin/login", data={"token": token})
        assert answer.status_code == 303
        self.keep("operator's session", self.client.cookies["angarium-operator"])
        for path in ("", "/endpoints", "/dead-letters", "/messages", "/audit", "/tasks"):
            assert (await self.client.get(f"/admin{path}")).status_code == 200, path


def _forms(secret: str) -> list[bytes]:
    """How it would look as text, inside base64's padding, or as bytes that PostgreSQL prints."""
    forms = [secret.encode(), secret.encode().hex().encode()]
    if re.fullmatch(r"[A-Za-z0-9+/]{32}", secret):
        forms.append(base64.b64decode(secret).hex().encode())  # what a signing secret really is
    return forms


def _found(known: dict[str, str], text: bytes) -> list[str]:
    return [name for name, secret in known.items() if any(form in text for form in _forms(secret))]


async def _values(url: str) -> dict[str, bytes]:
    """Every row of every table as text, as a dump would have it."""
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch(
            "select schemaname, tablename from pg_tables where schemaname = any($1::text[])", SCHEMAS
        )
        found: dict[str, bytes] = {}
        for schema, table in tables:
            rows = await connection.fetch(f'select t::text from "{schema}"."{table}" t')
            # two schemas may have a table of the same name
            found[table] = found.get(table, b"") + "\n".join(row[0] for row in rows).encode()
        return found
    finally:
        await connection.close()


async def test_no_secret_is_anywhere_in_what_was_written(directory: Path) -> None:
    data, log = directory / "data", directory / "log"
    async with Receiver() as receiver:
        receiver.plan(Reply(500, b"why"))
        with log.open("wb") as errors:
            process = await angarium(
                "dev", "--json", "--port", "0", "--data", str(data),
                stderr=errors.fileno(), ANGARIUM_LOG_LEVEL="debug", ANGARIUM_RETRY_SCHEDULE="200ms,400ms",
            )  # fmt: skip
            line = await announced(process)
            assert process.stdout is not None
            story = Story(line, receiver)
            try:
                await story.play()
                await receiver.wait_for(2)
            finally:
                await end(process)
                rest = await process.stdout.read()
    known = story.known
    assert len(known) > 30
    assert b"delivery.attempted" in log.read_bytes(), "nothing was logged, so nothing was tried here"
    leaks = [f"the log has the {name}" for name in _found(known, log.read_bytes() + rest)]
    for file in data.rglob("*"):
        if not file.is_file():
            continue
        if KEPT.search(file.name) and file.parent == data:
            assert file.stat().st_mode & 0o077 == 0, f"{file.name} can be read by others"
            continue
        if "base" in file.parts or "pg_wal" in file.parts or "global" in file.parts:
            continue
        leaks += [f"{file.relative_to(data)} has the {name}" for name in _found(known, file.read_bytes())]
    postgres = await EmbeddedPostgres.start(data)
    try:
        tables = await _values(postgres.url())
    finally:
        await postgres.stop()
    for table in ("application", "payload"):
        assert _found({"canary": story.canary}, tables[table]), f"nothing would be found in {table}"
    assert tables["attempt"]
    # a URL is shown to everyone who may see the endpoint, with what its owner put into it
    in_url = {name: secret for name, secret in known.items() if "in a URL" in name}
    for table, text in tables.items():
        wanted = {name: secret for name, secret in known.items() if name not in in_url}
        if table != "endpoint":
            wanted |= in_url
        leaks += [f"the table {table} has the {name}" for name in _found(wanted, text)]
    assert leaks == []
