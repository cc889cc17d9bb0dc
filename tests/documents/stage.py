"""One server for the commands of all documents, started as the README says, and what each page finds there.

Each page has an organization of its own with a customer, an endpoint that fails, and a message that was
delivered to it. What a page names, such as `customer-1` or `ep_…`, exists; ids and addresses that it shows
are replaced by those of the test.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pty
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

from angarium.cli.installation import new_organization
from angarium.receiver import Receiver as Accepting
from angarium.receiver.adapter import wsgi
from angarium.testing import sign
from tests.documents.block import ALL, ROOT, Step
from tests.documents.launcher import launching
from tests.kit.command import run
from tests.kit.mail import MailServer
from tests.kit.patience import PATIENCE, until, wait_until
from tests.kit.port import free_port
from tests.kit.receiver import Receiver, Reply
from tests.test_docs import serving

ORGANIZATION: Final = "org_23rb8YdGqMT0qIzpgGwdXfHirMu"
ID: Final = "0ujsswThIGTUYm2K8FjOOfXtY1K"
SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ENDLESS: Final = ("play",)
"""Commands that run until they are interrupted."""
SCOPES: Final = {"bluum": "tenant", "bluma": "webhooks:manage", "bloom": "organization"}
MANAGE: Final = """
import sys
from tests.outbox.django_site import configure

configure("django.db")
from django.core.management import call_command, execute_from_command_line

call_command("migrate", verbosity=0)
execute_from_command_line(sys.argv)
"""
PRELUDE: Final = """
set -m
curl() { command curl --silent --show-error --fail-with-body --max-time 60 "$@"; }
interrupted() {  # the last command in the background, once it has written to this file
    until [ -s "$1" ] || ! kill -0 $!; do sleep 0.05; done
    kill -INT $! || return
    wait $!
    local code=$?
    [ $code = 0 ] || [ $code = 130 ]
}
"""


@dataclass(frozen=True, slots=True)
class Done:
    """A command that ended, and all that it printed."""

    step: Step
    code: int
    printed: str


@dataclass
class Stage:
    """The server, and the environment of a shell beside it."""

    directory: Path
    url: str
    token: str  # that the README creates
    database: str
    restored: str  # an empty database that no server uses
    environment: dict[str, str]

    @contextmanager
    def calling(self, token: str) -> Iterator[httpx.Client]:
        """A client of the API."""
        headers = {"authorization": f"Bearer {token}"}
        with httpx.Client(base_url=f"{self.url}/api/v1/", headers=headers, timeout=PATIENCE) as client:
            yield client


@dataclass
class Scene:
    """What a page finds. `names`: what it shows, and what takes its place."""

    stage: Stage
    directory: Path
    organization: str
    token: str
    names: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    def replaced(self, text: str) -> str:
        """The text with this test's ids and addresses."""
        if not self.names:
            return text
        pattern = "|".join(re.escape(name) for name in sorted(self.names, key=len, reverse=True))
        return re.sub(pattern, lambda found: self.names[found[0]], text)

    def play(self, steps: Sequence[Step]) -> list[Done]:
        """Type the commands into one shell, answering every question with yes, and read what they print."""
        script = [PRELUDE]
        outputs = [self.directory / f".output-{number}" for number in range(len(steps))]
        for step, output in zip(steps, outputs, strict=True):
            endless = any(call.startswith(ENDLESS) for call in step.calls())
            command = self.replaced(step.command)
            script.append(
                f"{{ {command} &\n}} > {output} 2>&1\ninterrupted {output}"
                if endless
                else f"{{ {command}\n}} > {output} 2>&1"
            )
            script.append(f"echo $? > {output}.code")
        environment = self.stage.environment | {"ANGARIUM_TOKEN": self.token} | self.variables
        terminal, inside = pty.openpty()
        try:
            os.write(terminal, b"y\n" * 100)
            program = self.directory / ".script"
            program.write_text("\n".join(script))
            with subprocess.Popen(
                ["bash", str(program)], cwd=self.directory, env=environment, stdin=inside
            ) as shell:
                try:
                    shell.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    for child in psutil.Process(shell.pid).children(recursive=True):
                        child.kill()
                    shell.kill()
        finally:
            os.close(terminal)
            os.close(inside)
        codes = [Path(f"{output}.code") for output in outputs]
        return [
            Done(step, int(code.read_text()) if code.exists() else -1, output.read_text())
            for step, output, code in zip(steps, outputs, codes, strict=True)
            if output.exists()
        ]


