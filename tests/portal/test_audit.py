"""Activity: a customer sees what was done in their application, by whom, and nothing that is not theirs."""

from __future__ import annotations

from tests.kit.stand import ORG, Stand
from tests.portal.visitor import Visitor


async def test_a_customer_sees_what_was_changed_and_by_whom(visitor: Visitor, stand: Stand) -> None:
    endpoint = await stand.endpoint(
        "http://user:hush@127.0.0.1:9/hook?key=tender", headers={"X-A": "silence"}
    )
    await stand.native("PATCH", f"/endpoint/{endpoint}", {"description": "Mine"})
    await visitor.post(f"/endpoints/{endpoint}/disable", {"confirmed": "yes"})
    page = await visitor.get("/audit")
    assert "Endpoint added" in page
    assert "Endpoint changed" in page
    assert "Endpoint disabled" in page
    assert 'data-label="Who">Portal link ' in page
    assert "from 127.0.0.1" in page
    assert "X-A" in page
    for hidden in ("hush", "tender", "silence", ORG):
        assert hidden not in page


async def test_what_the_operator_keeps_to_itself_is_not_shown(visitor: Visitor, stand: Stand) -> None:
    await stand.native("PATCH", "", {"metadata": {"plan": "secret-plan"}})
    page = await visitor.get("/audit")
    assert "Application changed" in page
    assert "secret-plan" not in page
    assert "Organization token" not in page


async def test_another_applications_deeds_are_not_there(visitor: Visitor, stand: Stand) -> None:
    other = (await stand.native("POST", "//app", {"name": "Other"}))["id"]
    await stand.native("POST", f"//app/{other}/endpoint", {"url": "http://127.0.0.1:9/theirs"})
    assert "theirs" not in await visitor.get("/audit")


async def test_it_is_filtered_and_paged(visitor: Visitor, stand: Stand) -> None:
    endpoint = await stand.endpoint("http://127.0.0.1:9/hook")
    for number in range(60):
        await stand.clock.advance_to(stand.clock.now() + 0.01)
        await stand.native("PATCH", f"/endpoint/{endpoint}", {"description": f"Number {number:03}"})
    first = await visitor.get("/audit", what="endpoint")
    assert "Number 059" in first
    assert "Session started" not in first
    older = first.partition('rel="next"')[0].rpartition('href="')[2].partition('"')[0].replace("&amp;", "&")
    second = await visitor.get(older)
    assert "Number 000" in second
    assert "Number 059" not in second
    newer = second.partition('rel="prev"')[0].rpartition('href="')[2].partition('"')[0].replace("&amp;", "&")
    assert "Number 059" in await visitor.get(newer)
    assert "No activity yet" in await visitor.get("/audit", what="api_key")
    await visitor.get("/audit", what="nonsense", before="x", after="%00")
