"""Reads the code blocks of the documents, and the commands with their output in those that show a terminal.

A block that cannot be run has a comment on the line before it, which pages do not show:
`<!-- not run: the reason -->`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted(
    [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs/products").glob("*.md")]
)
TYPED: Final = ("console", "sh")
"""The kinds of blocks with commands."""
_FENCE: Final = re.compile(r"^( *)```(.*)$")
_NOT_RUN: Final = re.compile(r"^ *<!-- not run: (.+) -->$")
_PROMPT: Final = re.compile(r"^[$#] ")
_ANGARIUM: Final = re.compile(r"(?:^|[(;&|] *|\n|/bin/)angarium ((?:'[^']*'|\"[^\"]*\"|[^'\"|&;<>()#])*)")


@dataclass(frozen=True, slots=True)
class Step:
    """A command, and the lines that the page shows below it."""

    command: str
    shown: tuple[str, ...]

    def calls(self) -> list[str]:
        """The arguments of each call of `angarium` in the command."""
        return [found.strip() for found in _ANGARIUM.findall(self.command)]


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; `line` is that of its first fence."""

    page: str
    line: int
    kind: str
    text: str
    not_run: str | None

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    def steps(self) -> list[Step]:
        """The commands of a terminal. A block without prompts is one command."""
        if self.kind != "console":
            return [Step(self.text.rstrip("\n"), ())]
        found: list[Step] = []
        for line in self.text.splitlines():
            if found and found[-1].command.endswith("\\"):
                found[-1] = Step(f"{found[-1].command}\n{line}", ())
            elif _PROMPT.match(line):
                found.append(Step(line[2:], ()))
            else:
                found[-1] = Step(found[-1].command, (*found[-1].shown, line))
        return found


def blocks(path: Path) -> Iterator[Block]:
    """The blocks of a page, in order. Raises if one does not end."""
    page = str(path.relative_to(ROOT))
    lines = path.read_text().splitlines()
    number = 0
    while number < len(lines):
        opened = _FENCE.match(lines[number])
        if opened is None:
            number += 1
            continue
        indent, kind = opened.groups()
        end = lines.index(f"{indent}```", number + 1)
        text = "".join(f"{line.removeprefix(indent)}\n" for line in lines[number + 1 : end])
        note = _NOT_RUN.match(lines[number - 1]) if number else None
        yield Block(page, number + 1, kind, text, note[1] if note else None)
        number = end + 1


def indented(path: Path) -> list[int]:
    """The lines at which a block begins that is indented instead of fenced, so that it has no kind."""
    text = re.sub(r"^( *)```.*?^\1```$", lambda found: "\n" * found[0].count("\n"), path.read_text(),
                  flags=re.DOTALL | re.MULTILINE)  # fmt: skip
    found, before, listed = [], "", False
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith(" "):
            listed = re.match(r"([-*]|\d+\.) ", line) is not None
        if line.startswith("    ") and not before.strip() and not listed:
            found.append(number)
        before = line
    return found


ALL: Final = [block for page in PAGES for block in blocks(page)]


def of(*kinds: str, page: str | None = None) -> list[Block]:
    """The blocks of these kinds, of one page or of all."""
    return [one for one in ALL if one.kind in kinds and page in (None, one.page)]
