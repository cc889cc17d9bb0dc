"""Limits and contacts of applications in configuration files, against a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from angarium.cli.configuration.carry_out import CarryOut
from angarium.cli.configuration.plan import Action, FieldChange, PlanStep
from angarium.client.angarium import Angarium
from tests.api.conftest import Api, Backend, api, backend, client, new_organization
from tests.cli.configuration.test_apply import Files, files

__all__ = ["api", "backend", "client", "files", "new_organization"]

APP = "angarium: 1\napplications:\n  acme:\n    name: Acme\n"
LIMITS = """    quota:
      messagesSoft: 80
      messagesHard: 100
      endpointsHard: unlimited
"""
CONTACTS = """    contacts:
      dev@example.com:
        kinds: [message.exhausted, endpoint.disabled]
      ops@example.com: {}
"""
EVERYTHING = ["endpoint.disabled", "endpoint.failing", "message.exhausted", "quota.hard", "quota.soft"]


async def own(files: Files) -> dict[str, Any]:
    found: dict[str, Any] = (await files.caller.api.get("/app/acme/quota"))["own"]
    return found


async def contacts(files: Files) -> dict[str, list[str]]:
    """Kinds by address."""
    found = (await files.caller.api.get("/app/acme/contact"))["contacts"]
    return {one["email"]: sorted(one["kinds"]) for one in found}


async def test_limits_are_planned_set_once_and_then_nothing_is_left_to_do(files: Files) -> None:
    printed = await files.run("diff", APP + LIMITS)
    assert "    quota.messagesSoft: 80\n" in printed
    assert '    quota.endpointsHard: "unlimited"\n' in printed
    await files.apply(APP + LIMITS)
    assert await own(files) == {"messagesSoft": 80, "messagesHard": 100, "endpointsHard": "unlimited"}
    await files.nothing_to_do(APP + LIMITS, "--delete")
    audit = len((await files.caller.api.get("/audit"))["data"])
    assert await files.apply(APP + LIMITS) == "Nothing to do.\n"
    assert len((await files.caller.api.get("/audit"))["data"]) == audit


async def test_only_limits_that_differ_change_and_one_that_is_left_out_is_the_default(files: Files) -> None:
    await files.apply(APP + LIMITS)
    less = APP + "    quota: {messagesSoft: 80, messagesHard: 200}\n"
    assert await files.plan(less) == [("update", "acme", ["quota.messagesHard", "quota.endpointsHard"])]
    await files.apply(less)
    assert await own(files) == {"messagesSoft": 80, "messagesHard": 200}
    await files.nothing_to_do(less)
    assert (await files.caller.api.get("/audit", action="application.updated"))["data"] == []
    records = (await files.caller.api.get("/audit", action="application.quota.changed"))["data"]
    assert [one["before"] for one in records] == [{"messagesHard": 100, "endpointsHard": "unlimited"}, {}]
    await files.apply(APP + "    quota: {}\n")
    assert await own(files) == {}


async def test_a_step_that_changes_limits_leaves_what_was_changed_since_the_plan(files: Files) -> None:
    api = files.caller.api
    await files.apply(APP)
    await api.patch("/app/acme", {"name": "Renamed"})
    change = FieldChange("quota.messagesHard", None, 5)
    fields = {"name": "Acme", "quota": {"messagesHard": 5}}
    path = ("applications", "acme")
    step = PlanStep(Action.UPDATE, "application", "application acme", path, (change,), fields)
    work = CarryOut(Angarium(files.caller.url, api.token), {}, lambda key: None)
    await asyncio.to_thread(work.make, step)
    assert await own(files) == {"messagesHard": 5}
    assert (await api.get("/app/acme"))["name"] == "Renamed"


async def test_limits_and_contacts_that_a_file_does_not_name_stay(files: Files) -> None:
    await files.apply(APP + LIMITS + CONTACTS)
    await files.nothing_to_do(APP, "--delete")
    await files.apply(APP.replace("Acme", "Acme Inc."), "--delete")
    assert (await own(files))["messagesHard"] == 100
    assert len(await contacts(files)) == 2


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            "    quota: {messagesSoft: 101, messagesHard: 100}\n",
            "a.yaml:5: applications.acme.quota.messagesSoft: 101 is not valid; it must be at most "
            "messagesHard, which is 100",
        ),
        (
            "    quota: {messageHard: 100}\n",
            "applications.acme.quota.messageHard: this field does not exist; did you mean messagesHard?",
        ),
        (
            "    quota: {endpointsHard: none}\n",
            '"none" is not valid; it must be a whole number from 0 to 1,000,000, or unlimited',
        ),
        (
            "    contacts:\n      dev@example.com: {}\n      DEV@example.com: {}\n",
            'a.yaml:7: applications.acme.contacts["DEV@example.com"]: it is there twice',
        ),
        (
            "    contacts:\n      dev at example.com: {}\n",
            '"dev at example.com" is not valid; it must be an email address such as user@example.com',
        ),
    ],
)
async def test_what_is_wrong_is_named_before_anything_changes(files: Files, lines: str, words: str) -> None:
    await files.run("apply", APP + lines, "--yes")
    assert files.caller.code == 1
    assert words in files.caller.said
    assert (await files.caller.api.get("/app"))["data"] == []


async def test_a_soft_limit_above_the_servers_hard_limit_is_refused_with_its_place(files: Files) -> None:
    await files.apply(APP + "    quota: {messagesHard: 100}\n")
    await files.caller.api.patch("/app/acme/quota", {"endpointsHard": 3})
    await files.run("apply", APP + "    quota: {endpointsSoft: 9999999}\n", "--yes")
    assert "it must be a whole number from 0 to 1,000,000" in files.caller.said
    assert (await own(files))["endpointsHard"] == 3


async def test_contacts_are_added_changed_and_mailed_once(files: Files, backend: Backend) -> None:
    await files.apply(APP + CONTACTS)
    both = {"dev@example.com": ["endpoint.disabled", "message.exhausted"], "ops@example.com": EVERYTHING}
    assert await contacts(files) == both
    await files.nothing_to_do(APP + CONTACTS, "--delete")
    fewer = CONTACTS.replace("message.exhausted, ", "")
    assert await files.plan(APP + fewer) == [("update", "dev@example.com", ["kinds"])]
    await files.apply(APP + fewer)
    assert await contacts(files) == both | {"dev@example.com": ["endpoint.disabled"]}
    async with backend.services.database.connection() as connection:
        assert await connection.fetchval("select count(*) from mail") == 2, "one link for each"


async def test_a_contact_keeps_its_status_and_is_the_same_in_capital_letters(
    files: Files, backend: Backend
) -> None:
    await files.caller.api.application(uid="acme", name="Acme")
    await files.caller.api.post("/app/acme/contact", {"email": "Dev@Example.com"}, status=200)
    async with backend.services.database.connection() as connection:
        await connection.execute("update contact set status = 'unsubscribed'")
    for spelled in ("dev@example.com", "DEV@example.COM"):
        await files.nothing_to_do(APP + f"    contacts: {{{spelled}: {{}}}}\n", "--delete")
    await files.apply(APP + "    contacts: {DEV@example.com: {kinds: [quota.hard]}}\n")
    (found,) = (await files.caller.api.get("/app/acme/contact"))["contacts"]
    assert (found["status"], found["kinds"]) == ("unsubscribed", ["quota.hard"])


async def test_contacts_are_deleted_with_the_flag_only_and_make_room_for_others(files: Files) -> None:
    first, second = (
        APP + "    contacts:\n" + "".join(f"      {name}{n}@example.com: {{}}\n" for n in range(10))
        for name in "ab"
    )
    await files.apply(first)
    assert [step[0] for step in await files.plan(second)] == ["create"] * 10
    await files.run("diff", APP + "    contacts: {}\n")
    assert "kept without --delete: contact acme/a0@example.com" in files.caller.said
    await files.apply(second, "--delete")
    assert list(await contacts(files)) == [f"b{n}@example.com" for n in range(10)]
    await files.nothing_to_do(second, "--delete")
    await files.apply(APP + "    contacts: {}\n", "--delete")
    assert await contacts(files) == {}


async def test_an_export_has_limits_and_contacts_and_makes_the_same_elsewhere(
    files: Files, new_organization: Callable[[], Api]
) -> None:
    await files.apply(APP + LIMITS + CONTACTS + "  plain:\n    name: Plain\n")
    exported = await files.caller.run("export")
    assert "      messagesHard: 100\n" in exported
    assert "      ops@example.com: {}\n" in exported
    assert exported.count("quota:") == exported.count("contacts:") == 1
    await files.nothing_to_do(exported, "--delete")
    files.caller.api = new_organization()
    await files.apply(exported)
    assert await files.caller.run("export") == exported


async def test_without_mail_the_step_says_why_and_the_others_are_made(files: Files, backend: Backend) -> None:
    backend.services.contact.available = False
    await files.run("apply", APP + LIMITS + CONTACTS, "--yes")
    assert files.caller.code == 1
    assert "create contact acme/dev@example.com failed; 1 of 3 steps were applied" in files.caller.said
    assert "mail_unavailable" in files.caller.said or "mail" in files.caller.said.lower()
    assert (await own(files))["messagesHard"] == 100
