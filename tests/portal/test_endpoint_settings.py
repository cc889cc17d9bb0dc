"""Changing and deleting an endpoint."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kit.stand import ORG, Stand
from tests.portal.visitor import Visitor

URL = "http://127.0.0.1:9/hook"


async def test_settings_are_shown_as_they_are_and_saved_as_they_were_entered(
    stand: Stand, visitor: Visitor
) -> None:
    for name in ("order.filled", "order.paid"):
        await stand.native("POST", "//event-type", {"name": name, "description": "About it."})
    endpoint = await stand.endpoint(
        URL, description="Before", rateLimit=7, channels=["eu"], eventTypes=["order.filled", "other.*"]
    )
    page = await visitor.get(f"/endpoints/{endpoint}/settings")
    for text in ('value="Before"', 'value="7"', 'value="eu"', 'value="order.filled" checked', ">other.*<"):
        assert text in page
    page = await visitor.follow(
        f"/endpoints/{endpoint}/settings",
        {
            "url": URL + "/2",
            "description": "After",
            "every": "some",
            "types": "order.paid",
            "more": "other.*",
        },
    )
    assert "Saved." in page
    found = await stand.native("GET", f"/endpoint/{endpoint}")
    assert found["url"] == URL + "/2"
    assert found["description"] == "After"
    assert found["filterTypes"] == ["order.paid", "other.*"]
    assert found["rateLimit"] is None
    assert found["channels"] is None


async def test_what_the_form_does_not_show_stays(stand: Stand, visitor: Visitor) -> None:
    endpoint = await stand.endpoint(URL, uid="mine", metadata={"a": "b"}, version=3)
    await visitor.post(f"/endpoints/{endpoint}/settings", {"url": URL, "every": "all"})
    found = await stand.native("GET", f"/endpoint/{endpoint}")
    assert (found["uid"], found["metadata"], found["version"]) == ("mine", {"a": "b"}, 3)


async def test_an_event_type_that_the_link_hides_stays_chosen(stand: Stand, visitor: Visitor) -> None:
    for name, flags in (("order.filled", None), ("beta.thing", ["beta"])):
        body = {"name": name, "description": "About it.", "featureFlags": flags}
        await stand.native("POST", "//event-type", body)
    endpoint = await stand.endpoint(URL, eventTypes=["order.filled", "beta.thing"])
    assert "beta.thing" not in await visitor.get(f"/endpoints/{endpoint}/settings")
    form = {"url": URL, "every": "some", "types": "order.filled", "description": "x"}
    await visitor.post(f"/endpoints/{endpoint}/settings", form)
    found = await stand.native("GET", f"/endpoint/{endpoint}")
    assert sorted(found["filterTypes"]) == ["beta.thing", "order.filled"]


async def test_a_credential_among_the_headers_is_never_shown_and_kept_unless_replaced(
    stand: Stand, visitor: Visitor
) -> None:
    endpoint = await stand.endpoint(URL, headers={"Authorization": "Bearer hunter2", "X-Team": "books"})
    page = await visitor.get(f"/endpoints/{endpoint}/settings")
    assert "hunter2" not in page
    assert 'value="books"' in page
    form = {
        "url": URL, "every": "all", "header-name-0": "Authorization", "header-value-0": "",
        "header-name-1": "X-Team", "header-value-1": "sales",
    }  # fmt: skip
    await visitor.post(f"/endpoints/{endpoint}/settings", form)
    assert await headers(stand) == {"Authorization": "Bearer hunter2", "X-Team": "sales"}
    form |= {"header-value-0": "Bearer new", "header-name-1": "", "header-value-1": ""}
    await visitor.post(f"/endpoints/{endpoint}/settings", form)
    assert await headers(stand) == {"Authorization": "Bearer new"}


async def test_a_credential_is_entered_again_for_another_host(stand: Stand, visitor: Visitor) -> None:
    endpoint = await stand.endpoint(URL, headers={"Authorization": "Bearer hunter2"})
    page = f"/endpoints/{endpoint}/settings"
    form = {
        "url": "http://localhost:9/hook", "every": "all",
        "header-name-0": "Authorization", "header-value-0": "",
    }  # fmt: skip
    answer = await visitor.post(page, form, status=422)
    assert "Authorization: The host of the URL changed. Enter the value again" in answer.text
    assert await headers(stand) == {"Authorization": "Bearer hunter2"}
    await visitor.post(page, form | {"header-value-0": "Bearer new"})
    assert await headers(stand) == {"Authorization": "Bearer new"}
    await visitor.post(page, {"url": URL, "every": "all"})
    assert await headers(stand) == {}


async def headers(stand: Stand) -> Any:
    application = await stand.services.application.find(ORG, stand.app_id)
    (endpoint,) = await stand.services.endpoint.page(application.id, None, ascending=True, limit=2)
    return endpoint.headers


FAULTS: list[tuple[dict[str, str], str]] = [
    ({"url": "http://10.0.0.1/"}, "is not public"),
    ({"url": "nonsense"}, "must start with"),
    ({"rate": "many"}, "Enter a whole number"),
    ({"header-name-0": "X-Team\u00e9", "header-value-0": "x"}, "not a valid header name"),
]


async def test_a_wrong_setting_is_said_at_its_field_and_nothing_is_saved(
    stand: Stand, visitor: Visitor
) -> None:
    endpoint = await stand.endpoint(URL, description="Before")
    for change, words in FAULTS:
        form = {"url": URL, "every": "all", "description": "After", **change}
        page = (await visitor.post(f"/endpoints/{endpoint}/settings", form, status=422)).text
        assert words in page
        assert 'value="After"' in page
    assert (await stand.native("GET", f"/endpoint/{endpoint}"))["description"] == "Before"


async def test_an_endpoint_is_deleted_only_when_its_host_was_typed(stand: Stand, visitor: Visitor) -> None:
    endpoint = await stand.endpoint("http://me:hunter2@127.0.0.1:9/hook")
    answer = await visitor.post(f"/endpoints/{endpoint}/delete", {"host": "example.com"}, status=422)
    assert "Type 127.0.0.1 to delete the endpoint" in answer.text
    await stand.native("GET", f"/endpoint/{endpoint}")
    page = await visitor.follow(f"/endpoints/{endpoint}/delete", {"host": " 127.0.0.1 "})
    assert "The endpoint was deleted" in page
    await visitor.get(f"/endpoints/{endpoint}", status=404)
    assert not (await stand.native("GET", "/endpoint"))["data"]


@pytest.mark.parametrize("stand", ["bluum"], indirect=True)
async def test_a_product_whose_endpoints_have_names_lets_them_be_named(
    stand: Stand, visitor: Visitor
) -> None:
    form = {"url": URL, "every": "all", "name": "Books"}
    await visitor.post("/endpoints", form, status=200)
    page = await visitor.get("/endpoints")
    assert "Books" in page
    ref = page.split("/endpoints/wh_")[1][:27]
    await visitor.post(f"/endpoints/wh_{ref}/settings", form | {"name": "Sales"})
    assert "Sales" in await visitor.get("/endpoints")
