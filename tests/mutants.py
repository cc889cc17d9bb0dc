"""Prints what `make mutants` found: for each module how many mutants the tests kill, and which survive.

A mutant that no selected test runs counts as one that survives.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Final

RESULTS: Final = Path("mutants/src")
SURVIVED, NO_TESTS = 0, {5, 33}  # exit codes of pytest, and mutmut's own for "no test runs it"


def main() -> int:
    """Print the table, then the survivors."""
    if not RESULTS.is_dir():
        print("No results. Run `make mutants` first.", file=sys.stderr)
        return 1
    total: Counter[str] = Counter()
    survivors: list[str] = []
    print("| module | mutants | killed | survived | without a test | score |\n|---|---:|---:|---:|---:|---:|")
    for path in sorted(RESULTS.rglob("*.meta")):
        codes: dict[str, int | None] = json.loads(path.read_text())["exit_code_by_key"]
        found = Counter(_result(code) for code in codes.values() if code is not None)
        if found:
            print(_row(str(path.relative_to(RESULTS / "angarium"))[: -len(".meta")], found))
            total += found
            survivors += [name for name, code in codes.items() if code == SURVIVED]
    print(_row("all", total))
    print("\n".join(["", *survivors]))
    return 0


def _result(code: int) -> str:
    if code in NO_TESTS:
        return "without"
    return "survived" if code == SURVIVED else "killed"


def _row(name: str, found: Counter[str]) -> str:
    made = found.total()
    counts = (made, found["killed"], found["survived"], found["without"])
    return f"| {name} | {' | '.join(map(str, counts))} | {found['killed'] / made:.0%} |"


if __name__ == "__main__":
    sys.exit(main())