@contextmanager
def staged(directory: Path, database: str, restored: str) -> Iterator[Stage]:
    """A server, started by the commands of the README on this database."""
    (block,) = [one for one in ALL if one.page == "README.md" and "angarium serve" in one.text]
    steps = [step for step in block.steps() if not step.command.startswith("pip ")]
    serving = next(number for number, step in enumerate(steps) if "angarium serve" in step.command)
    port, ops = free_port(), free_port()
    names = {
        "postgresql://angarium@db/angarium": database,
        "0.0.0.0:8071": f"127.0.0.1:{port}",
        "--processes 2": "--processes 2 > server.log 2>&1 & echo $! > server.pid",
    }
    with launching(directory) as environment:
        settings = {
            "ANGARIUM_OPS_LISTEN": f"127.0.0.1:{ops}",
            "ANGARIUM_PUBLIC_URL": f"http://127.0.0.1:{port}",
            "ANGARIUM_ALLOWED_SUBNETS": "127.0.0.0/8,::1/128",
            "ANGARIUM_HTTPS_ONLY": "false",
            "ANGARIUM_PROFILES": f"bluum,bluma,bloom,{ROOT / 'tests/dialects/fourth.toml'}",
            "ANGARIUM_SMTP_URL": f"smtp://127.0.0.1:{free_port()}",
            "ANGARIUM_MAIL_FROM": "Webhooks <webhooks@example.com>",
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANGARIUM_")}
        shell = kept | environment | {
            "COLUMNS": "120", "HOME": str(directory), "NO_COLOR": "1", "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
        }  # fmt: skip
        url = f"http://127.0.0.1:{port}"
        wait = Step(f"until command curl -sf {url}/api/v1/health > health; do sleep 0.1; done", ())
        shown = Step("env | grep ^ANGARIUM_ > environment", ())
        scene = Scene(
            Stage(directory, url, "", database, restored, shell | settings), directory, "", "", names
        )
        try:
            done = scene.play([*steps[: serving + 1], wait, shown, *steps[serving + 1 :]])
            assert [one for one in done if one.code != 0] == [], (directory / "server.log").read_text()
            made = dict(line.split("=", 1) for line in (directory / "environment").read_text().splitlines())
            yield Stage(
                directory,
                url,
                done[-1].printed.strip(),
                database,
                restored,
                shell | made | {"ANGARIUM_URL": url},
            )
        finally:
            _stop(directory)


def _stop(directory: Path) -> None:
    server = psutil.Process(int((directory / "server.pid").read_text()))
    server.terminate()
    wait_until(lambda: not _runs(server))


def _runs(process: psutil.Process) -> bool:
    """Whether it runs; where nothing reaps it, an ended one remains as a zombie."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@asynccontextmanager
async def scene(stage: Stage, directory: Path) -> AsyncIterator[Scene]:
    """An organization with its objects, files, a mail server and a receiver that fails."""
    organization, product = new_organization(), new_organization()
    token, second = (token_of(stage, one) for one in (organization, organization))
    made = Scene(stage, directory, organization, token)
    endpoint = Accepting("standard", SECRET)
    endpoint.default(lambda event: None)
    with serving(wsgi(endpoint)) as port:
        async with Receiver() as receiver, Receiver() as hook, MailServer() as mail:
            receiver.default = Reply(500)
            made.names |= {
                "https://hooks.example.com": stage.url,
                "http://127.0.0.1:8071": stage.url,
                "http://127.0.0.1:9464": f"http://{stage.environment['ANGARIUM_OPS_LISTEN']}",
                "smtp+starttls://user:password@mail.example.com:587": f"smtp://127.0.0.1:{mail.port}",
                "https://hooks.slack.com/services/…": hook.url,
                "angarium doctor https://shop.example.com/webhooks": (
                    f"angarium doctor http://localhost:{port}/webhooks --allow-http"
                ),
                "http://localhost:3000/webhooks": f"http://localhost:{port}/webhooks",
                "angarium listen": "angarium listen --count 1 --within 1",
                "/var/log/angarium/": "",
                "customer-7": "customer-1",
                "MICROSECONDS": "300",
                "BYTES": "2000",
                "PID": (stage.directory / "server.pid").read_text().strip(),
                "forward_outbox ": "forward_outbox --once ",
                "message tail --failed": "message tail --failed --within 1",
                "--gap 2": "--gap 0",
                "parcel.toml --org org_…": f"parcel.toml --org {new_organization()}",
                "https://shop.example.com/webhooks": receiver.url,
                "2026-11-29T08:00:00Z": (datetime.now(UTC) - timedelta(hours=1)).strftime("%FT%TZ"),
                ORGANIZATION: organization,
                "org_…": product,
                "angarium restore": f"ANGARIUM_DATABASE_URL='{stage.restored}' angarium restore",
                "eyJ…": token,
                "TOKEN=…": f"TOKEN={token}",
                "Bearer TOKEN": f"Bearer {token}",
                "whsec_…": SECRET,
            }
            with stage.calling(token_of(stage, product)) as call:
                check(call.put("organization", json={"profile": "bluum"}))
                for uid in ("customer", "customer-1"):
                    check(call.post("app", json={"name": uid, "uid": uid}))
                key = check(
                    call.post(
                        "auth/credential", json={"application": "customer", "name": "one", "scope": "tenant"}
                    )
                )
                revoke = f"api-key revoke {key['id']} --database --org {product}"
                made.names["api-key revoke key_…"] = revoke
            keys = {name: credential(stage, name, scope) for name, scope in SCOPES.items()}
            made.variables = {
                "BASE_URL": stage.url,
                "GRAPHQL_URL": f"{stage.url}/graphql",
                "ORGANIZATION_TOKEN": keys["bloom"],
                "API_KEY": keys["bluma"],
                "AUTH": base64.b64encode(keys["bluum"].encode()).decode(),
                "ACME_WEBHOOK_SECRET": SECRET,
                "ACME_AUTHORIZATION": "Bearer acme",
                "ANGARIUM_APP": "customer-1",
                "ANGARIUM_SMTP_URL": f"smtp://127.0.0.1:{mail.port}",
                "ANGARIUM_ALERT_MAIL_TO": "ops@example.com",
            }
            files(directory, second)
            yield made


def credential(stage: Stage, product: str, scope: str) -> str:
    """A key of a product's own API, of an organization of its own."""
    with stage.calling(token_of(stage, new_organization())) as call:
        check(call.put("organization", json={"profile": product}))
        check(call.post("app", json={"name": "A customer", "uid": "customer"}))
        made = check(
            call.post("auth/credential", json={"application": "customer", "name": "one", "scope": scope})
        )
        return ":".join(made[name] for name in ("key", "secret") if made.get(name))


def check(answer: httpx.Response) -> Any:
    """The JSON of an answer that is not an error."""
    assert answer.status_code < 300, answer.text
    return answer.json() if answer.content else None


async def ensure(scene: Scene) -> None:
    """What a page names, made again if a block before deleted it."""
    with scene.stage.calling(scene.token) as call:
        for uid in ("customer-1", "customer-2"):
            if call.get(f"app/{uid}").status_code == 404:
                check(call.post("app", json={"name": uid, "uid": uid}))
        for name in ("order.filled", "order.accepted"):
            if call.get(f"event-type/{name}").status_code == 404:
                check(call.post("event-type", json=event_type(name)))
        app = "app/customer-1"
        message = scene.names.get(f"msg_{ID}")
        endpoint = call.get(f"{app}/endpoint/{scene.names.get(f'ep_{ID}')}")
        if (
            message is None
            or endpoint.is_error
            or call.get(f"{app}/msg/{message}").json().get("payload") is None
        ):
            url = scene.names["https://shop.example.com/webhooks"]
            endpoint = check(call.post(f"{app}/endpoint", json={"url": url}))["id"]
            message = check(
                call.post(f"{app}/msg", json={"eventType": "order.filled", "payload": {"id": "ord_1"}})
            )["id"]
            attempts: list[Any] = []

            async def attempted() -> bool:
                answer = await asyncio.to_thread(call.get, f"{app}/attempt/endpoint/{endpoint}")
                attempts[:] = check(answer)["data"]
                return bool(attempts)

            await until(attempted)
            task = check(
                call.post(
                    f"{app}/endpoint/{endpoint}/recover", json={"since": scene.names["2026-11-29T08:00:00Z"]}
                )
            )
            scene.names |= {
                f"ep_{ID}": endpoint, f"msg_{ID}": message, f"atmpt_{ID}": attempts[0]["id"],
                f"qtask_{ID}": task["id"], "ep_…": endpoint,
            }  # fmt: skip


def event_type(name: str) -> dict[str, Any]:
    """An event type with an example."""
    schema = {"type": "object", "examples": [{"id": "ord_1"}]}
    return {"name": name, "description": "What an order became.", "schemas": {"1": schema}}


def files(directory: Path, token: str) -> None:
    """The files that pages name."""
    body = b'{"type": "order.filled", "data": {"id": "ord_1"}}'
    headers = "".join(f"{name}: {value}\n" for name, value in sign(body, SECRET).items())
    openapi = {
        "openapi": "3.1.0", "info": {"title": "The shop", "version": "1"},
        "webhooks": {"order.shipped": {"post": {"description": "An order was shipped.", "requestBody": {
            "content": {"application/json": {"schema": {"type": "object"}}}}}}},
    }  # fmt: skip
    for name, content in {
        "order.json": body.decode(),
        "body.json": body.decode(),
        "headers.txt": headers,
        "schemas.json": json.dumps({"1": {"type": "object"}}),
        "openapi.yaml": json.dumps(openapi),
        "angarium.yaml": "angarium: 1\n",
        "types.yaml": "angarium: 1\neventTypes: {order.filled: {description: An order was filled.}}\n",
        "customers.yaml": "angarium: 1\n",
        "life-of-an-order.jsonl": '{"type": "order.filled", "data": {"id": "ord_1"}, "after": 0}\n',
        "token.txt": f"{token}\n",
        "audit.jsonl": "",
        "manage.py": MANAGE,
        "jwt_secret": "x" * 40,
        "angarium.log": "",
        "api-1.log": "",
        "api-2.log": "",
    }.items():
        (directory / name).write_text(content)
    shutil.copyfile(ROOT / "tests/dialects/fourth.toml", directory / "parcel.toml")


def token_of(stage: Stage, organization: str) -> str:
    """A token of the organization."""
    secret = stage.environment["ANGARIUM_JWT_SECRET"]
    done = run("token", "create", "--org", organization, ANGARIUM_JWT_SECRET=secret)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
