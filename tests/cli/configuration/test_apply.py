"""`angarium apply`, `diff` and `export` against a real server."""

from __future__ import annotations

import asyncio
import json
import re
import stat
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from angarium.cli.configuration import carry_out
from angarium.cli.configuration.state import read
from angarium.cli.configuration.text import read as read_text
from angarium.client.error import Unreachable
from tests.api.conftest import Api, Backend, api, backend, client, new_organization, sample
from tests.api.sample import SampleServer
from tests.api.serving import serving
from tests.cli.test_remote import Caller
from tests.kit.command import run_apart

__all__ = ["api", "backend", "client", "new_organization", "sample"]

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
TOKEN = "Bearer a-token-that-is-secret"
VALUES = {"ACME_SECRET": SECRET, "ACME_AUTHORIZATION": TOKEN}
WHOLE = """
angarium: 1
eventTypes:
  order.filled:
    description: An order was filled.
    groupName: order
    featureFlags: [beta]
    deprecated: true
    schemas:
      "1": {type: object, properties: {total: {type: number, minimum: 1.5}}}
  order.old:
    description: ""
    archived: true
applications:
  acme:
    name: Acme Inc.
    throttleRate: 50
    metadata: {plan: pro}
    endpoints:
      orders:
        url: https://Example.com
        description: Orders
        eventTypes: [order.*, order.filled]
        channels: [a, b]
        throttleRate: 5
        fifo: true
        disabled: true
        metadata: {a: b}
        secret: {env: ACME_SECRET}
        headers: {X-Shop: "1", Authorization: {env: ACME_AUTHORIZATION}}
      billing:
        url: https://example.com/billing
  other:
    name: Other
"""


@dataclass
class Files:
    """Runs the commands on files in a directory of their own."""

    caller: Caller
    directory: Path

    def write(self, text: str, name: str = "a.yaml") -> str:
        (self.directory / name).write_text(text)
        return str(self.directory / name)

    async def run(self, command: str, text: str, *more: str, **variables: str) -> str:
        arguments = (command, "-f", self.write(text), *more)
        return await self.caller.run(*arguments, given=b"", **(VALUES | variables))

    async def apply(self, text: str, *more: str, **variables: str) -> str:
        printed = await self.run("apply", text, "--yes", *more, **variables)
        assert self.caller.code == 0, self.caller.said
        return printed

    async def nothing_to_do(self, text: str, *more: str, **variables: str) -> None:
        printed = await self.run("diff", text, *more, **variables)
        assert (printed, self.caller.code) == ("", 0), self.caller.said

    async def plan(self, text: str, *more: str, **variables: str) -> list[tuple[str, str, list[str]]]:
        """Action, last key and changed fields of each step."""
        printed = await self.run("diff", text, "--json", *more, **variables)
        steps = json.loads(printed)["steps"]
        assert self.caller.code == (4 if steps else 0), self.caller.said
        return [
            (one["action"], one["path"][-1], [change["field"] for change in one["changes"]]) for one in steps
        ]


@pytest.fixture
async def files(api: Api, backend: Backend, tmp_path: Path) -> AsyncIterator[Files]:
    async with serving(backend.app) as url:
        yield Files(Caller(url, api, ""), tmp_path)


async def test_everything_is_created_once_and_then_nothing_is_left_to_do(files: Files) -> None:
    printed = await files.apply(WHOLE)
    assert "+ endpoint acme/orders" in printed
    assert "Done: 6 steps." in printed
    await files.nothing_to_do(WHOLE)
    await files.nothing_to_do(WHOLE, "--delete")
    assert await files.apply(WHOLE) == "Nothing to do.\n"
    get = files.caller.api.get
    kind = await get("/event-type/order.filled")
    assert (kind["groupName"], kind["featureFlags"], kind["deprecated"]) == ("order", ["beta"], True)
    endpoint = await get("/app/acme/endpoint/orders")
    assert endpoint["url"] == "https://example.com/"
    assert (endpoint["disabled"], endpoint["fifo"], endpoint["throttleRate"]) == (True, True, 5)
    assert (await get("/app/acme/endpoint/orders/secret"))["key"] == SECRET
    assert (await get("/app/acme/endpoint/orders/headers"))["sensitive"] == ["Authorization"]
    assert (await get("/event-type/order.old"))["archived"]


