from __future__ import annotations

import base64
import os
from ipaddress import ip_network
from pathlib import Path

import pytest

from angarium import settings
from angarium.core.errors import SettingsError
from angarium.core.otlp import headers_of

SECRET = "x" * 32
KEY = base64.b64encode(b"k" * 32).decode()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("ANGARIUM_"):
            monkeypatch.delenv(name)


def refusal() -> str:
    with pytest.raises(SettingsError) as caught:
        settings.load()
    return caught.value.detail


def test_the_defaults_are_usable() -> None:
    found = settings.load()
    assert (found.host, found.port) == ("127.0.0.1", 8071)
    assert found.retry_schedule == (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 36000.0)
    assert found.request_timeout == 15.0
    assert found.disable_after == 5 * 86400
    assert found.allowed_subnets == ()
    assert found.https_only


def test_a_schedule_may_be_shorter_than_a_second_or_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANGARIUM_RETRY_SCHEDULE", "200ms,1s")
    assert settings.load().retry_schedule == (0.2, 1.0)
    monkeypatch.setenv("ANGARIUM_RETRY_SCHEDULE", "")
    assert settings.load().retry_schedule == ()


def test_subnets_are_a_list_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANGARIUM_ALLOWED_SUBNETS", "127.0.0.0/8, ::1/128")
    assert settings.load().allowed_subnets == (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("RETRY_SCHEDULE", "5s,soon", "ANGARIUM_RETRY_SCHEDULE: 'soon' is not a duration"),
        ("REQUEST_TIMEOUT", "2m", "ANGARIUM_REQUEST_TIMEOUT"),
        ("LISTEN", "8080", "host:port"),
        ("ALLOWED_SUBNETS", "10.0.0.0/40", "ANGARIUM_ALLOWED_SUBNETS"),
        ("SECRET_KEY", "c2hvcnQ=", "ANGARIUM_SECRET_KEY"),
        ("JWT_SECRET", "short", "32 bytes or more"),
        ("JWT_ALGORITHM", "none", "ANGARIUM_JWT_ALGORITHM"),
        ("DATABASE_URL", "mysql://x", "postgresql://"),
        ("ENDPOINT_LIMIT", "0", "ANGARIUM_ENDPOINT_LIMIT"),
        ("HISTORY", "6d", "ANGARIUM_HISTORY"),
        ("HISTORY", "1001d", "ANGARIUM_HISTORY"),
        ("AUDIT_HISTORY", "1d", "ANGARIUM_AUDIT_HISTORY"),
        ("AUDIT_HISTORY", "99999d", "ANGARIUM_AUDIT_HISTORY: 99999d is too long"),
        ("TASK_HISTORY", "9" * 400 + "d", "ANGARIUM_TASK_HISTORY: a duration has at most 100 characters"),
    ],
)
def test_a_wrong_value_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(f"ANGARIUM_{name}", value)
    assert words in refusal()


@pytest.mark.parametrize("name", ["DATABASE_DIRECT_URL", "DATABASE_REPLICA_URL"])
def test_another_address_of_the_database_needs_the_first(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"ANGARIUM_{name}", "postgresql://other/angarium")
    with pytest.raises(SettingsError, match=f"ANGARIUM_{name} needs ANGARIUM_DATABASE_URL"):
        settings.load()
    monkeypatch.setenv("ANGARIUM_DATABASE_URL", "postgresql://one/angarium")
    loaded = settings.load()
    assert "postgresql://other/angarium" in (loaded.direct_url, loaded.replica_url)


def test_a_refusal_never_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANGARIUM_SECRET_KEY", "hunter2hunter2")
    monkeypatch.setenv("ANGARIUM_JWT_SECRET", "swordfish")
    assert not {"hunter2", "swordfish"} & set(refusal().split())
    assert "hunter2" not in refusal()


def test_an_unknown_name_is_refused_with_a_suggestion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANGARIUM_RETRY_SHEDULE", "5s")
    assert refusal() == "ANGARIUM_RETRY_SHEDULE is not a setting; did you mean ANGARIUM_RETRY_SCHEDULE?"


def test_a_secret_can_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    monkeypatch.setenv("ANGARIUM_SECRET_KEY_FILE", str(tmp_path / "key"))
    found = settings.load().secret_key
    assert found is not None
    assert found.get_secret_value() == KEY


def test_a_secret_given_twice_or_a_missing_file_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ANGARIUM_JWT_SECRET_FILE", str(tmp_path / "nothing"))
    assert "cannot read" in refusal()
    monkeypatch.setenv("ANGARIUM_JWT_SECRET", SECRET)
    assert "both set" in refusal()


