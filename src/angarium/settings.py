"""The settings: `ANGARIUM_*` environment variables, checked once at start.

Only `cli` and `build` read this module; everything else is handed values. A secret can also be read from a
file named by `ANGARIUM_<NAME>_FILE`. A name that is not a setting is refused, with a suggestion.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from angarium.core.errors import SettingsError
from angarium.core.inbox import InboxUrls
from angarium.core.keyring import Keyring
from angarium.core.schedule import parse_duration, parse_schedule
from angarium.message_form import MAX_BODY

PREFIX: Final = "ANGARIUM_"
_FILE: Final = "_FILE"
_DAY: Final = 86400.0  # seconds
_CLIENTS: Final = frozenset({"ANGARIUM_URL", "ANGARIUM_TOKEN", "ANGARIUM_APP"})  # not the service's
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
    """A default, written as an operator would write it; it goes through the same check."""
    return text


Seconds = Annotated[float, BeforeValidator(_seconds)]


class Settings(BaseSettings):
    """Every setting, with its default. The description becomes the line in `docs/settings.md`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, validate_default=True)

    listen: str = Field(
        "127.0.0.1:8071", description="Address and port to listen at; port 0 picks a free one."
    )
    public_url: str | None = Field(
        None,
        description="How clients reach this server, e.g. `https://hooks.example.com`; portal links "
        "and Play's inboxes lead there, with https cookies never travel in the clear, and the OpenAPI "
        "document names it.",
    )
    database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL 15 or newer, e.g. `postgresql://user:password@host/angarium`. Without it "
        "Angarium starts its own PostgreSQL in the data directory.",
    )
    database_direct_url: SecretStr | None = Field(
        None,
        description="The same database without the pooler, when `ANGARIUM_DATABASE_URL` leads to one in "
        "transaction mode, such as PgBouncer. Locks, notifications and migrations go this way.",
    )
    database_prepared_statements: bool = Field(
        True,
        description="Keep prepared statements on connections. Turn it off for PgBouncer older than 1.21 in "
        "transaction mode.",
    )
    database_replica_url: SecretStr | None = Field(
        None,
        description="A streaming standby of the same database, from which lists and pages are read while it "
        "keeps up.",
    )
    database_replica_lag: Seconds = Field(
        _written("250ms"),
        gt=0,
        le=3,
        description="How far the replica may be behind: a list waits for it that long, and is read from the "
        "primary then.",
    )
    data_dir: Path = Field(
        Path(".angarium"), description="Where the embedded PostgreSQL and `angarium dev` keep their data."
    )
    jwt_secret: SecretStr | None = Field(
        None,
        description="Signs and verifies tokens: random text for HS256 (32 bytes or more), HS384 (48) and "
        "HS512 (64); a PEM key for RS256… and EdDSA, of which the public part alone verifies only.",
    )
    jwt_algorithm: Literal["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "EdDSA"] = Field(
        "HS256", description="Algorithm of the tokens."
    )
    secret_key: SecretStr | None = Field(
        None,
        description="Encrypts endpoint secrets in the database: base64 keys of 32 bytes, comma-separated. "
        "The first encrypts, all decrypt. Make one with `angarium key new`.",
    )
    profiles: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = Field(
        _written(""),
        description="Products to serve beside the standard one: profiles that ship with Angarium, by name, "
        "or paths of profile files, separated by commas.",
    )
    retry_schedule: Annotated[tuple[float, ...], NoDecode, BeforeValidator(_delays)] = Field(
        _written("5s,5m,30m,2h,5h,10h,10h"),
        description="Delays between the attempts, each counted from the failure before it. "
        "Empty: a single attempt.",
    )
    retry_jitter: float = Field(
        0.2, ge=0, le=1, description="A delay grows by up to this fraction, at random; it never shrinks."
    )
    request_timeout: Seconds = Field(
        _written("15s"),
        ge=1,
        le=60,
        description="How long an endpoint has to answer, from connecting to the last byte read.",
    )
    allowed_subnets: Annotated[
        tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_networks)
    ] = Field(
        _written(""),
        description="Subnets of private addresses that endpoints may be in, separated by commas. "
        "`angarium dev` allows `127.0.0.0/8,::1/128`.",
    )
    egress_addresses: Annotated[
        tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_networks)
    ] = Field(
        _written(""),
        description="The public addresses that requests to endpoints come from, separated by commas; "
        "published at `/.well-known/webhook-sources.json` for customers' firewalls. Saying them does not "
        "make them so: that is the network's affair.",
    )
    frame_ancestors: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = Field(
        _written(""),
        description="Origins whose pages may show the portal in a frame, e.g. `https://app.example.com`, "
        "separated by commas. Empty: none may.",
    )
    trusted_proxies: Annotated[
        tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_networks)
    ] = Field(
        _written(""),
        description="Addresses of the proxies in front, e.g. `10.0.0.0/8`, separated by commas. Their "
        "`X-Forwarded-For` and `X-Forwarded-Proto` are believed, nobody else's; without it the audit log and "
        "the slowing of guesses know the proxy's address only.",
    )
    https_only: bool = Field(True, description="Refuse endpoints with `http://`. Off in `angarium dev`.")
    disable_after: Seconds = Field(
        _written("120h"),
        gt=0,
        description="An endpoint whose deliveries have all failed for this long is disabled. The time "
        "starts when several deliveries were given up within 24 hours, at least 12 hours apart (a fifth and "
        "a tenth of this time when it is less than five days).",
    )
    history: Seconds = Field(
        _written("90d"),
        ge=7 * _DAY,
        le=1000 * _DAY,
        description="How long messages, attempts and deleted endpoints are kept, 7d to 1000d. It must be "
        "longer than the retry schedule of every product. No payload is kept longer.",
    )
    audit_history: Seconds = Field(
        _written("365d"),
        ge=7 * _DAY,
        description="How long records of the audit log and revoked API keys are kept, 7d or longer.",
    )
    statistics_history: Seconds = Field(
        _written("90d"), ge=_DAY, description="How long hourly counts of attempts, for charts, are kept."
    )
    task_history: Seconds = Field(
        _written("30d"),
        ge=_DAY,
        description="How long background tasks that are finished, failed or canceled are kept.",
    )
    body_limit: int = Field(MAX_BODY, ge=1024, description="Largest request body the API takes, in bytes.")
    response_limit: int = Field(
        16 * 1024, ge=0, description="How much of an endpoint's answer is read and kept, in bytes."
    )
    endpoint_limit: int = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="Endpoints of one application, at most, listeners among them. One that has more keeps "
        "them and gets no others.",
    )
    endpoint_concurrency: int = Field(64, ge=1, description="Requests in flight to one endpoint, at most.")
    concurrency: int = Field(
        2000, ge=1, description="Requests in flight to all endpoints, at most, per process."
    )
    database_pool: int = Field(
        10,
        ge=4,
        le=1000,
        description="Database connections per process for API requests; accepting and delivering have eight "
        "more of their own.",
    )
    log_format: Literal["console", "json"] = Field(
        "json", description="Console is the default of `angarium dev`."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severity logged."
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

    @field_validator("listen")
    @classmethod
    def _is_address(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise ValueError("write host:port, such as 0.0.0.0:8071 or [::]:8071")
        return value

    @field_validator("frame_ancestors")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not re.fullmatch(r"https?://(\*\.)?[A-Za-z0-9.-]+(:\d{1,5})?", origin):
                raise ValueError(f"{origin!r} is no origin; write https://app.example.com")
        return value

    @field_validator(
        "jwt_secret",
        "secret_key",
        "database_url",
        "database_direct_url",
        "database_replica_url",
        "public_url",
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
    def _secret_fits_algorithm(self) -> Settings:
        if self.jwt_secret is None:
            return self
        secret = self.jwt_secret.get_secret_value()
        shortest = _SHORTEST_SECRET.get(self.jwt_algorithm)
        if shortest is None and "-----BEGIN" not in secret:
            raise ValueError(f"{PREFIX}JWT_SECRET: {self.jwt_algorithm} needs a PEM key")
        if shortest and len(secret.encode()) < shortest:
            raise ValueError(
                f"{PREFIX}JWT_SECRET: {self.jwt_algorithm} needs {shortest} bytes or more, this has "
                f"{len(secret.encode())}; make one with `openssl rand -base64 {shortest}`"
            )
        return self

    @property
    def direct_url(self) -> str | None:
        """The address around a pooler; None when there is no pooler."""
        return None if self.database_direct_url is None else self.database_direct_url.get_secret_value()

    @property
    def replica_url(self) -> str | None:
        """The address of the read replica, None when there is none."""
        return None if self.database_replica_url is None else self.database_replica_url.get_secret_value()

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])


def load(defaults: Mapping[str, Any] | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read and check the settings. Raises SettingsError that says what is wrong with which variable.

    `defaults` stand in for variables that are not set; `overrides` come from the command line and win.
    """
    _refuse_unknown(os.environ)
    given = {name for name in Settings.model_fields if PREFIX + name.upper() in os.environ}
    values = {name: value for name, value in (defaults or {}).items() if name not in given}
    values |= _from_files(os.environ)
    values |= {name: value for name, value in (overrides or {}).items() if value is not None}
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SettingsError("\n".join(_in_words(fault) for fault in error.errors())) from error


def _in_words(fault: Mapping[str, Any]) -> str:
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"{PREFIX}{str(fault['loc'][0]).upper()}: {message}" if fault["loc"] else message


def secret_names() -> list[str]:
    """The settings that are secrets, and so can be read from a file."""
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


def _refuse_unknown(environ: Iterable[str]) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    known |= {PREFIX + name.upper() + _FILE for name in secret_names()}
    problems = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known | _CLIENTS:
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else "see `angarium settings` for all of them"
            problems.append(f"{name} is not a setting; {hint}")
    if problems:
        raise SettingsError("\n".join(problems))


_PAGE: Final = """\
# Settings

Angarium is configured by environment variables alone. They are checked at start; a name that is not listed
here is refused. `angarium settings` shows what is in force. This page is the output of
`angarium settings --markdown`, and a test holds it to that.
"""


def markdown() -> str:
    """The page `docs/settings.md`."""
    lines = [_PAGE, "| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = str(field.default).lower() if isinstance(field.default, bool) else field.default
        shown = "" if default is None else f"`{default}`" if default != "" else "empty"
        file = f" Or in a file named by `{PREFIX}{name.upper()}{_FILE}`." if name in secret_names() else ""
        choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        one_of = " One of " + ", ".join(f"`{choice}`" for choice in choices) + "." if choices else ""
        lines.append(f"| `{PREFIX}{name.upper()}` | {shown} | {field.description}{one_of}{file} |")
    return "\n".join(lines) + "\n"