async def test_the_examples_of_the_page_are_valid_and_the_plan_is_printed_as_shown(files: Files) -> None:
    page = PAGE.read_text()
    first, limits, keys = re.findall(r"```yaml\n((?:# yaml-[^\n]*\n)?angarium: 1\n.*?)```", page, re.DOTALL)
    shown = re.search(r"\$ angarium diff -f angarium.yaml\n(\+.*?)\$ angarium apply", page, re.DOTALL)
    assert shown is not None
    variables = {"ACME_WEBHOOK_SECRET": SECRET, "ACME_AUTHORIZATION": TOKEN}
    assert await files.run("diff", first, **variables) == shown[1]
    await files.apply(first, **variables)
    await files.nothing_to_do(first, **variables)
    await files.run("diff", first.replace("throttleRate: 50", "throttleRate: fast"), **variables)
    (fault,) = re.findall(r"^angarium: angarium.yaml:\d+: (.*)$", page, re.MULTILINE)
    assert fault in files.caller.said
    state, faults = read([read_text(keys.encode(), "keys")])
    assert (faults.found, len(state.items)) == ([], 2)
    (printed,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    faster = first.replace("throttleRate: 50", "throttleRate: 100")
    changed = await files.run("diff", faster, "--json", **variables)
    assert json.loads(changed) == json.loads(printed)
    await files.apply(limits)
    await files.nothing_to_do(limits, "--delete")


async def test_changes_are_found_made_and_gone(files: Files) -> None:
    await files.apply(WHOLE)
    new = (
        WHOLE.replace("An order was filled.", "Filled.")
        .replace("groupName: order", "groupName: orders")
        .replace("minimum: 1.5", "minimum: 2")
        .replace("    throttleRate: 50\n", "")
        .replace("channels: [a, b]", "channels: [a]")
        .replace('X-Shop: "1"', 'X-Market: "1"')
        .replace("https://Example.com", "https://example.com:8443/new")
        .replace("disabled: true", "disabled: false")
    )
    assert await files.plan(new, ACME_SECRET=OTHER) == [
        ("update", "order.filled", ["description", "schemas", "groupName"]),
        ("update", "acme", ["throttleRate"]),
        (
            "update", "orders",
            ["url", "channels", "disabled", "headers.X-Market", "headers.X-Shop", "secret"],
        ),
    ]  # fmt: skip
    await files.caller.api.patch("/app/acme/endpoint/orders", {"version": 7})
    await files.apply(new, ACME_SECRET=OTHER)
    await files.nothing_to_do(new, ACME_SECRET=OTHER)
    get = files.caller.api.get
    assert "throttleRate" not in {k for k, v in (await get("/app/acme")).items() if v is not None}
    endpoint = await get("/app/acme/endpoint/orders")
    assert (endpoint["url"], endpoint["disabled"]) == ("https://example.com:8443/new", False)
    assert endpoint["version"] == 7, "it is not in the file"
    assert (await get("/app/acme/endpoint/orders/secret"))["key"] == OTHER
    headers = await get("/app/acme/endpoint/orders/headers")
    assert headers == {"headers": {"X-Market": "1"}, "sensitive": ["Authorization"]}
    assert await files.plan(new, ACME_SECRET=OTHER, ACME_AUTHORIZATION="Bearer x") == [
        ("update", "orders", ["headers.Authorization"])
    ]


async def test_deletes_need_the_flag_and_touch_only_what_files_can_name(files: Files) -> None:
    await files.apply(WHOLE)
    call = files.caller.api
    await call.endpoint("acme")  # without a uid, as customers create them
    await call.post("/app/acme/listener", {"name": "laptop"}, status=200)
    await call.application()
    less = "angarium: 1\neventTypes: {}\napplications:\n  acme:\n    name: Acme Inc.\n    endpoints: {}\n"
    assert await files.plan(less) == [("update", "acme", ["throttleRate", "metadata"])]
    await files.run("diff", less)
    assert "kept without --delete: endpoint acme/billing, endpoint acme/orders, application other" in (
        files.caller.said
    )
    await files.apply(less)
    await files.nothing_to_do(less)
    assert [step[:2] for step in await files.plan(less, "--delete")] == [
        ("delete", "billing"), ("delete", "orders"), ("delete", "other"), ("archive", "order.filled")
    ]  # fmt: skip
    await files.apply(less, "--delete")
    await files.nothing_to_do(less, "--delete")
    assert len((await call.get("/app/acme/endpoint"))["data"]) == 2
    assert len((await call.get("/app"))["data"]) == 2
    assert (await call.get("/event-type/order.filled"))["archived"]
    await files.nothing_to_do("angarium: 1\n", "--delete")


async def test_a_section_that_a_file_lacks_is_not_touched(files: Files) -> None:
    await files.apply(WHOLE)
    one = "angarium: 1\napplications:\n  other: {name: Other}\n  acme: {name: Acme Inc., throttleRate: 50, "
    await files.nothing_to_do(one + "metadata: {plan: pro}}\n", "--delete")


async def test_what_customers_and_failures_change_is_left_alone(files: Files) -> None:
    """An endpoint that the server disabled stays disabled, and headers and secrets that are not in the file
    stay."""
    await files.apply(WHOLE)
    call = files.caller.api
    await call.patch("/app/acme/endpoint/billing", {"disabled": True})
    await call.call("PUT", "/app/acme/endpoint/billing/headers", {"headers": {"X-Mine": "1"}}, status=204)
    await files.nothing_to_do(WHOLE)
    await files.apply(WHOLE.replace("example.com/billing", "example.com/bills"))
    endpoint = await call.get("/app/acme/endpoint/billing")
    assert (endpoint["url"], endpoint["disabled"]) == ("https://example.com/bills", True)
    assert (await call.get("/app/acme/endpoint/billing/headers"))["headers"] == {"X-Mine": "1"}


async def test_no_secret_is_printed_or_exported(files: Files) -> None:
    said = await files.run("diff", WHOLE) + await files.apply(WHOLE) + files.caller.said
    said += await files.run("apply", WHOLE, "--json", "--yes", ACME_SECRET=OTHER)
    said += await files.caller.run("export") + await files.caller.run("export", "--json")
    for secret in (SECRET, OTHER, TOKEN, "a-token-that-is-secret"):
        assert secret not in said


async def test_an_export_is_a_file_that_has_nothing_to_change(files: Files) -> None:
    await files.apply(WHOLE)
    exported = await files.caller.run("export")
    assert "Authorization:\n            keep: true" in exported
    await files.nothing_to_do(exported, "--delete")
    as_json = await files.caller.run("export", "--json")
    assert await files.plan(as_json, "--delete") == []
    await files.caller.run("diff", "-f", "-", given=exported.encode())
    assert files.caller.code == 0


async def test_an_export_applied_to_an_empty_organization_is_exported_alike(
    files: Files, new_organization: Callable[[], Api]
) -> None:
    plain = WHOLE.replace(", Authorization: {env: ACME_AUTHORIZATION}", "")
    await files.apply(plain)
    exported = await files.caller.run("export")
    files.caller.api = new_organization()
    await files.apply(exported)
    assert await files.caller.run("export") == exported


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"ACME_SECRET": ""}, "secret: the environment variable ACME_SECRET is empty"),
        ({"ACME_SECRET": "whsec_x"}, "create endpoint acme/orders failed; 5 of 6 steps were applied"),
    ],
)
async def test_a_wrong_secret_is_named_by_place_and_not_shown(
    files: Files, more: dict[str, str], words: str
) -> None:
    await files.run("apply", WHOLE, "--yes", **more)
    assert files.caller.code == 1
    assert words in files.caller.said
    assert "a.yaml:2" in files.caller.said
    assert "whsec_x" not in files.caller.said
    missing = WHOLE.replace("{env: ACME_SECRET}", "{env: NOT_THERE}")
    await files.run("diff", missing)
    assert "secret: the environment variable NOT_THERE is not set" in files.caller.said
    assert files.caller.code == 1


