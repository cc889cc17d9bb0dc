"""The systemd unit: valid, hardened, with commands and settings that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.deploy.meaning import DEPLOY, command_fault, refusal, setting_faults
from tests.kit.debian import ensure

UNIT: Final = DEPLOY / "systemd" / "angarium.service"
ENVIRONMENT: Final = DEPLOY / "systemd" / "angarium.env"
PROGRAM: Final = "/opt/angarium/bin/angarium"
THRESHOLD: Final = "15"
"""Of the exposure that `systemd-analyze security` computes, in tenths; 100 is no protection at all."""


def values(key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (ensure("systemd-analyze"), *arguments), capture_output=True, text=True, check=False,
        env={"PATH": "/usr/bin:/bin", "SYSTEMD_COLORS": "0", "SYSTEMD_LOG_LEVEL": "warning"},
    )  # fmt: skip


def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    def faults(text: str) -> list[str]:
        unit = tmp_path / "angarium.service"
        unit.write_text(text.replace(PROGRAM, str(shutil.which("true"))))  # it has to exist
        done = analyze("verify", "--man=no", str(unit))
        lines = (done.stdout + done.stderr).splitlines()
        return [line for line in lines if "angarium.service" in line] + ["failed"] * (done.returncode != 0)

    assert faults(UNIT.read_text()) == []
    assert faults(UNIT.read_text().replace("ProtectClock", "ProtectClocks")) != []


def test_systemd_finds_that_the_unit_is_exposed_little() -> None:
    done = analyze("security", "--offline=true", f"--threshold={THRESHOLD}", "--no-pager", str(UNIT))
    assert done.returncode == 0, done.stdout


def test_every_command_of_the_unit_is_one_of_the_program() -> None:
    lines = [*values("ExecStartPre"), *values("ExecStart")]
    assert len(lines) == 2
    for line in lines:
        program, *arguments = line.split()
        assert program == PROGRAM
        assert command_fault(arguments) is None


def test_every_setting_of_the_unit_and_of_its_file_is_one_of_the_program() -> None:
    unit = dict(line.split("=", 1) for line in values("Environment"))
    assert setting_faults(unit) == []
    lines = ENVIRONMENT.read_text().splitlines()
    written = dict(re.findall(r"^#?(ANGARIUM_\w+)=(.*)$", "\n".join(lines), re.MULTILINE))
    assert len(written) >= 4
    assert setting_faults(written) == []
    assert refusal(written) is None
    assert not set(unit) & set(written)


def test_every_secret_is_a_credential_that_the_service_reads_as_a_file() -> None:
    credentials = dict(line.split(":", 1) for line in values("LoadCredential"))
    unit = dict(line.split("=", 1) for line in values("Environment"))
    files = {value.removeprefix("%d/") for name, value in unit.items() if name.endswith("_FILE")}
    assert files == set(credentials) == {"database_url", "jwt_secret", "secret_key"}
    assert credentials == {name: f"/etc/angarium/{name}" for name in files}
