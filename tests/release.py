"""Checks the files of a release, and that the commit may be one. See docs/releasing.md.

python -m tests.release files DIRECTORY     wheel, source, bill of materials are complete; writes SHA256SUMS
python -m tests.release commit              nothing is uncommitted, the tag and the changelog name the version
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path
from typing import Final

from angarium import __version__

ROOT: Final = Path(__file__).parents[1]
LOCK: Final = ROOT / "requirements" / "server.lock"
NAME: Final = f"angarium-{__version__}"
WHEEL: Final = f"{NAME}-py3-none-any.whl"
SOURCE: Final = f"{NAME}.tar.gz"
MATERIALS: Final = f"{NAME}.cdx.json"


def pinned(lock: Path) -> set[tuple[str, str]]:
    """Names and versions of a lock."""
    return set(re.findall(r"^([\w.-]+)==([^\s;]+)", lock.read_text(), re.MULTILINE))


def wheel_faults(wheel: Path) -> list[str]:
    """What is wrong with the wheel: it holds the package as it is here, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = HeaderParser().parsestr(archive.read(f"{NAME}.dist-info/METADATA").decode())
        there = {name for name in archive.namelist() if not name.startswith(f"{NAME}.dist-info/")}
        licensed = f"{NAME}.dist-info/licenses/LICENSE" in archive.namelist()
    package = ROOT / "src" / "angarium"
    files = (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    wanted = {str(path.relative_to(package.parent)) for path in files}
    faults = [f"the wheel lacks {name}" for name in sorted(wanted - there)]
    faults += [f"the wheel holds {name}" for name in sorted(there - wanted)]
    if metadata["Version"] != __version__:
        faults.append(f"pyproject.toml says {metadata['Version']}, angarium.__version__ {__version__}")
    return faults if licensed else [*faults, "the wheel lacks the license"]


def source_faults(source: Path) -> list[str]:
    """What is wrong with the source distribution: one can build and test from it."""
    with tarfile.open(source) as archive:
        there = set(archive.getnames())
    wanted = (
        "LICENSE",
        "Makefile",
        "docs/llms.txt",
        "pyproject.toml",
        "requirements/dev.lock",
        "tests/conftest.py",
    )
    return [f"the source lacks {name}" for name in wanted if f"{NAME}/{name}" not in there]


def material_faults(materials: Path, lock: Path = LOCK) -> list[str]:
    """What is wrong with the bill of materials: it describes this version, and lists what the lock pins."""
    bill = json.loads(materials.read_text())
    subject = bill["metadata"]["component"]
    listed = {(one["name"], one["version"]) for one in bill["components"]}
    faults = [f"the bill of materials lacks {' '.join(one)}" for one in sorted(pinned(lock) - listed)]
    faults += [f"the bill of materials lists {' '.join(one)}" for one in sorted(listed - pinned(lock))]
    if (subject["name"], subject["version"]) != ("angarium", __version__):
        faults.append(f"the bill of materials is of {subject['name']} {subject['version']}")
    return faults


def write_sums(directory: Path) -> None:
    """SHA256SUMS, as `sha256sum --check` reads it."""
    sums = [
        f"{hashlib.sha256((directory / name).read_bytes()).hexdigest()}  {name}\n"
        for name in sorted((WHEEL, SOURCE, MATERIALS))
    ]
    (directory / "SHA256SUMS").write_text("".join(sums))


def commit_faults(repository: Path = ROOT) -> list[str]:
    """Why the commit that is checked out is no release."""

    def git(*arguments: str) -> str:
        done = subprocess.run(("git", *arguments), cwd=repository, capture_output=True, text=True, check=True)
        return done.stdout

    faults = []
    if git("status", "--porcelain"):
        faults.append("there are changes that are not committed")
    if f"v{__version__}" not in git("tag", "--points-at", "HEAD").split():
        faults.append(f"the commit has no tag v{__version__}")
    changes = (repository / "CHANGELOG.md").read_text()
    if not re.search(rf"^## {re.escape(__version__)}: \d{{4}}-\d\d-\d\d$", changes, re.MULTILINE):
        faults.append(f"CHANGELOG.md has no heading `## {__version__}: <date>`")
    return faults


def main(what: str, *place: str) -> str | None:
    """What the process ends with: None if all is well."""
    if what == "commit":
        return "\n".join(commit_faults()) or None
    directory = Path(*place)
    faults = wheel_faults(directory / WHEEL) + source_faults(directory / SOURCE)
    if not (faults := faults + material_faults(directory / MATERIALS)):
        write_sums(directory)
    return "\n".join(faults) or None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