async def test_secrets_come_from_files_beside_the_file(files: Files) -> None:
    (files.directory / "secret").write_text(SECRET + "\n")
    text = WHOLE.replace("{env: ACME_SECRET}", "{file: secret}")
    await files.apply(text)
    await files.nothing_to_do(text)
    assert (await files.caller.api.get("/app/acme/endpoint/orders/secret"))["key"] == SECRET
    await files.run("diff", text.replace("{file: secret}", "{file: nothing}"))
    assert f"cannot read {files.directory / 'nothing'}: No such file" in files.caller.said


async def test_an_invalid_url_is_a_fault_before_anything_is_done(files: Files) -> None:
    await files.apply(WHOLE)
    before = len((await files.caller.api.get("/audit"))["data"])
    await files.run("apply", WHOLE.replace("https://Example.com", "ftp://example.com"), "--yes")
    assert files.caller.code == 1
    assert "a.yaml:20: applications.acme.endpoints.orders: " in files.caller.said
    assert len((await files.caller.api.get("/audit"))["data"]) == before


async def test_without_a_terminal_it_needs_yes_and_does_nothing(files: Files) -> None:
    printed = await files.run("apply", WHOLE)
    assert files.caller.code == 2
    assert "6 to create, 0 to change, 0 to delete" in files.caller.said
    assert "confirm with --yes" in files.caller.said
    assert "+ application acme" in printed
    assert (await files.caller.api.get("/app"))["data"] == []
    await files.caller.run("apply")
    assert (files.caller.code, "no file given" in files.caller.said) == (2, True)
    await files.caller.run("diff")
    assert files.caller.code == 2


