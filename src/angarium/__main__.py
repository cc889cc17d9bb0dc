"""Runs the command line, as `angarium` or `python -m angarium`."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run a command, or print what must be installed for it."""
    try:
        from angarium.cli.main import main as run
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        print('angarium: the command line needs: pip install "angarium[cli]"', file=sys.stderr)
        print('          (with the service: pip install "angarium[server]")', file=sys.stderr)
        sys.exit(1)
    run()


if __name__ == "__main__":
    main()