def test_defaults_give_way_to_the_environment_and_the_environment_to_overrides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANGARIUM_CONCURRENCY", "7")
    assert settings.load({"concurrency": 5}).concurrency == 7
    assert settings.load({"concurrency": 5}, {"concurrency": 9}).concurrency == 9
    assert settings.load({"https_only": False}).https_only is False


def test_the_page_of_settings_is_current() -> None:
    page = Path(__file__).parent.parent / "docs" / "settings.md"
    assert page.read_text() == settings.markdown(), "run `angarium settings --markdown > docs/settings.md`"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SMTP_URL", "https://sesame@host", "write smtp+starttls://"),
        ("SMTP_URL", "smtp://user:sesame@mail.example.com", "unencrypted"),
        ("MAIL_FROM", "Acme", "is not a sender"),
        ("MAIL_FROM", "Acme <a@example.com>\nBcc: b@example.com", "is not a sender"),
        ("ALERT_MAIL_TO", "ops@example.com,ops", "'ops' is not an email address"),
        ("ALERT_WEBHOOK_URL", "ftp://sesame", "write a URL such as"),
    ],
)
def test_a_setting_of_alerts_that_is_wrong_is_named_without_a_secret(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(f"ANGARIUM_{name}", value)
    with pytest.raises(SettingsError) as found:
        settings.load()
    assert f"ANGARIUM_{name}" in str(found.value)
    assert words in str(found.value)
    assert "sesame" not in str(found.value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("OTLP_ENDPOINT", "collector:4318", "write http://host:4318"),
        ("OTLP_ENDPOINT", "http://collector?key=sesame", "without a query"),
        ("OTLP_ENDPOINT", "http://user:sesame@collector", "write credentials into ANGARIUM_OTLP_HEADERS"),
        ("OTLP_HEADERS", "authorization=Bearer%20x,sesame", "header number 2 is not name=value"),
        ("OTLP_HEADERS", "a b=sesame", "header number 1 is not name=value"),
        ("OTLP_HEADERS", "a=sesame%0d%0ab: c", "header number 1 is not name=value"),
    ],
)
def test_a_setting_of_the_collector_that_is_wrong_is_named_without_a_secret(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(f"ANGARIUM_{name}", value)
    with pytest.raises(SettingsError) as found:
        settings.load()
    assert f"ANGARIUM_{name}" in str(found.value)
    assert words in str(found.value)
    assert "sesame" not in str(found.value)


def test_the_headers_of_a_collector_are_decoded_and_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANGARIUM_OTLP_HEADERS", "Authorization=Bearer%20sesame, x-scope=a%2Cb")
    monkeypatch.setenv("ANGARIUM_OTLP_ENDPOINT", "")
    found = settings.load()
    assert found.otlp_endpoint is None
    assert found.otlp_headers is not None
    assert "sesame" not in repr(found)
    headers = headers_of(found.otlp_headers.get_secret_value())
    assert headers == {"authorization": "Bearer sesame", "x-scope": "a,b"}


def test_tracing_needs_a_collector_and_a_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANGARIUM_TRACE_RECEIVERS", "true")
    with pytest.raises(SettingsError, match="ANGARIUM_TRACE_RECEIVERS needs ANGARIUM_TRACE_RATIO"):
        settings.load()
    monkeypatch.setenv("ANGARIUM_TRACE_RATIO", "0.01")
    with pytest.raises(SettingsError, match="ANGARIUM_TRACE_RATIO needs ANGARIUM_OTLP_ENDPOINT"):
        settings.load()
    monkeypatch.setenv("ANGARIUM_OTLP_ENDPOINT", "http://collector:4318")
    assert settings.load().trace_ratio == 0.01
    for wrong in ("1.1", "-1", "nan", "some"):
        monkeypatch.setenv("ANGARIUM_TRACE_RATIO", wrong)
        with pytest.raises(SettingsError, match="ANGARIUM_TRACE_RATIO"):
            settings.load()


def test_mail_needs_a_server_and_a_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANGARIUM_ALERT_MAIL_TO", "ops@example.com")
    with pytest.raises(SettingsError, match="ANGARIUM_ALERT_MAIL_TO needs ANGARIUM_SMTP_URL"):
        settings.load()
    monkeypatch.setenv("ANGARIUM_SMTP_URL", "smtps://user:sesame@mail.example.com")
    with pytest.raises(SettingsError, match="ANGARIUM_SMTP_URL needs ANGARIUM_MAIL_FROM"):
        settings.load()
    monkeypatch.setenv("ANGARIUM_MAIL_FROM", "Acme <a@example.com>")
    found = settings.load()
    assert found.alert_mail_to == ("ops@example.com",)
    assert "sesame" not in repr(found)