async def test_other_tokens_are_refused(files: Files, new_organization: Callable[[], Api]) -> None:
    await files.apply(WHOLE)
    own = files.caller.api
    app = (await own.get("/app/acme"))["id"]
    files.caller.api = own.as_application(app)
    await files.run("apply", WHOLE, "--yes")
    assert (files.caller.code, "Use the organization's token" in files.caller.said) == (1, True)
    await files.caller.run("export")
    assert files.caller.code == 1
    meant = f"{WHOLE}organization: {{id: {own.org_id}}}\n"
    files.caller.api = new_organization()
    await files.run("apply", meant, "--yes")
    assert files.caller.code == 1
    assert f"it must be {files.caller.api.org_id}, the organization of the token" in files.caller.said
    assert (await files.caller.api.get("/app"))["data"] == []
    files.caller.api = own
    await files.nothing_to_do(meant)


@pytest.mark.parametrize("at", [0, 2, 5])
async def test_an_apply_that_is_cut_off_says_so_and_a_second_one_finishes(
    files: Files, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    made: list[Any] = []
    make = carry_out.CarryOut.make

    def cut(self: Any, step: Any) -> None:
        if len(made) == at:
            raise Unreachable("the cable is out")
        made.append(step)
        make(self, step)

    monkeypatch.setattr(carry_out.CarryOut, "make", cut)
    await files.run("apply", WHOLE, "--yes")
    assert files.caller.code == 3
    assert f"failed; {at} of 6 steps were applied. Not applied:" in files.caller.said
    assert files.caller.said.count("\n  + ") == 6 - at
    assert "Run the command again to finish." in files.caller.said
    monkeypatch.undo()
    assert f"Done: {6 - at} steps." in await files.apply(WHOLE)
    await files.nothing_to_do(WHOLE)


async def test_two_at_once_do_not_get_in_each_others_way(files: Files) -> None:
    path = files.write(WHOLE)
    variables = {"ANGARIUM_URL": files.caller.url, "ANGARIUM_TOKEN": files.caller.api.token, **VALUES}
    for text in (WHOLE, WHOLE.replace("Acme Inc.", "Acme").replace("[a, b]", "[c]")):
        files.write(text)
        arguments = ("apply", "-f", path, "--yes")
        both = await asyncio.gather(*(asyncio.to_thread(run_apart, *arguments, **variables) for _ in "ab"))
        assert [one.returncode for one in both] == [0, 0], [one.stderr for one in both]
        await files.nothing_to_do(text, "--delete")


async def test_a_step_that_another_caller_has_made_is_made_as_well(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is created or deleted between the plan and its step is changed, or gone."""
    call, make = files.caller.api, carry_out.CarryOut.make
    loop = asyncio.get_running_loop()

    async def meanwhile(step: Any) -> None:
        if step.action == "delete":
            await call.delete(f"/app/acme/endpoint/{step.path[-1]}")
        elif step.kind == "application":
            await call.post("/app", {"name": "Theirs", "uid": step.path[-1], "metadata": {"x": "y"}})
        elif step.kind == "endpoint":
            body = {"url": "https://theirs.example", "uid": step.path[-1], "headers": {"X-Theirs": "1"}}
            await call.post("/app/acme/endpoint", body)

    def late(self: Any, step: Any) -> None:
        asyncio.run_coroutine_threadsafe(meanwhile(step), loop).result()
        make(self, step)

    monkeypatch.setattr(carry_out.CarryOut, "make", late)
    await files.apply(WHOLE)
    await files.nothing_to_do(WHOLE, "--delete")
    less = WHOLE[: WHOLE.index("      billing:")] + WHOLE[WHOLE.index("  other:") :]
    await files.apply(less, "--delete")
    await files.nothing_to_do(less, "--delete")


@pytest.fixture
async def bloom(sample: SampleServer, tmp_path: Path) -> AsyncIterator[Files]:
    """An organization without a profile, at a server that has more than the standard one."""
    token = sample.services.token.for_organization("org_new")
    async with serving(sample.app) as url:
        yield Files(Caller(url, Api(sample.client, sample.services, "org_new", token), ""), tmp_path)


async def test_keys_are_created_in_a_file_of_their_owner_and_revoked(bloom: Files) -> None:
    files = bloom
    text = """
angarium: 1
organization: {profile: bloom}
applications:
  acme:
    name: Acme
    keys:
      Production: {scope: organization}
      Reporting: {scope: user}
"""
    assert (await files.plan(text))[0] == ("update", "organization", ["profile"])
    await files.run("apply", text, "--yes")
    assert (files.caller.code, "--new-keys" in files.caller.said) == (2, True)
    kept = files.directory / "keys"
    printed = await files.apply(text, "--new-keys", str(kept))
    keys = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [(one["application"], one["name"], one["scope"]) for one in keys] == [
        ("acme", "Production", "organization"), ("acme", "Reporting", "user")
    ]  # fmt: skip
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    verify = files.caller.api.services.api_key.verify
    assert (await verify(keys[0]["key"])).scope == "organization"
    assert keys[0]["key"] not in printed + await files.caller.run("export")
    await files.nothing_to_do(text)
    assert "Production:\n        scope: organization" in await files.caller.run("export")
    await files.run("diff", text.replace("scope: user", "scope: organization"))
    assert "cannot be changed from user to organization" in files.caller.said
    less = text.replace("      Reporting: {scope: user}\n", "")
    assert await files.plan(less) == []
    await files.apply(less, "--delete")
    await files.nothing_to_do(less, "--delete")
    credentials = (await files.caller.api.get("/auth/credential"))["data"]
    assert [one["name"] for one in credentials if one["kind"] == "key" and one["revokedAt"] is None] == [
        "Production"
    ]
    await files.run("diff", text.replace("profile: bloom", "profile: bluma"))
    assert "the organization has the profile bloom, which cannot be changed" in files.caller.said
