"""Gives the texts of pages by id, from the catalogue of a language: `portal/text/en.toml`.

A text is HTML. It names its values as `{name}`; they are escaped. A text with a count has a form for
`one` and `other`, and may have one for `zero` and one for `more`, a count that is only a lower bound. Another
language is another file with the same ids, and a rule in PLURALS if it has other plural forms.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

LANGUAGE: Final = "en"
PLURALS: Final[Mapping[str, Callable[[int], str]]] = {}
"""The form for a count, by language."""
FORMS: Final = frozenset({"zero", "one", "two", "few", "many", "other", "more"})
_FOLDER: Final = Path(__file__).parent.parent / "text"

Text = str | dict[str, str]


def language() -> str:
    """The language of all pages. It is chosen here and nowhere else."""
    return LANGUAGE


@cache
def catalogue(name: str) -> Mapping[str, Text]:
    """The texts of a language by id."""
    return dict(_flat("", tomllib.loads((_FOLDER / f"{name}.toml").read_text("utf-8"))))


def t(name: str, /, count: int | None = None, *, exact: bool = True, **values: object) -> Markup:
    """The text with this id. `count` chooses its form and is one of its values, with grouped digits."""
    found = catalogue(language())[name]
    if count is not None:
        values["count"] = f"{count:,}"
        if isinstance(found, dict):
            found = found[_form(found, count, exact)]
    assert isinstance(found, str), f"{name} needs a count"
    return Markup(found).format(**values)  # noqa: S704 (the text is ours, and values are escaped)


def known(name: str) -> bool:
    """Whether there is a text with this id."""
    return name in catalogue(language())


def _form(forms: Mapping[str, str], count: int, exact: bool) -> str:
    if count == 0 and "zero" in forms:
        return "zero"
    if not exact and "more" in forms:
        return "more"
    return PLURALS.get(language(), _one_or_other)(count)


def _one_or_other(count: int) -> str:
    return "one" if count == 1 else "other"


def _flat(before: str, table: Mapping[str, Any]) -> list[tuple[str, Text]]:
    found: list[tuple[str, Text]] = []
    for key, value in table.items():
        if isinstance(value, str) or value.keys() <= FORMS:
            found.append((before + key, value))
        else:
            found += _flat(f"{before}{key}.", value)
    return found
