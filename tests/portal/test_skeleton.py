"""What every page has in common."""

from __future__ import annotations

import re

import pytest

from angarium.core.claims import Capability
from angarium.service.overview import Overview
from tests.kit.stand import Stand
from tests.portal.visitor import Visitor, link, visiting


async def test_a_page_loads_nothing_from_elsewhere_and_holds_no_script_or_style(visitor: Visitor) -> None:
    answer = await visitor.client.get(visitor.base)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["cache-control"] == "no-store"
    assert "style=" not in answer.text
    assert "<script>" not in answer.text


async def test_a_link_leads_where_its_next_says_and_never_out_of_the_portal(stand: Stand) -> None:
    async with visiting(stand) as visitor:
        for wanted, place in (
            ("/messages?status=failed", "/messages?status=failed"),
            ("//evil.example", ""),
            ("https://evil.example", ""),
            ("/../admin", ""),
            ("/x\\y", ""),
        ):
            url = link(stand).replace(
                "/login#", f"/login?next={wanted.replace('?', '%3F').replace('=', '%3D')}#"
            )
            answer = await visitor.enter(url)
            assert answer.json()["location"] == f"{visitor.base}{place}", wanted


async def test_pages_work_with_a_slash_at_the_end(stand: Stand, visitor: Visitor) -> None:
    """Nothing on them is relative to their own URL."""
    endpoint = await stand.endpoint("http://127.0.0.1:9/")
    for path in ("", "/endpoints", f"/endpoints/{endpoint}", "/endpoints/new", "/messages", "/event-types"):
        page = await visitor.get(f"{path}/")
        found = re.findall(r"""(?:src|href|action|formaction|hx-get|hx-post)=["']?([^"'> ]*)""", page)
        assert len(found) > 8, path
        assert [one for one in found if not one.startswith(("/", "#", "?", "https://"))] == [], path


async def test_a_form_without_the_csrf_token_of_its_session_does_nothing(stand: Stand) -> None:
    async with visiting(stand) as one, visiting(stand, capabilities=[Capability.VIEW]) as other:
        stolen = one.csrf_token
        answer = await other.client.post(f"{other.base}/logout", data={"csrf_token": stolen})
        assert answer.status_code == 403
        await other.get()
        await one.post("/logout")
        await one.get(status=401)


async def test_a_fault_of_ours_is_a_page_that_says_nothing_of_the_inside(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the inside")

    monkeypatch.setattr(Overview, "series", broken)
    page = await visitor.get("", status=500)
    assert "Something went wrong on our side" in page
    assert "the inside" not in page
    assert "<main" in page
