"""The Compose file: valid for Compose, with commands, settings and secrets that the program takes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from angarium import __version__
from angarium.core.keyring import Keyring
from tests.deploy import dockerfile
from tests.deploy.meaning import DEPLOY, ROOT, command_fault, load, refusal, setting_faults
from tests.deploy.secret import made

FILE: Final = DEPLOY / "compose.yaml"
COMPOSE: Final[dict[str, Any]] = load(FILE)
OURS: Final = {name: one for name, one in COMPOSE["services"].items() if "angarium" in one["image"]}
BIN: Final = Path(sys.executable).parent


def check(file: Path) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file))
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_file_is_valid_by_the_specification_of_compose(tmp_path: Path) -> None:
    done = check(FILE)
    assert done.returncode == 0, done.stdout
    broken = tmp_path / "compose.yaml"
    broken.write_text(FILE.read_text().replace("stop_grace_period", "stop_grace_time"))
    assert "stop_grace_time" in check(broken).stdout


def test_every_command_is_one_of_the_program() -> None:
    assert set(OURS) == {"migrate", "api", "dispatch"}
    assert [found for one in OURS.values() if (found := command_fault(one["command"]))] == []
    assert [one for one in OURS.values() if "entrypoint" in one] == []


def test_every_setting_is_one_of_the_program() -> None:
    for one in OURS.values():
        assert setting_faults(one["environment"]) == []
        assert refusal(one["environment"]) is None


def test_every_secret_is_a_file_that_the_script_creates_and_the_service_gets(tmp_path: Path) -> None:
    secrets = made(tmp_path)
    for name, one in COMPOSE["secrets"].items():
        assert one["file"] == f"secrets/{name}"
        assert (secrets / name).exists()
    for one in OURS.values():
        files = {value for name, value in one["environment"].items() if name.endswith("_FILE")}
        assert files == {f"/run/secrets/{name}" for name in one["secrets"]}
    postgres = COMPOSE["services"]["postgres"]
    assert postgres["environment"]["POSTGRES_PASSWORD_FILE"] == f"/run/secrets/{postgres['secrets'][0]}"


def test_the_service_starts_after_the_schema_is_migrated_and_that_after_the_database_answers() -> None:
    services = COMPOSE["services"]
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in ("api", "dispatch"):
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert services["postgres"]["healthcheck"]["test"][1] == "pg_isready"


def test_a_container_writes_nothing_but_temporary_files_and_has_no_privileges() -> None:
    for one in OURS.values():
        assert one["read_only"] is True
        assert one["cap_drop"] == ["ALL"]
        assert one["security_opt"] == ["no-new-privileges:true"]
        assert [mount.partition(":")[0] for mount in one["tmpfs"]] == ["/tmp"]


def test_what_is_published_is_a_port_of_the_image_on_this_host_alone() -> None:
    image = dockerfile.parse((DEPLOY / "Dockerfile").read_text())[-1]
    (port,) = OURS["api"]["ports"]
    host, _, inside = port.rpartition(":")
    assert host.startswith("127.0.0.1:")
    assert image.environment()["ANGARIUM_LISTEN"].endswith(f":{inside}")
    published = {name: one["ports"] for name, one in COMPOSE["services"].items() if "ports" in one}
    assert [name for name in published if "profiles" not in COMPOSE["services"][name]] == ["api"]
    assert [ports for ports in published.values() if not ports[0].startswith("127.0.0.1:")] == []


def test_the_image_is_built_from_this_source_with_its_version() -> None:
    for one in OURS.values():
        assert one["image"] == f"${{ANGARIUM_IMAGE:-angarium:{__version__}}}"
        assert (FILE.parent / one["build"]["context"]).resolve() == ROOT
        assert (ROOT / one["build"]["dockerfile"]).exists()


def test_the_script_creates_secrets_that_the_settings_accept(tmp_path: Path) -> None:
    text = {path.name: path.read_text() for path in made(tmp_path, "db.example.com").iterdir()}
    compose = {path.name for path in made(tmp_path / "compose").iterdir()}
    assert set(text) == {"database_password", "database_url", "jwt_secret", "secret_key"}
    assert compose - set(text) == {"grafana_password"}
    settings = {f"ANGARIUM_{name.upper()}": value for name, value in text.items()}
    del settings["ANGARIUM_DATABASE_PASSWORD"]
    assert refusal(settings) is None
    Keyring.parse(text["secret_key"])
    url = urlsplit(text["database_url"])
    assert (url.username, url.password) == ("angarium", text["database_password"])
    assert url.hostname == "db.example.com"
    assert len(url.password or "") >= 32
    other = made(tmp_path / "other")
    assert [name for name in text if (other / name).read_text() == text[name]] == []


def test_the_script_keeps_what_exists(tmp_path: Path) -> None:
    place = made(tmp_path)
    before = {path.name: path.read_text() for path in place.iterdir()}
    (place / "jwt_secret").unlink()
    made(tmp_path)
    after = {path.name: path.read_text() for path in place.iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"jwt_secret"}


def test_no_other_user_of_the_host_reaches_a_secret_and_the_one_in_the_container_reads_it(
    tmp_path: Path,
) -> None:
    place = made(tmp_path)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in place.iterdir()} == {0o644}


@pytest.mark.parametrize("script", sorted(DEPLOY.rglob("*.sh")), ids=lambda path: path.name)
def test_shellcheck_finds_no_fault(script: Path) -> None:
    done = subprocess.run((BIN / "shellcheck", script), capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert os.access(script, os.X_OK)
