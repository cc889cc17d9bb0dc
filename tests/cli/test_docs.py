"""The page of the command line has every command, and only options that there are."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from angarium.cli.main import app

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
EXAMPLES = re.findall(r"^\$ angarium ([^-].*)$", PAGE.read_text(), re.MULTILINE)


def commands(group: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    inner = getattr(group, "commands", None)
    if inner is None:
        yield name.strip(), group
        return
    for one, command in inner.items():
        yield from commands(command, f"{name} {one}")


KNOWN = dict(commands(typer.main.get_command(app)))


def test_every_command_has_an_example_with_options_that_it_has() -> None:
    shown = set()
    for example in EXAMPLES:
        words = shlex.split(example, comments=True)
        name = next(one for one in (" ".join(words[:2]), words[0]) if one in KNOWN)
        shown.add(name)
        options = {option for one in KNOWN[name].params for option in (*one.opts, *one.secondary_opts)}
        given = {word for word in words if word.startswith("--")}
        assert given <= options, example
    assert shown == set(KNOWN)


def test_options_that_the_page_names_belong_to_some_command() -> None:
    options = {option for command in KNOWN.values() for one in command.params for option in one.opts}
    options |= {
        option for command in KNOWN.values() for one in command.params for option in one.secondary_opts
    }
    named = set(re.findall(r"`(--[a-z-]+)", PAGE.read_text()))
    assert named - {"--help"} <= options


def test_every_check_of_the_doctor_is_on_the_page() -> None:
    source = Path(__file__).parents[2] / "src" / "angarium"
    text = "".join(
        (source / name).read_text() for name in ("receiver/checkup.py", "receiver/finding.py", "cli/reach.py")
    )
    made = set(re.findall(r'(?:Finding|must_refuse)\(\s*"(\w+)"', text))
    rows = re.findall(r"^\| (`.*?) \|", PAGE.read_text(), re.MULTILINE)
    assert made == {name for row in rows for name in re.findall(r"`(\w+)`", row)}
