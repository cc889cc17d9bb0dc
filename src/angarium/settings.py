"""Reads the settings: `ANGARIUM_*` environment variables, checked once at start.

Only `cli` and `build` import this module; other modules get values as arguments. A secret can also be read
from a file named by `ANGARIUM_<NAME>_FILE`. An unknown name is refused, with a suggestion.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from angarium.alert import setting
from angarium.core import ids
from angarium.core.errors import SettingsError
from angarium.core.inbox import InboxUrls
from angarium.core.keyring import Keyring
from angarium.core.schedule import parse_duration, parse_schedule, spoken
from angarium.core.token_key import split
from angarium.message_form import MAX_BODY

PREFIX: Final = "ANGARIUM_"
_FILE: Final = "_FILE"
KEYS: Final = ("jwt_secret", "secret_key")  # read again on SIGHUP
_DAY: Final = 86400.0  # seconds
_CLIENTS: Final = frozenset({"ANGARIUM_URL", "ANGARIUM_TOKEN", "ANGARIUM_APP"})  # of the command line client
_TRUE: Final = frozenset({"1", "true", "t", "yes", "y", "on"})  # as pydantic reads a bool
_SHORTEST_SECRET: Final = {"HS256": 32, "HS384": 48, "HS512": 64}  # bytes, RFC 7518 section 3.2


def _seconds(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


def _delays(value: object) -> object:
    return parse_schedule(value) if isinstance(value, str) else value


def _names(value: object) -> object:
    return (
        tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
    )


def _networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
    except ValueError as error:
        raise ValueError(f"{error}; write subnets such as 10.1.0.0/16,fd00::/8") from error


def _written(text: str) -> Any:
    """A default in the form that operators write. It passes the same validation."""
    return text


Seconds = Annotated[float, BeforeValidator(_seconds)]


class Settings(BaseSettings):
    """Every setting, with its default. The description becomes the line in `docs/settings.md`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, validate_default=True)

    listen: str = Field(
        "127.0.0.1:8071", description="Address and port to listen at; port 0 picks a free one."
    )
    ops_listen: str = Field(
        "127.0.0.1:9464",
        description="Address and port of the listener for operators' tools, which serves `/metrics`. It has "
        "no authentication, so keep it in a private network. Empty: none, as in `angarium dev`.",
    )
    metrics_applications: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = Field(
        _written(""),
        max_length=100,
        description="Ids of applications that get series of their own in some metrics, comma-separated, at "
        "most 100. All others are counted together, as `other`. Empty: these metrics are missing.",
    )
    public_url: str | None = Field(
        None,
        description="The URL at which clients reach this server, e.g. `https://hooks.example.com`. Portal "
        "links, Play inboxes and the OpenAPI document use it. With https, cookies are sent over TLS only.",
    )
    database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL 15 or newer, e.g. `postgresql://user:password@host/angarium`. Without it "
        "Angarium starts an embedded PostgreSQL in the data directory.",
    )
    database_direct_url: SecretStr | None = Field(
        None,
        description="A direct connection to the same database. Required when `ANGARIUM_DATABASE_URL` is a "
        "pooler in transaction mode, such as PgBouncer. Locks, notifications and migrations use it.",
    )
    database_prepared_statements: bool = Field(
        True,
        description="Use prepared statements. Turn this off for PgBouncer older than 1.21 in transaction "
        "mode.",
    )
    database_replica_url: SecretStr | None = Field(
        None,
        description="A streaming standby of the same database. Lists and pages are read from it while its "
        "lag is small.",
    )
    database_replica_lag: Seconds = Field(
        _written("250ms"),
        gt=0,
        le=3,
        description="How long a list waits for the replica to catch up before it is read from the primary.",
    )
    data_dir: Path = Field(
        Path(".angarium"), description="Directory of the embedded PostgreSQL and of `angarium dev`."
    )
    jwt_secret: SecretStr | None = Field(
        None,
        description="The keys that sign and verify tokens, comma-separated: random texts for HS256 (32 bytes "
        "or more), HS384 (48) and HS512 (64); PEM keys for RS256… and EdDSA. The first signs, all verify. A "
        "public key verifies tokens but cannot sign them.",
    )
    jwt_algorithm: Literal["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "EdDSA"] = Field(
        "HS256", description="Signature algorithm of tokens."
    )
    secret_key: SecretStr | None = Field(
        None,
        description="Encrypts endpoint secrets in the database: base64 keys of 32 bytes, comma-separated. "
        "The first encrypts, all decrypt. Create one with `angarium key create`.",
    )
    profiles: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = Field(
        _written(""),
        description="Profiles to load in addition to the standard one, comma-separated: names of profiles "
        "that ship with Angarium, or paths of profile files.",
    )
    retry_schedule: Annotated[tuple[float, ...], NoDecode, BeforeValidator(_delays)] = Field(
        _written("5s,5m,30m,2h,5h,10h,10h"),
        description="Delays between attempts, each measured from the previous failure. "
        "Empty: a single attempt.",
    )
    retry_jitter: float = Field(
        0.2, ge=0, le=1, description="Each delay is increased at random by up to this fraction."
    )
    request_timeout: Seconds = Field(
        _written("15s"),
        ge=1,
        le=60,
        description="Timeout of a request to an endpoint, from connecting to the last byte read.",
    )
    allowed_subnets: Annotated[
        tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_networks)
    ] = Field(
        _written(""),
        description="Private subnets in which endpoints are allowed, comma-separated. "
        "`angarium dev` allows `127.0.0.0/8,::1/128`.",
    )
    egress_addresses: Annotated[
        tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_networks)
    ] = Field(
        _written(""),
        description="Public source addresses of requests to endpoints, comma-separated. They are only "
        "published, at `/.well-known/webhook-sources.json`, for customers' firewalls; configure egress in "
        "your network.",
    )
    frame_ancestors: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = Field(
        _written(""),
        description="Origins that may embed the portal in a frame, e.g. `https://app.example.com`, "
        "comma-separated. Empty: none.",
    )
    trusted_proxies: Annotated[
        tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_networks)
    ] = Field(
        _written(""),
        description="Addresses of reverse proxies, e.g. `10.0.0.0/8`, comma-separated. `X-Forwarded-For` and "
        "`X-Forwarded-Proto` are trusted from these addresses only. If a proxy is not listed, the audit log "
        "and the throttling of failed logins use the proxy's address.",
    )
    https_only: bool = Field(True, description="Refuse `http://` endpoints. Off in `angarium dev`.")
    disable_after: Seconds = Field(
        _written("120h"),
        gt=0,
        description="An endpoint is disabled after all its deliveries have failed for this long. The time "
        "starts once several deliveries have been given up within 24 hours, at least 12 hours apart (a fifth "
        "and a tenth of this time if it is less than five days).",
    )
    history: Seconds = Field(
        _written("90d"),
        ge=7 * _DAY,
        le=1000 * _DAY,
        description="Retention of messages, attempts and deleted endpoints, 7d to 1000d. It must be "
        "longer than the retry schedule of every product. No payload is kept longer.",
    )
    audit_history: Seconds = Field(
        _written("365d"),
        ge=7 * _DAY,
        description="Retention of audit log records and revoked API keys, 7d or longer.",
    )
    statistics_history: Seconds = Field(
        _written("90d"), ge=_DAY, description="Retention of the hourly attempt counts that charts show."
    )
    task_history: Seconds = Field(
        _written("30d"),
        ge=_DAY,
        description="Retention of finished, failed and canceled background tasks.",
    )
    smtp_url: SecretStr | None = Field(
        None,
        description="The mail server for alerts: `smtp+starttls://user:password@host:587`, "
        "`smtps://user:password@host:465` or, without a password, `smtp://host:25`. Certificates are "
        "verified with the system's authorities or those in `SSL_CERT_FILE`. Without it no mail is sent.",
    )
    mail_from: str | None = Field(
        None, description="The sender of mails, e.g. `Acme webhooks <webhooks@acme.example>`."
    )
    alert_mail_to: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = Field(
        _written(""), description="Addresses of the operator to which alerts are mailed, comma-separated."
    )
    alert_webhook_url: SecretStr | None = Field(
        None,
        description="A URL to which alerts for the operator are posted, such as an incoming webhook of Slack "
        "or Microsoft Teams. It may be in a private network.",
    )
    alert_webhook_form: Literal["auto", "slack", "teams", "json"] = Field(
        "auto",
        description="The body of these posts. `auto` chooses by the URL's host; hosts other than Slack's and "
        "Microsoft's get JSON.",
    )
    body_limit: int = Field(MAX_BODY, ge=1024, description="Maximum size of an API request body, in bytes.")
    response_limit: int = Field(
        16 * 1024, ge=0, description="Maximum number of bytes of an endpoint's response to read and keep."
    )
    endpoint_limit: int = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="Maximum number of endpoints per application, including listeners. An application with "
        "more keeps them but cannot add others.",
    )
    endpoint_concurrency: int = Field(
        64, ge=1, description="Maximum number of requests in flight per endpoint."
    )
    concurrency: int = Field(
        2000, ge=1, description="Maximum number of requests in flight to all endpoints, per process."
    )
    database_pool: int = Field(
        10,
        ge=4,
        le=1000,
        description="Database connections per process for API requests. Intake and delivery use nine more.",
    )
    ignore_unknown: bool = Field(
        False,
        description="Ignore unknown `ANGARIUM_*` variables, with a warning in the log, instead of refusing "
        "them. For going back to the previous release with the settings of the newer one.",
    )
    drain_delay: Seconds = Field(
        _written("0s"),
        ge=0,
        le=300,
        description="How long requests are still accepted after SIGTERM, while `/readyz` already fails. Set "
        "it to the time that your load balancer needs to notice, such as `5s`.",
    )
    stop_timeout: Seconds = Field(
        _written("90s"),
        ge=5,
        le=3600,
        description="Time from SIGTERM to the end of the process, at most. Requests and attempts that are "
        "still in flight then are aborted; the attempts are repeated. Must be longer than "
        "`ANGARIUM_DRAIN_DELAY`.",
    )
    log_format: Literal["console", "json"] = Field(
        "json", description="Log format. The default of `angarium dev` is `console`."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest severity that is logged."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings

    @field_validator("listen", "ops_listen")
    @classmethod
    def _is_address(cls, value: str, info: ValidationInfo) -> str:
        if not value and info.field_name == "ops_listen":
            return value
        host, _, port = value.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise ValueError("write host:port, such as 0.0.0.0:8071 or [::]:8071")
        return value

    @field_validator("metrics_applications")
    @classmethod
    def _are_applications(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if ids.parse(ids.APPLICATION, name) is None:
                raise ValueError(f"{name!r} is not the id of an application; write app_…")
        return value

    @field_validator("frame_ancestors")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not re.fullmatch(r"https?://(\*\.)?[A-Za-z0-9.-]+(:\d{1,5})?", origin):
                raise ValueError(f"{origin!r} is not an origin; write https://app.example.com")
        return value

    @field_validator(
        "jwt_secret",
        "secret_key",
        "database_url",
        "database_direct_url",
        "database_replica_url",
        "public_url",
        "smtp_url",
        "mail_from",
        "alert_webhook_url",
        mode="before",
    )
    @classmethod
    def _empty_is_missing(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("public_url")
    @classmethod
    def _is_base(cls, value: str | None) -> str | None:
        if value is not None:
            InboxUrls(value)
        return value

    @field_validator("database_url", "database_direct_url", "database_replica_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("write postgresql://user:password@host/database")
        return value

    @field_validator("smtp_url", "alert_webhook_url")
    @classmethod
    def _is_channel(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None:
            check = setting.check_server if info.field_name == "smtp_url" else setting.check_webhook
            check(value.get_secret_value())
        return value

    @field_validator("mail_from", "alert_mail_to")
    @classmethod
    def _are_addresses(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        if isinstance(value, str):
            setting.check_sender(value)
        for email in value if isinstance(value, tuple) else ():
            setting.check_address(email)
        return value

    @field_validator("secret_key")
    @classmethod
    def _is_keyring(cls, value: SecretStr | None) -> SecretStr | None:
        if value:
            try:
                Keyring.parse(value.get_secret_value())
            except SettingsError as error:
                raise ValueError(error.detail) from error
        return value

    @model_validator(mode="after")
    def _others_need_the_database(self) -> Settings:
        if self.database_direct_url is not None and self.database_url is None:
            raise ValueError(f"{PREFIX}DATABASE_DIRECT_URL needs {PREFIX}DATABASE_URL, the pooler's address")
        if self.database_replica_url is not None and self.database_url is None:
            raise ValueError(
                f"{PREFIX}DATABASE_REPLICA_URL needs {PREFIX}DATABASE_URL, the primary's address"
            )
        return self

    @model_validator(mode="after")
    def _delay_ends_before_the_stop(self) -> Settings:
        if self.drain_delay >= self.stop_timeout:
            raise ValueError(
                f"{PREFIX}DRAIN_DELAY is {spoken(self.drain_delay)}, and {PREFIX}STOP_TIMEOUT "
                f"{spoken(self.stop_timeout)}; it must be longer than the delay"
            )
        return self

    @model_validator(mode="after")
    def _mail_has_a_sender(self) -> Settings:
        if self.smtp_url is not None and self.mail_from is None:
            raise ValueError(f"{PREFIX}SMTP_URL needs {PREFIX}MAIL_FROM, the sender of mails")
        if self.alert_mail_to and self.smtp_url is None:
            raise ValueError(f"{PREFIX}ALERT_MAIL_TO needs {PREFIX}SMTP_URL, the mail server")
        return self

    @model_validator(mode="after")
    def _secret_fits_algorithm(self) -> Settings:
        if self.jwt_secret is None:
            return self
        shortest = _SHORTEST_SECRET.get(self.jwt_algorithm)
        secrets = split(self.jwt_secret.get_secret_value())
        for number, secret in enumerate(secrets, 1):
            which = f"key number {number}" if len(secrets) > 1 else "this"
            if shortest is None and "-----BEGIN" not in secret:
                raise ValueError(f"{PREFIX}JWT_SECRET: {self.jwt_algorithm} needs a PEM key")
            if shortest and len(secret.encode()) < shortest:
                raise ValueError(
                    f"{PREFIX}JWT_SECRET: {self.jwt_algorithm} needs {shortest} bytes or more, {which} has "
                    f"{len(secret.encode())}; create one with `openssl rand -base64 {shortest}`"
                )
        return self

    @property
    def direct_url(self) -> str | None:
        """The URL that bypasses the pooler, or None."""
        return None if self.database_direct_url is None else self.database_direct_url.get_secret_value()

    @property
    def replica_url(self) -> str | None:
        """The URL of the read replica, or None."""
        return None if self.database_replica_url is None else self.database_replica_url.get_secret_value()

    @property
    def host(self) -> str:
        return place_of(self.listen)[0]

    @property
    def port(self) -> int:
        return place_of(self.listen)[1]


def place_of(address: str) -> tuple[str, int]:
    """Host and port of an address to listen at, such as `[::]:8071`."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def load(defaults: Mapping[str, Any] | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read and check the settings. Raises SettingsError, which names each wrong variable and why.

    `defaults` apply to unset variables; `overrides` come from the command line and take precedence.
    """
    _refuse_unknown(os.environ)
    given = {name for name in Settings.model_fields if PREFIX + name.upper() in os.environ}
    values = {name: value for name, value in (defaults or {}).items() if name not in given}
    values |= _from_files(os.environ)
    values |= {name: value for name, value in (overrides or {}).items() if value is not None}
    return _checked(values)


def _checked(values: Mapping[str, Any]) -> Settings:
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SettingsError("\n".join(_in_words(fault) for fault in error.errors())) from error


def key_files(environ: Mapping[str, str] = os.environ) -> list[str]:
    """The files from which the keys of tokens and secrets are read, if any."""
    return [environ[name] for name in (PREFIX + key.upper() + _FILE for key in KEYS) if environ.get(name)]


def reread(settings: Settings) -> Settings:
    """The same settings with the keys that are in their files now. Raises SettingsError."""
    if not key_files():
        return settings
    fresh = {name: value for name, value in _from_files(os.environ).items() if name in KEYS}
    return _checked(settings.model_dump() | fresh)


def _in_words(fault: Mapping[str, Any]) -> str:
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"{PREFIX}{str(fault['loc'][0]).upper()}: {message}" if fault["loc"] else message


def secret_names() -> list[str]:
    """The settings that are secrets and can be read from a file."""
    return [name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)]


def _from_files(environ: Mapping[str, str]) -> dict[str, str]:
    values = {}
    for name in secret_names():
        variable = PREFIX + name.upper()
        path = environ.get(variable + _FILE)
        if not path:
            continue
        if environ.get(variable):
            raise SettingsError(f"{variable} and {variable}{_FILE} are both set; keep one")
        try:
            values[name] = Path(path).read_text().strip()
        except OSError as error:
            raise SettingsError(f"{variable}{_FILE}: cannot read {path}: {error.strerror}") from error
    return values


def unknown(environ: Iterable[str]) -> list[str]:
    """The `ANGARIUM_*` variables that are not settings."""
    return sorted(name for name in environ if name.startswith(PREFIX) and name not in _known() | _CLIENTS)


def _known() -> set[str]:
    files = {PREFIX + name.upper() + _FILE for name in secret_names()}
    return {PREFIX + name.upper() for name in Settings.model_fields} | files


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    if environ.get(f"{PREFIX}IGNORE_UNKNOWN", "").lower() in _TRUE:
        return
    problems = []
    for name in unknown(environ):
        close = get_close_matches(name, _known(), n=1)
        hint = f"did you mean {close[0]}?" if close else "see `angarium settings` for all of them"
        problems.append(f"{name} is not a setting; {hint}")
    if problems:
        raise SettingsError("\n".join(problems))


_PAGE: Final = """\
# Settings

Angarium is configured by environment variables only. They are checked at start; unknown `ANGARIUM_*`
variables are refused, unless `ANGARIUM_IGNORE_UNKNOWN` is set. `angarium settings` shows the current values.
This page is the output of `angarium settings --markdown`.
"""


def markdown() -> str:
    """The page `docs/settings.md`."""
    lines = [_PAGE, "| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = str(field.default).lower() if isinstance(field.default, bool) else field.default
        shown = "" if default is None else f"`{default}`" if default != "" else "empty"
        file = (
            f" Can also be read from the file named by `{PREFIX}{name.upper()}{_FILE}`."
            if name in secret_names()
            else ""
        )
        choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        one_of = " One of " + ", ".join(f"`{choice}`" for choice in choices) + "." if choices else ""
        lines.append(f"| `{PREFIX}{name.upper()}` | {shown} | {field.description}{one_of}{file} |")
    return "\n".join(lines) + "\n"
