"""How pages look when a link says so: every parameter checked, and everything readable."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import angarium.portal
from angarium.portal.kit.theme import Colour, Theme, contrast
from tests.kit.stand import Stand
from tests.portal.visitor import Visitor, link

CSS = (Path(angarium.portal.__file__).parent / "static/portal.css").read_text()
READABLE = 4.5  # WCAG 2.2, 1.4.3
COLOURS = st.text("0123456789abcdef", min_size=6, max_size=6)


def colour(text: str) -> Colour:
    return int(text[0:2], 16), int(text[2:4], 16), int(text[4:6], 16)


def variables(block: str) -> dict[str, Colour]:
    return {name: colour(value) for name, value in re.findall(r"--([a-z-]+): #([0-9a-f]{6});", block)}


def grounds(values: dict[str, Colour]) -> dict[str, Colour]:
    """What text may stand on."""
    return {name: v for name, v in values.items() if name.endswith("ground") or name in ("surface", "sunk")}


BLOCKS = re.findall(r"^:root[^{]*\{(.*?)\}", CSS, re.DOTALL | re.MULTILINE)
LIGHT, DARK = variables(BLOCKS[0]), variables(BLOCKS[1])


def rules(css: str) -> dict[str, tuple[Colour, Colour]]:
    """Of each selector the accent and what is written on it."""
    found = re.findall(r"(:root\S*) \{ --accent: #(\w{6}); --on-accent: #(\w{6}); \}", css)
    return {selector: (colour(accent), colour(on)) for selector, accent, on in found}


def test_our_own_colours_can_be_read() -> None:
    for values in (LIGHT, DARK):
        assert len(grounds(values)) == 7
        for name, ground in grounds(values).items():
            for text in ("accent", "text", "soft"):
                if text == "soft" and name.endswith("-ground"):
                    continue  # never there
                assert contrast(values[text], ground) >= READABLE, (text, name)
        assert contrast(values["on-accent"], values["accent"]) >= READABLE


@given(light=COLOURS, dark=COLOURS)
def test_whatever_colour_is_asked_for_text_in_it_and_on_it_can_be_read(light: str, dark: str) -> None:
    found = rules(Theme.of({"primaryColorLight": light, "primaryColorDark": dark}).stylesheet())
    assert set(found) == {":root", ":root:not([data-mode=light])", ":root[data-mode=dark]"}
    for selector, (accent, on) in found.items():
        for name, ground in grounds(LIGHT if selector == ":root" else DARK).items():
            assert contrast(accent, ground) >= READABLE, (selector, name)
        assert contrast(on, accent) >= READABLE, selector


@given(COLOURS)
def test_a_colour_that_can_be_read_stays_as_it_is(wanted: str) -> None:
    (accent, _) = rules(Theme.of({"primaryColorLight": wanted}).stylesheet())[":root"]
    if all(contrast(colour(wanted), ground) >= 4.7 for ground in grounds(LIGHT).values()):
        assert accent == colour(wanted)


def test_one_colour_serves_both_modes() -> None:
    found = rules(Theme.of({"primaryColorDark": "1481e6"}).stylesheet())
    assert len(found) == 3


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "primaryColorLight",
                "primaryColorDark",
                "icon",
                "fontFamily",
                "darkMode",
                "hideNavigation",
                "noGutters",
            ]
        ),
        st.text(max_size=60),
    )
)
def test_whatever_is_asked_for_says_no_more_than_it_should(query: dict[str, str]) -> None:
    theme = Theme.of(query)
    assert Theme.read(theme.written()) == theme
    assert ";" not in theme.written()
    css = theme.stylesheet()
    assert re.fullmatch(
        r"((:root\S* \{ --accent: #\w{6}; --on-accent: #\w{6}; \}|@media \(prefers-color-scheme: dark\) "
        r"\{:root\S* \{ --accent: #\w{6}; --on-accent: #\w{6}; \}\}"
        r'|:root \{ --font: "[A-Za-z0-9 _-]+", system-ui, sans-serif; \})\n?)*',
        css,
    ), css
    assert re.fullmatch(r"(https://[A-Za-z0-9.-]+(:\d+)?)?", theme.icon_origin)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("primaryColorLight", "red"),
        ("primaryColorLight", "12345"),
        ("primaryColorLight", "1234567"),
        ("primaryColorLight", "12345g"),
        ("primaryColorLight", "123456\n"),
        ("primaryColorLight", "123456; } body { display: none"),
        ("primaryColorDark", "url(x)"),
        ("fontFamily", 'x"; } * { display: none } "'),
        ("fontFamily", "x\\"),
        ("fontFamily", "x\n"),
        ("fontFamily", "a" * 61),
        ("fontFamily", "url(https://evil.example)"),
        ("icon", "http://shop.example/i.png"),
        ("icon", "//shop.example/i.png"),
        ("icon", "/i.png"),
        ("icon", "javascript:alert(1)"),
        ("icon", "data:image/svg+xml,<svg/>"),
        ("icon", "https://user:pass@shop.example/i.png"),
        ("icon", "https://shop.example; script-src *"),
        ("icon", "https://*.example/i.png"),
        ("icon", "https://*"),
        ("icon", "https://shop.example 'unsafe-inline'/i.png"),
        ("icon", "https://[::1]/i.png"),
        ("icon", "https://["),
        ("icon", "https:///i.png"),
        ("icon", "https://shop.example/" + "a" * 500),
        ("darkMode", "yes"),
        ("hideNavigation", "1"),
        ("noGutters", "TRUE"),
        ("somethingElse", "true"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_left_out(name: str, value: str) -> None:
    assert Theme.of({name: value}) == Theme()


async def test_a_theme_of_a_link_is_kept_in_every_page(stand: Stand, visitor: Visitor) -> None:
    asked = (
        "primaryColorLight=%231481e6&primaryColorDark=1481e6&icon=https%3A%2F%2Fshop.example%3A8443%2Fa%26b.png"
        "&fontFamily=Open%20Sans&darkMode=true&hideNavigation=false&noGutters=true"
    )
    assert (await visitor.enter(link(stand).replace("/login#", f"/login?{asked}#"))).is_success
    answer = await visitor.client.get(visitor.base)
    assert 'data-mode="dark"' in answer.text
    assert "data-no-gutters" in answer.text
    assert 'src="https://shop.example:8443/a&amp;b.png"' in answer.text
    images = next(part for part in answer.headers["content-security-policy"].split(";") if "img-src" in part)
    assert images.split() == ["img-src", "'self'", "https://shop.example:8443"]
    (sheet,) = re.findall(r'href="(/portal/theme.css[^"]*)"', answer.text)
    css = (await visitor.client.get(sheet.replace("&amp;", "&"))).text
    assert '"Open Sans"' in css
    assert "--accent" in css


async def test_navigation_and_gutters_may_be_left_out(stand: Stand, visitor: Visitor) -> None:
    assert 'aria-label="Main"' in await visitor.get()
    body = {"key": link(stand).partition("#key=")[2], "query": "?hideNavigation=true"}
    assert (await visitor.client.post("/login/session", json=body)).is_success
    page = await visitor.get()
    assert 'aria-label="Main"' not in page
    assert "data-no-gutters" not in page


async def test_another_link_without_a_theme_takes_the_theme_away(stand: Stand, visitor: Visitor) -> None:
    await visitor.enter(link(stand).replace("/login#", "/login?darkMode=true#"))
    assert "data-mode" in await visitor.get()
    await visitor.enter(link(stand))
    assert "data-mode" not in await visitor.get()


async def test_a_theme_cookie_that_somebody_wrote_is_checked_like_a_link(visitor: Visitor) -> None:
    evil = "icon=https%3A%2F%2Fa.example%3B%20script-src%20*&fontFamily=%22%7D&darkMode=%22%3E%3Cscript%3E"
    visitor.client.cookies.delete("angarium-theme")
    answer = await visitor.client.get(
        visitor.base,
        headers={
            "cookie": "; ".join(
                [*(f"{n}={v}" for n, v in visitor.client.cookies.items()), f"angarium-theme={evil}"]
            )
        },
    )
    assert answer.status_code == 200
    assert "a.example" not in answer.text + answer.headers["content-security-policy"]
    assert "data-mode" not in answer.text
