"""Reads the files of migrations: their numbers, their marks, and their statements.

The first lines of a file may have marks, each a comment of its own:

    -- contract: 0.3.0    releases before 0.3.0 do not run on the schema that this file leaves
    -- concurrently       the statements run one at a time, outside a transaction

A file that is marked `concurrently` is repeated from its beginning when it was interrupted. So each of its
statements must be one that does nothing the second time, as in `_REPEATABLE`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MIGRATIONS: Final = Path(__file__).parent / "migrations"
CONTROL_FILE: Final = "control"
SECTION_FILE: Final = "section"
_MARK: Final = re.compile(r"-- (contract|concurrently)(?:: *(\S+))?\s*")
_PIECE: Final = re.compile(
    r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"[^\"]*\"|(\$\w*\$).*?\1|;|[^-/'\"$;]+|.", re.DOTALL
)
_REPEATABLE: Final = re.compile(
    r"create (?:unique )?index concurrently if not exists (?P<index>\w+) on "
    r"|drop index concurrently if exists "
    r"|alter table \S+ validate constraint "
    r"|analyze ",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Migration:
    """The files of one number by kind, `control` and `section`.

    `contract`: the oldest release that runs on the schema afterwards, if that changes. `concurrently`: its
    statements run one at a time, outside a transaction.
    """

    number: str
    texts: dict[str, str]
    contract: str | None
    concurrently: bool


def load(folder: Path) -> list[Migration]:
    """All migrations of a folder, in order. Raises ValueError for a file that cannot be run."""
    files: dict[str, dict[str, str]] = {}
    for file in sorted(folder.glob("[0-9]*.sql")):
        number, _, kind = file.stem.partition("_")
        if kind not in (CONTROL_FILE, SECTION_FILE):
            raise ValueError(f"{file.name}: the name must end with _control.sql or _section.sql")
        files.setdefault(number, {})[kind] = file.read_text()
    return [_migration(number, texts) for number, texts in sorted(files.items())]


def statements(text: str) -> Iterator[str]:
    """The statements of a text, without comments outside of them."""
    held: list[str] = []
    for found in _PIECE.finditer(text):
        piece = found[0]
        if piece == ";":
            yield "".join(held).strip()
            held.clear()
        elif not piece.startswith(("--", "/*")):
            held.append(piece)
    if rest := "".join(held).strip():
        yield rest


def index_of(statement: str) -> str | None:
    """The name of the index that a repeatable statement creates, if it creates one."""
    found = _REPEATABLE.match(" ".join(statement.split()))
    return None if found is None else found["index"]


def _migration(number: str, texts: dict[str, str]) -> Migration:
    marks = {kind: dict(_marks(text)) for kind, text in texts.items()}
    concurrent = {"concurrently" in found for found in marks.values()}
    if len(concurrent) > 1:
        raise ValueError(f"migration {number}: mark both files `-- concurrently`, or none")
    contracts = {found["contract"] for found in marks.values() if "contract" in found}
    if len(contracts) > 1:
        raise ValueError(f"migration {number}: both files must name the same release in `-- contract`")
    if concurrent == {True}:
        for text in texts.values():
            for statement in statements(text):
                if not _REPEATABLE.match(" ".join(statement.split())):
                    raise ValueError(
                        f"migration {number}: {statement.splitlines()[0]!r} cannot be repeated; statements "
                        "of a file marked `-- concurrently` are create index concurrently if not exists, "
                        "drop index concurrently if exists, alter table … validate constraint, and analyze"
                    )
    return Migration(number, texts, next(iter(contracts), None), concurrent == {True})


def _marks(text: str) -> Iterator[tuple[str, str | None]]:
    for line in text.splitlines():
        if not line.startswith("--"):
            return
        if found := _MARK.fullmatch(line):
            yield found[1], found[2]
