"""Secrets, as deploy/secrets.sh creates them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.deploy.meaning import DEPLOY


def made(directory: Path, host: str = "postgres") -> Path:
    """The directory with the files, in `directory`."""
    place = directory / "secrets"
    subprocess.run((DEPLOY / "secrets.sh", place, host), check=True, capture_output=True)
    return place
