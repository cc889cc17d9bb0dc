"""A profile's theme and the lifetime of its links hold for every product, whatever makes the link."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
import pytest

from angarium import profiles
from angarium.core import ids
from angarium.core.profile import Profile
from angarium.core.profile_table import Portal
from angarium.store.database import Database
from tests.kit.stand import ORG, URL, Stand, product, standing

FOURTH = str(Path(__file__).parents[1] / "dialects" / "fourth.toml")
THEMED = Portal(link_lifetime="90m", theme={"primaryColorLight": "00aa55", "darkMode": "false"})
NAMES = ["bluum", "bluma", "bloom", FOURTH]


async def link_of(stand: Stand, **wanted: object) -> dict[str, str]:
    made: dict[str, str] = await stand.native("POST", f"//auth/app-portal-access/{stand.app_id}", wanted)
    return made


def lifetime(stand: Stand, link: dict[str, str]) -> float:
    claims = stand.services.token.verify(link["token"])
    return claims.expires_at - int(claims.issued_at)


@pytest.mark.parametrize("name", NAMES)
async def test_a_link_has_the_lifetime_and_theme_of_the_profile(database: Database, name: str) -> None:
    themed: Profile = msgspec.structs.replace(profiles.load(name), portal=THEMED)
    async with standing(database, product(themed)) as stand:
        link = await link_of(stand)
        assert lifetime(stand, link) == 90 * 60
        assert lifetime(stand, await link_of(stand, expiry=3700)) == 3700
        parts = urlsplit(link["url"])
        assert {key: value for key, (value,) in parse_qs(parts.query).items()} == THEMED.theme
        transport = httpx.ASGITransport(stand.app)
        async with httpx.AsyncClient(transport=transport, base_url=URL) as browser:
            key = parts.fragment.removeprefix("key=")
            opened = await browser.post("/login/session", json={"key": key, "query": "?" + parts.query})
            page = await browser.get(opened.json()["location"], follow_redirects=True)
            assert page.status_code == 200
            assert 'data-mode="light"' in page.text


@pytest.mark.parametrize("name", NAMES)
async def test_an_operator_sees_the_portal_as_the_products_customers_do(
    database: Database, name: str
) -> None:
    themed: Profile = msgspec.structs.replace(profiles.load(name), portal=THEMED)
    async with standing(database, product(themed)) as stand:
        tokens = stand.services.token
        app_id = ids.parse(ids.APPLICATION, stand.app_id)
        assert app_id is not None
        operator = await stand.services.portal_link.operate(tokens.for_organization(ORG))
        look = await stand.services.portal_link.operator_view(operator.claims, app_id)
        transport = httpx.ASGITransport(stand.app)
        async with httpx.AsyncClient(transport=transport, base_url=URL) as browser:
            cookie = f"angarium-{stand.app_id}={look.token}"
            page = await browser.get(
                f"/portal/{stand.app_id}", headers={"cookie": cookie}, follow_redirects=True
            )
            assert page.status_code == 200
            assert 'data-mode="light"' in page.text


async def test_without_a_profile_a_link_is_good_for_seven_days(stand: Stand) -> None:
    assert lifetime(stand, await link_of(stand)) == 7 * 86400
