"""Declares the settings: names, defaults, limits and descriptions.

What a value may be is in `value.py`. Which settings need others is in `rule.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from angarium.core.quota import MOST, MOST_ENDPOINTS
from angarium.message_form import MAX_BODY
from angarium.settings.value import (
    ApplicationIds,
    CollectorHeaders,
    CollectorUrl,
    Delays,
    Keys,
    ListenAddress,
    MailAddresses,
    MailSender,
    MailServer,
    Names,
    OptionalCount,
    OptionalListenAddress,
    OptionalSecret,
    Origins,
    PeerAddress,
    PostgresqlUrl,
    PublicUrl,
    Ratio,
    Seconds,
    Subnets,
    WebhookUrl,
)

PREFIX: Final = "ANGARIUM_"
_DAY: Final = 86400.0  # seconds


def _written(text: str) -> Any:
    """A default in the form that operators write. It passes the same validation."""
    return text


class Declaration(BaseSettings):
    """Every setting, with its default. The description becomes the line in `docs/settings.md`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, validate_default=True)

    listen: ListenAddress = Field(
        "127.0.0.1:8071", description="Address and port to listen at; port 0 picks a free one."
    )
    ops_listen: OptionalListenAddress = Field(
        "127.0.0.1:9464",
        description="Address and port of the listener for operators' tools, which serves `/metrics`. It has "
        "no authentication, so keep it in a private network. Empty: none, as in `angarium dev`.",
    )
    peer_listen: PeerAddress = Field(
        "",
        description="Address and port at which a process that dispatches gets deliveries from processes on "
        "other hosts, e.g. `10.1.2.3:8072`. They are encrypted. If the port is taken, as with `--processes`, "
        "the next free one is used. Empty: only processes on the same host hand over directly; others "
        "send a hint, and the delivery is read from the database.",
    )
    metrics_applications: ApplicationIds = Field(
        _written(""),
        max_length=100,
        description="Ids of applications that get series of their own in some metrics, comma-separated, at "
        "most 100. All others are counted together, as `other`. Empty: these metrics are missing.",
    )
    otlp_endpoint: CollectorUrl = Field(
        None,
        description="The base URL of an OpenTelemetry collector, e.g. `http://collector:4318`. Metrics are "
        "sent to `/v1/metrics` below it, by OTLP over HTTP. Needs the extra `otel`. Without it nothing is "
        "sent.",
    )
    otlp_headers: CollectorHeaders = Field(
        None,
        description="Headers of requests to the collector, such as `authorization=Bearer%20…`: names and "
        "percent-encoded values, comma-separated.",
    )
    otlp_interval: Seconds = Field(
        _written("30s"), ge=1, le=3600, description="How often metrics are sent to the collector."
    )
    trace_ratio: Ratio = Field(
        None,
        ge=0,
        le=1,
        description="Which part of the API requests without a `traceparent` header is traced, from 0 to 1, "
        "e.g. `0.01`. With such a header the caller decides. Spans are sent to `/v1/traces` below "
        "`ANGARIUM_OTLP_ENDPOINT`. Without it nothing is traced.",
    )
    trace_receivers: bool = Field(
        False,
        description="Whether receivers get a `traceparent` header with the span of the attempt, if the "
        "message is traced.",
    )
    public_url: PublicUrl = Field(
        None,
        description="The URL at which clients reach this server, e.g. `https://hooks.example.com`. Portal "
        "links, Play inboxes and the OpenAPI document use it. With https, cookies are sent over TLS only.",
    )
    database_url: PostgresqlUrl = Field(
        None,
        description="PostgreSQL 15 or newer, e.g. `postgresql://user:password@host/angarium`. Without it "
        "Angarium starts an embedded PostgreSQL in the data directory.",
    )
    database_direct_url: PostgresqlUrl = Field(
        None,
        description="A direct connection to the same database. Required when `ANGARIUM_DATABASE_URL` is a "
        "pooler in transaction mode, such as PgBouncer. Locks, notifications and migrations use it.",
    )
    database_prepared_statements: bool = Field(
        True,
        description="Use prepared statements. Turn this off for PgBouncer older than 1.21 in transaction "
        "mode.",
    )
    database_replica_url: PostgresqlUrl = Field(
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
    jwt_secret: OptionalSecret = Field(
        None,
        description="The keys that sign and verify tokens, comma-separated: random texts for HS256 (32 bytes "
        "or more), HS384 (48) and HS512 (64); PEM keys for RS256… and EdDSA. The first signs, all verify. A "
        "public key verifies tokens but cannot sign them.",
    )
    jwt_algorithm: Literal["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "EdDSA"] = Field(
        "HS256", description="Signature algorithm of tokens."
    )
    secret_key: Keys = Field(
        None,
        description="Encrypts endpoint secrets in the database: base64 keys of 32 bytes, comma-separated. "
        "The first encrypts, all decrypt. Create one with `angarium key create`.",
    )
    profiles: Names = Field(
        _written(""),
        description="Profiles to load in addition to the standard one, comma-separated: names of profiles "
        "that ship with Angarium, or paths of profile files.",
    )
    retry_schedule: Delays = Field(
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
    allowed_subnets: Subnets = Field(
        _written(""),
        description="Private subnets in which endpoints are allowed, comma-separated. "
        "`angarium dev` allows `127.0.0.0/8,::1/128`.",
    )
    egress_addresses: Subnets = Field(
        _written(""),
        description="Public source addresses of requests to endpoints, comma-separated. They are only "
        "published, at `/.well-known/webhook-sources.json`, for customers' firewalls; configure egress in "
        "your network.",
    )
    frame_ancestors: Origins = Field(
        _written(""),
        description="Origins that may embed the portal in a frame, e.g. `https://app.example.com`, "
        "comma-separated. Empty: none.",
    )
    trusted_proxies: Subnets = Field(
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
    smtp_url: MailServer = Field(
        None,
        description="The mail server for alerts: `smtp+starttls://user:password@host:587`, "
        "`smtps://user:password@host:465` or, without a password, `smtp://host:25`. Certificates are "
        "verified with the system's authorities or those in `SSL_CERT_FILE`. Without it no mail is sent.",
    )
    mail_from: MailSender = Field(
        None, description="The sender of mails, e.g. `Acme webhooks <webhooks@acme.example>`."
    )
    alert_mail_to: MailAddresses = Field(
        _written(""), description="Addresses of the operator to which alerts are mailed, comma-separated."
    )
    alert_webhook_url: WebhookUrl = Field(
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
    message_soft_limit: OptionalCount = Field(
        None,
        ge=0,
        le=MOST,
        description="Default number of messages of an application in a month (UTC) that is reported once to "
        "you and to its contacts. Empty: none. A product or an application may have another "
        "([Quotas](quotas.md)).",
    )
    message_limit: OptionalCount = Field(
        None,
        ge=0,
        le=MOST,
        description="Default maximum number of messages of an application in a month (UTC). Others are "
        "refused until the month ends. Empty: none. A product or an application may have another limit.",
    )
    endpoint_soft_limit: OptionalCount = Field(
        None,
        ge=0,
        le=MOST_ENDPOINTS,
        description="Default number of endpoints of an application that is reported. Empty: none.",
    )
    endpoint_limit: int = Field(
        1000,
        ge=1,
        le=MOST_ENDPOINTS,
        description="Default maximum number of endpoints per application, including listeners. An "
        "application with more keeps them but cannot add others. A product or an application may have "
        "another limit.",
    )
    usage_history: Seconds = Field(
        _written("3650d"),
        ge=400 * _DAY,
        description="Retention of what applications used in each month, 400d or longer.",
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
        description="Database connections per process for API requests. Intake and delivery use ten more.",
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
