"""Angarium as another release: the same code with another version and other migrations.

    python -m tests.kit.release 0.2.0 FOLDER serve …

The folder takes the place of `store/migrations`. Until there are two releases to be had, this is the next
one, as the harness of upgrades needs it (tests/faults/test_upgrade.py). One process only: those of
`--processes N` would import the code again.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import angarium
from angarium.store import migrate
from angarium.store.migration import MIGRATIONS


def program(version: str, folder: Path) -> tuple[str, ...]:
    """The command line of that release."""
    return (sys.executable, "-m", "tests.kit.release", version, str(folder))


def with_more(folder: Path, more: Mapping[str, str]) -> Path:
    """A folder of the migrations that there are, and more, by file name."""
    shutil.copytree(MIGRATIONS, folder)
    for name, text in more.items():
        (folder / name).write_text(text)
    return folder


if __name__ == "__main__":
    angarium.__version__ = sys.argv[1]
    vars(migrate)["MIGRATIONS"] = Path(sys.argv[2])
    sys.argv[1:] = sys.argv[3:]
    from angarium.cli.main import main

    main()
