"""Writes the page `docs/settings.md` from the declaration of the settings."""

from __future__ import annotations

from typing import Final, Literal, get_args, get_origin

from angarium.settings.declaration import PREFIX
from angarium.settings.environment import FILE, secret_names
from angarium.settings.rule import Settings

_PAGE: Final = """\
# Settings

Angarium is configured by environment variables only. They are checked at start; unknown `ANGARIUM_*`
variables are refused, unless `ANGARIUM_IGNORE_UNKNOWN` is set. `angarium settings` shows the current values.
This page is the output of `angarium settings --markdown`.
"""


def markdown() -> str:
    """The page `docs/settings.md`."""
    lines = [_PAGE, "| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = str(field.default).lower() if isinstance(field.default, bool) else field.default
        shown = "" if default is None else f"`{default}`" if default != "" else "empty"
        file = (
            f" Can also be read from the file named by `{PREFIX}{name.upper()}{FILE}`."
            if name in secret_names()
            else ""
        )
        choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        one_of = " One of " + ", ".join(f"`{choice}`" for choice in choices) + "." if choices else ""
        lines.append(f"| `{PREFIX}{name.upper()}` | {shown} | {field.description}{one_of}{file} |")
    return "\n".join(lines) + "\n"
