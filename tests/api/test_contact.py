"""Contacts over the API: a list that is replaced, checked, and each application's own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from angarium.core.alert import ALL_KINDS
from angarium.core.claims import Capability
from angarium.core.contact import CONFIRMATIONS_OF_APPLICATION, MAX_CONTACTS
from tests.api.conftest import Api, Backend


def listed(*emails: str, **fields: object) -> dict[str, object]:
    return {"contacts": [{"email": email, **fields} for email in emails]}


async def test_contacts_are_replaced_and_those_that_stay_keep_what_they_are(api: Api) -> None:
    path = f"/app/{await api.application()}/contact"
    first = (await api.put(path, listed("a@example.com", "b@example.com")))["contacts"]
    assert [(one["email"], one["status"]) for one in first] == [
        ("a@example.com", "pending"),
        ("b@example.com", "pending"),
    ]
    assert first[0]["kinds"] == list(ALL_KINDS)
    assert "bounce" not in first[0]
    second = (await api.put(path, listed("B@example.com", "c@example.com", kinds=["endpoint.disabled"])))[
        "contacts"
    ]
    assert [one["email"] for one in second] == ["b@example.com", "c@example.com"]
    assert second[0]["id"] == first[1]["id"]
    assert second[0]["kinds"] == ["endpoint.disabled"]
    assert await api.get(path) == {"contacts": second}
    assert await api.put(path, {"contacts": []}) == {"contacts": []}


async def test_one_contact_is_added_changed_and_removed(api: Api) -> None:
    path = f"/app/{await api.application()}/contact"
    first = await api.post(path, {"email": "a@example.com"}, status=200)
    assert (first["status"], first["kinds"]) == ("pending", list(ALL_KINDS))
    second = await api.post(path, {"email": "b@example.com"}, status=200)
    changed = await api.post(path, {"email": "A@example.com", "kinds": ["quota.hard"]}, status=200)
    assert (changed["id"], changed["email"], changed["kinds"]) == (
        first["id"], "a@example.com", ["quota.hard"]
    )  # fmt: skip
    assert [one["id"] for one in (await api.get(path))["contacts"]] == [first["id"], second["id"]]
    await api.delete(f"{path}/{first['id']}")
    assert await api.get(path) == {"contacts": [second]}
    await api.delete(f"{path}/{first['id']}", status=404)
    await api.delete(f"{path}/contact_wrong", status=404)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"email": "dev"}, ["body", "email"]),
        ({"email": "a@example.com", "kinds": []}, ["body", "kinds"]),
    ],
)
async def test_what_is_wrong_with_a_contact_that_is_added_is_named(
    api: Api, body: object, place: list[str]
) -> None:
    path = f"/app/{await api.application()}/contact"
    answer = await api.call("POST", path, body, status=422)
    assert answer["detail"][0]["loc"] == place
    for number in range(MAX_CONTACTS):
        await api.post(path, {"email": f"a{number}@example.com"}, status=200)
    answer = await api.call("POST", path, {"email": "last@example.com"}, status=422)
    assert "Must have at most 10 contacts" in answer["detail"][0]["msg"]


async def test_a_repeated_put_changes_and_mails_nothing(api: Api, backend: Backend) -> None:
    path = f"/app/{await api.application()}/contact"
    body = listed("a@example.com")
    for _ in range(5):
        await api.put(path, body)
    async with backend.services.database.connection() as connection:
        assert await connection.fetchval("select count(*) from mail") == 1
        assert await connection.fetchval("select count(*) from audit where action like 'contact.%'") == 1


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, ["body", "contacts"]),
        (listed("dev@example.com\nBcc: x@example.com"), ["body", "contacts", "[0]", "email"]),
        (listed("a@example.com", "dev"), ["body", "contacts", "[1]", "email"]),
        (listed("a@example.com", kinds=[]), ["body", "contacts", "[0]", "kinds"]),
        (listed("a@example.com", kinds=["all"]), ["body", "contacts", "[0]", "kinds", "[0]"]),
        (listed("a@example.com", "A@EXAMPLE.com"), ["body", "contacts"]),
        (listed(*(f"a{n}@example.com" for n in range(MAX_CONTACTS + 1))), ["body", "contacts"]),
    ],
)
async def test_what_is_wrong_is_named(api: Api, body: object, place: list[str]) -> None:
    app_id = await api.application()
    answer = await api.call("PUT", f"/app/{app_id}/contact", body, status=422)
    assert answer["detail"][0]["loc"] == place
    assert await api.get(f"/app/{app_id}/contact") == {"contacts": []}


async def test_others_can_neither_read_nor_set_contacts(
    api: Api, new_organization: Callable[[], Api]
) -> None:
    app_id, other = await api.application(), await api.application()
    path = f"/app/{app_id}/contact"
    (contact,) = (await api.put(path, listed("a@example.com")))["contacts"]
    ask = f"{path}/{contact['id']}/confirmation"
    one = f"{path}/{contact['id']}"
    for outsider in (new_organization(), api.as_application(other)):
        await outsider.get(path, status=404)
        await outsider.post(path, {"email": "b@example.com"}, status=404)
        await outsider.delete(one, status=404)
        await outsider.put(path, listed("b@example.com"), status=404)
        await outsider.post(ask, status=404)
    await api.post(f"/app/{other}/contact/{contact['id']}/confirmation", status=404)
    reader = api.as_application(app_id, capabilities=[Capability.VIEW])
    assert await reader.get(path) == {"contacts": [contact]}
    await reader.put(path, listed("b@example.com"), status=403)
    await reader.post(ask, status=403)
    await reader.post(path, {"email": "b@example.com"}, status=403)
    await reader.delete(one, status=403)
    await api.delete(f"/app/{other}/contact/{contact['id']}", status=404)
    assert await api.get(path) == {"contacts": [contact]}


async def test_confirmations_of_an_application_are_limited(api: Api) -> None:
    path = f"/app/{await api.application()}/contact"
    for number in range(CONFIRMATIONS_OF_APPLICATION):
        await api.put(path, listed(f"a{number}@example.com"))
    answer = await api.call("PUT", path, listed("last@example.com"), status=429)
    assert answer["code"] == "too_many_confirmations"
    # nothing of the refused request was done
    assert [one["email"] for one in (await api.get(path))["contacts"]] == ["a19@example.com"]


async def test_a_contact_that_is_confirmed_is_not_asked_again(api: Api, backend: Backend) -> None:
    path = f"/app/{await api.application()}/contact"
    (contact,) = (await api.put(path, listed("a@example.com")))["contacts"]
    ask = f"{path}/{contact['id']}/confirmation"
    assert (await api.post(ask, status=200))["status"] == "pending"
    async with backend.services.database.connection() as connection:
        await connection.execute("update contact set status = 'active'")
    assert (await api.post(ask, status=409))["code"] == "conflict"
    await api.post(f"{path}/contact_wrong/confirmation", status=404)


async def test_without_mail_no_contact_can_be_added(api: Api, backend: Backend) -> None:
    path = f"/app/{await api.application()}/contact"
    await api.put(path, listed("a@example.com"))
    backend.services.contact.available = False
    answer = await api.call("PUT", path, listed("b@example.com"), status=400)
    assert answer["code"] == "mail_unavailable"
    assert await api.put(path, {"contacts": []}) == {"contacts": []}
