"""Puts the tables of a run into docs/performance.md: `python -m bench.report .bench.md`.

They replace what is between the two marks of that page.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

BEGIN: Final = "<!-- bench: made by python -m bench.report; do not edit -->"
END: Final = "<!-- /bench -->"
PAGE: Final = Path(__file__).parent.parent / "docs/performance.md"


def pasted(page: str, tables: str) -> str:
    """The page with these tables. Raises ValueError when it has no marks, or not in that order."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{tables.strip()}\n\n{END}{after}"


def main(tables: Path, page: Path = PAGE) -> None:
    page.write_text(pasted(page.read_text(), tables.read_text()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
