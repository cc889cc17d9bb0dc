"""Writes configuration as YAML. `text.read` reads the same values from it."""

from __future__ import annotations

from typing import Any

import yaml

from angarium.cli.configuration.text import plain


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # PyYAML has no types
    """Quotes text that `text.plain` would not read as text, and writes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)


def _text(dumper: Any, value: str) -> Any:
    try:
        quoted = not isinstance(plain(value), str) or not value.replace("\n", "").isprintable()
    except ValueError:
        quoted = True
    style = '"' if quoted else "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


def _number(dumper: Any, value: float) -> Any:
    text = repr(value)
    if "." not in text:
        text = text.replace("e", ".0e", 1)  # without a point it would not be a number in YAML 1.1
    return dumper.represent_scalar("tag:yaml.org,2002:float", text)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(float, _number)


def written(value: Any) -> str:
    """The YAML of a value of JSON."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text
