from __future__ import annotations

import base64
import socket
from pathlib import Path

import jwt
import pytest

from angarium import __version__
from tests.kit.command import Done, run, run_apart, run_within

MIGRATIONS = Path(__file__).parents[2] / "src" / "angarium" / "store" / "migrations"
SECRET = "s" * 48
KEY = base64.b64encode(b"k" * 32).decode()
SETTINGS = {"ANGARIUM_JWT_SECRET": SECRET, "ANGARIUM_SECRET_KEY": KEY}


def refusal(*arguments: str, **variables: str) -> str:
    return refused(run(*arguments, **variables))


def refused(done: Done) -> str:
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def test_version_is_printed() -> None:
    assert run_apart("--version").stdout == f"{__version__}\n"


def test_serve_names_the_setting_when_the_port_for_operators_tools_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        words = refusal("serve", **SETTINGS, ANGARIUM_OPS_LISTEN=address)
    assert f"cannot listen at {address}: Address already in use" in words
    assert "ANGARIUM_OPS_LISTEN" in words


def test_serve_refuses_to_start_without_its_secrets() -> None:
    words = refused(run_within("serve"))
    assert "ANGARIUM_JWT_SECRET is not set" in words
    assert "ANGARIUM_SECRET_KEY is not set; create one with `angarium key create`" in words


def test_an_unknown_setting_is_refused_with_a_suggestion() -> None:
    words = refused(run_within("serve", **SETTINGS, ANGARIUM_LOGFORMAT="json"))
    assert "ANGARIUM_LOGFORMAT is not a setting; did you mean ANGARIUM_LOG_FORMAT?" in words


def test_serve_refuses_a_database_without_the_schema_and_says_what_to_run(empty_database_url: str) -> None:
    words = refusal("serve", **SETTINGS, ANGARIUM_DATABASE_URL=empty_database_url)
    assert "run `angarium migrate` first" in words


def test_migrate_brings_a_database_up_and_a_second_time_has_nothing_to_do(empty_database_url: str) -> None:
    names = sorted({one.stem.partition("_")[0] for one in MIGRATIONS.glob("*.sql")})
    assert run("migrate", ANGARIUM_DATABASE_URL=empty_database_url).stdout == f"applied {', '.join(names)}\n"
    assert run("migrate", ANGARIUM_DATABASE_URL=empty_database_url).stdout == f"already at {names[-1]}\n"


def test_a_token_for_an_organization_lasts_ten_years() -> None:
    done = run("token", "create", "--org", "org_abc", **SETTINGS)
    claims = jwt.decode(done.stdout.strip(), SECRET, algorithms=["HS256"])
    assert claims["sub"] == "org_abc"
    assert claims["exp"] - claims["iat"] == 10 * 365 * 86400


def test_a_token_for_an_application_lasts_as_long_as_asked() -> None:
    app = "app_0ERWOTe6y8k6RrPDkmof8rVuPlg"
    done = run("token", "create", "--org", "org_abc", "--app", app, "--expires", "30d", **SETTINGS)
    claims = jwt.decode(done.stdout.strip(), SECRET, algorithms=["HS256"])
    assert (claims["sub"], claims["org"]) == (app, "org_abc")
    assert claims["exp"] - claims["iat"] == 30 * 86400


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--org", "acme"), "--org: acme is not an organization ID"),
        (("--org", "org_a", "--app", "app_short"), "--app: app_short is not an application ID"),
        (("--org", "org_a", "--expires", "soon"), "--expires: 'soon' is not a duration"),
        (
            ("--org", "org_a", "--expires", "9" * 400 + "d"),
            "--expires: a duration has at most 100 characters",
        ),
        (("--org", "org_a", "--expires", "99999d"), "--expires: 99999d is too long"),
        (("--org", "org_a", "--expires", "0s"), "--expires: the minimum is 1s"),
    ],
)
def test_a_wrong_option_of_token_is_told(arguments: tuple[str, ...], words: str) -> None:
    assert words in refusal("token", "create", *arguments, **SETTINGS)


def test_a_token_without_a_secret_or_a_data_directory_is_refused(tmp_path: Path) -> None:
    assert "ANGARIUM_JWT_SECRET is not set" in refusal("token", "create", "--data", str(tmp_path))


def test_a_new_key_is_32_random_bytes() -> None:
    one, other = run("key", "create").stdout.strip(), run_apart("key", "create").stdout.strip()
    assert one != other
    assert len(base64.b64decode(one)) == 32


def test_settings_shows_values_but_no_secrets() -> None:
    done = run("settings", **SETTINGS, ANGARIUM_CONCURRENCY="77", COLUMNS="200")
    assert "77" in done.stdout
    assert SECRET not in done.stdout
    assert KEY not in done.stdout
