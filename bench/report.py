"""Writes the tables of a run into docs/performance.md and docs/planning.md.

    python -m bench.report .bench.md

They replace the text between the two marks of those pages.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.table import Table

BEGIN: Final = "<!-- bench: made by python -m bench.report; do not edit -->"
END: Final = "<!-- /bench -->"
PLANS: Final = "<!-- plans -->"
DOCS: Final = Path(__file__).parent.parent / "docs"


def text(machine: str, results: Sequence[Table], plans: Sequence[Table]) -> str:
    """What a run writes: both parts, the machine on top of each."""
    parts = ("\n".join([machine, *(table.markdown() for table in tables)]) for tables in (results, plans))
    return f"\n{PLANS}\n\n".join(parts)


def pasted(page: str, tables: str) -> str:
    """The page with these tables. Raises ValueError when it has no marks, or not in that order."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{tables.strip()}\n\n{END}{after}"


def main(written: Path, docs: Path = DOCS) -> None:
    results, _, plans = written.read_text().partition(PLANS)
    for name, tables in (("performance.md", results), ("planning.md", plans)):
        page = docs / name
        page.write_text(pasted(page.read_text(), tables))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
