"""Reads the theme parameters of Svix's portal links and generates a stylesheet.

A requested colour is made lighter or darker until text in it, and text on it, is readable (WCAG 2.2, 1.4.3: a
contrast of 4.5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

MAX_QUERY: Final = 2000
_HEX: Final = re.compile(r"#?([0-9a-fA-F]{6})")
_FONT: Final = re.compile(r"[A-Za-z0-9 _-]{1,60}")
# the backgrounds in portal.css with the lowest contrast
_LIGHT_GROUNDS: Final = ((0xE8, 0xEF, 0xFC), (0xFD, 0xEB, 0xEC), (0xE3, 0xF5, 0xEC), (0xF0, 0xF2, 0xF5))
_DARK_GROUNDS: Final = ((0x1D, 0x21, 0x29), (0x15, 0x23, 0x3F), (0x10, 0x29, 0x1F), (0x2E, 0x24, 0x10))
_CONTRAST: Final = 4.6  # a little above 4.5, because of rounding

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Theme:
    """The valid parameters; invalid ones are left out."""

    light: str | None = None  # six hexadecimal digits
    dark: str | None = None
    icon: str | None = None  # the URL of an image
    font: str | None = None
    mode: str | None = None  # "light" or "dark"; None: as the browser prefers
    navigation: bool = True
    gutters: bool = True

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Theme:
        """From the parameters of a link."""
        return cls(
            light=_colour(query.get("primaryColorLight")),
            dark=_colour(query.get("primaryColorDark")),
            icon=_image(query.get("icon")),
            font=_font(query.get("fontFamily")),
            mode={"true": "dark", "false": "light"}.get(query.get("darkMode", "")),
            navigation=query.get("hideNavigation") != "true",
            gutters=query.get("noGutters") != "true",
        )

    @classmethod
    def read(cls, kept: str) -> Theme:
        """Parses the result of `written`."""
        return cls.of(dict(parse_qsl(kept[:MAX_QUERY])))

    def written(self) -> str:
        """As a query, for a cookie."""
        values = {
            "primaryColorLight": self.light,
            "primaryColorDark": self.dark,
            "icon": self.icon,
            "fontFamily": self.font,
            "darkMode": {"dark": "true", "light": "false"}.get(self.mode or ""),
            "hideNavigation": None if self.navigation else "true",
            "noGutters": None if self.gutters else "true",
        }
        return urlencode({name: value for name, value in values.items() if value})

    def stylesheet(self) -> str:
        """The rules that differ from portal.css."""
        rules = []
        if self.light or self.dark:
            light = _rgb(self.light or self.dark or "")
            dark = _rgb(self.dark or self.light or "")
            rules.append(_accent(":root", light, _LIGHT_GROUNDS))
            rules.append(
                "@media (prefers-color-scheme: dark) {"
                + _accent(":root:not([data-mode=light])", dark, _DARK_GROUNDS)
                + "}"
            )
            rules.append(_accent(":root[data-mode=dark]", dark, _DARK_GROUNDS))
        if self.font:
            rules.append(f':root {{ --font: "{self.font}", system-ui, sans-serif; }}')
        return "\n".join(rules)

    @property
    def icon_origin(self) -> str:
        """The origin of the icon, for the Content Security Policy; empty without an icon."""
        parts = urlsplit(self.icon or "")
        return f"{parts.scheme}://{parts.netloc}" if self.icon else ""


def _accent(selector: str, wanted: Colour, grounds: Sequence[Colour]) -> str:
    text = readable(wanted, grounds)
    on = (255, 255, 255) if contrast(text, (255, 255, 255)) >= contrast(text, (0, 0, 0)) else (0, 0, 0)
    return f"{selector} {{ --accent: #{_hex(text)}; --on-accent: #{_hex(on)}; }}"


def readable(wanted: Colour, grounds: Sequence[Colour]) -> Colour:
    """The colour nearest to the wanted one that is readable on all backgrounds."""
    target = 0 if contrast((0, 0, 0), grounds[0]) > contrast((255, 255, 255), grounds[0]) else 255
    for step in range(21):
        mixed = [round(part + (target - part) * step / 20) for part in wanted]
        found: Colour = (mixed[0], mixed[1], mixed[2])
        if all(contrast(found, ground) >= _CONTRAST for ground in grounds):
            return found
    return (target, target, target)


def contrast(one: Colour, other: Colour) -> float:
    """The contrast ratio of WCAG 2.2, from 1 to 21."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: Colour) -> float:
    def linear(part: int) -> float:
        value = part / 255
        return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)

    red, green, blue = map(linear, colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _rgb(text: str) -> Colour:
    return int(text[0:2], 16), int(text[2:4], 16), int(text[4:6], 16)


def _hex(colour: Colour) -> str:
    return "".join(f"{part:02x}" for part in colour)


def _colour(text: str | None) -> str | None:
    found = _HEX.fullmatch(text or "")
    return found[1].lower() if found else None


def _font(text: str | None) -> str | None:
    return text if text and _FONT.fullmatch(text) else None


def _image(text: str | None) -> str | None:
    """An https URL with a plain host, so that it cannot inject into the Content Security Policy."""
    if not text or len(text) > 500:
        return None
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    plain = re.fullmatch(r"[A-Za-z0-9.-]+(:\d{1,5})?", parts.netloc)
    return text if parts.scheme == "https" and plain else None
