"""What a release holds, and when a commit is one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from angarium import __version__
from tests import release

ROOT = release.ROOT


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheel and source, as `make dist` builds them."""
    directory = tmp_path_factory.mktemp("dist")
    command = (sys.executable, "-m", "hatchling", "build", "-d", str(directory))
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return directory


def test_the_wheel_holds_the_package_and_the_source_what_builds_and_tests_it(built: Path) -> None:
    assert release.wheel_faults(built / release.WHEEL) == []
    assert release.source_faults(built / release.SOURCE) == []


def test_a_file_that_is_missing_or_too_many_is_named(built: Path, tmp_path: Path) -> None:
    lost = "angarium/store/migrations/0001_section.sql"
    spoiled = tmp_path / release.WHEEL
    with zipfile.ZipFile(built / release.WHEEL) as whole, zipfile.ZipFile(spoiled, "w") as less:
        for one in whole.infolist():
            if one.filename != lost:
                less.writestr(one, whole.read(one))
        less.writestr("angarium/secret.env", "")
    expected = [f"the wheel lacks {lost}", "the wheel holds angarium/secret.env"]
    assert release.wheel_faults(spoiled) == expected
    with tarfile.open(tmp_path / "empty.tar.gz", "w:gz"):
        pass
    assert "the source lacks tests/conftest.py" in release.source_faults(tmp_path / "empty.tar.gz")


def test_a_bill_of_materials_lists_what_the_lock_pins(tmp_path: Path) -> None:
    lock, bill = tmp_path / "some.lock", tmp_path / "bill.json"
    lock.write_text("anyio==4.1 \\\n    --hash=sha256:00\nuvloop==1.2 ; sys_platform != 'win32' \\\n")

    def faults(*components: tuple[str, str], version: str = __version__) -> list[str]:
        listed = [{"name": name, "version": number} for name, number in components]
        subject = {"name": "angarium", "version": version}
        bill.write_text(json.dumps({"metadata": {"component": subject}, "components": listed}))
        return release.material_faults(bill, lock)

    assert faults(("anyio", "4.1"), ("uvloop", "1.2")) == []
    assert faults(("anyio", "4.1"), ("uvloop", "1.3")) == [
        "the bill of materials lacks uvloop 1.2", "the bill of materials lists uvloop 1.3",
    ]  # fmt: skip
    assert faults(("anyio", "4.1"), ("uvloop", "1.2"), version="9") == [
        "the bill of materials is of angarium 9"
    ]


def test_the_lock_of_the_server_pins_what_the_tests_run_with() -> None:
    pinned = release.pinned(release.LOCK)
    assert pinned <= release.pinned(ROOT / "requirements" / "dev.lock")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = {re.split(r"[\[>]", one)[0] for extra in extras.values() for one in extra} - {"angarium"}
    assert wanted <= {name for name, _ in pinned}


def test_a_commit_is_a_release_when_it_is_clean_tagged_and_in_the_changelog(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        subprocess.run(("git", *who, *arguments), cwd=tmp_path, check=True, capture_output=True)

    changes = tmp_path / "CHANGELOG.md"
    changes.write_text("# Changelog\n\n## Unreleased\n")
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "first")
    assert release.commit_faults(tmp_path) == [
        "there are changes that are not committed",
        f"the commit has no tag v{__version__}",
        f"CHANGELOG.md has no heading `## {__version__}: <date>`",
    ]
    changes.write_text(f"# Changelog\n\n## {__version__}: 2026-01-31\n")
    git("add", ".")
    git("commit", "-q", "-m", "second")
    git("tag", f"v{__version__}")
    assert release.commit_faults(tmp_path) == []
