"""The page of the command line has every command, only options that there are, and the exit codes.

So do all other pages and texts that name a command.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from angarium.cli.error import Exit
from angarium.cli.main import Tree
from tests.kit.commands import commands, options, parsed

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "cli.md"
EXAMPLES = re.findall(r"^\$ angarium ([^-].*)$", PAGE.read_text(), re.MULTILINE)
KNOWN = commands()
NAMED = re.compile(r"`(?:\$ )?angarium ([a-z][^`\n]*)`")
OLD = re.compile(r"\bangarium (" + "|".join(f"{re.escape(old)}(?![\\w-])" for old in Tree.moved) + ")")
# they tell what was, or are about old names
HISTORY = (
    "CHANGELOG.md",
    "tests/cli/test_tree.py",
    "tests/cli/test_docs.py",
    "docs/cli.md",
    "src/angarium/cli/main.py",
)


def test_every_command_has_an_example_that_can_be_run() -> None:
    shown = {parsed(shlex.split(example.partition(" < ")[0], comments=True)) for example in EXAMPLES}
    assert shown == set(KNOWN)


def test_options_that_the_page_names_belong_to_some_command() -> None:
    known = {option for command in KNOWN.values() for option in options(command)}
    named = set(re.findall(r"`(--[a-z-]+)", PAGE.read_text()))
    assert named - {"--help", "--version", "--install-completion", "--show-completion"} <= known


def test_the_exit_codes_of_the_page_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    assert rows == [(str(code.value), code.meaning) for code in Exit]


def test_the_page_says_what_old_names_are_called_now() -> None:
    rows = re.findall(r"^\| `angarium (.*)` \| `angarium (.*)` \|$", PAGE.read_text(), re.MULTILINE)
    assert dict(rows) == Tree.moved


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\n") if name and (REPOSITORY / name).is_file()]


def test_every_command_that_a_text_names_exists() -> None:
    wrong = []
    for name in tracked():
        if name.startswith(HISTORY) or not name.endswith((".md", ".py", ".toml", ".html", ".txt", ".yml")):
            continue
        for said in NAMED.findall((REPOSITORY / name).read_text("utf-8")):
            words = said.split()
            nouns = {*KNOWN, *(name for name in Tree.places if len(words) == 1)}
            if not {words[0], " ".join(words[:2])} & nouns:
                wrong.append(f"{name}: angarium {said}")
    assert wrong == []


def test_no_text_has_an_old_name() -> None:
    wrong = []
    for name in tracked():
        if name.startswith(HISTORY) or name.endswith((".png", ".ico", ".lock")):
            continue
        text = (REPOSITORY / name).read_text("utf-8", "replace")
        for found in OLD.finditer(text):
            if found[1] == "token" and re.match(r"`| (create|list|revoke)\b", text[found.end() :]):
                continue  # the noun
            wrong.append(f"{name}: {found[0]}")
    assert wrong == []


@pytest.mark.parametrize("module", ["cli/dev.py", "cli/profile.py", "cli/credential.py"])
def test_no_command_names_a_product(module: str) -> None:
    text = (REPOSITORY / "src" / "angarium" / module).read_text().lower()
    assert not re.search("bluum|bluma|bloom", text)


def test_every_check_of_the_doctor_is_on_the_page() -> None:
    source = REPOSITORY / "src" / "angarium"
    text = "".join(
        (source / name).read_text()
        for name in ("receiver/checkup.py", "receiver/finding.py", "cli/doctor.py")
    )
    made = set(re.findall(r'(?:Finding|must_refuse)\(\s*"(\w+)"', text))
    rows = re.findall(r"^\| (`.*?) \|", PAGE.read_text(), re.MULTILINE)
    assert made == {name for row in rows for name in re.findall(r"`(\w+)`", row)}
