"""Checks the rules between settings: which of them need others, or must be less than others."""

from __future__ import annotations

from typing import Final

from pydantic import model_validator

from angarium.core.schedule import spoken
from angarium.core.token_key import split
from angarium.settings.declaration import PREFIX, Declaration
from angarium.settings.value import host_and_port

_SHORTEST_SECRET: Final = {"HS256": 32, "HS384": 48, "HS512": 64}  # bytes, RFC 7518 section 3.2


class Settings(Declaration):
    """The settings of a process. Together they are valid."""

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
    def _soft_limits_come_first(self) -> Settings:
        for noun, soft, hard in (
            ("MESSAGE", self.message_soft_limit, self.message_limit),
            ("ENDPOINT", self.endpoint_soft_limit, self.endpoint_limit),
        ):
            if soft is not None and hard is not None and soft > hard:
                raise ValueError(
                    f"{PREFIX}{noun}_SOFT_LIMIT is {soft}; it must be at most {PREFIX}{noun}_LIMIT, {hard}"
                )
        return self

    @model_validator(mode="after")
    def _traces_have_a_collector(self) -> Settings:
        if self.trace_ratio is not None and self.otlp_endpoint is None:
            raise ValueError(f"{PREFIX}TRACE_RATIO needs {PREFIX}OTLP_ENDPOINT, the collector of spans")
        if self.trace_receivers and self.trace_ratio is None:
            raise ValueError(f"{PREFIX}TRACE_RECEIVERS needs {PREFIX}TRACE_RATIO, such as 0.01")
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
        return host_and_port(self.listen)[0]

    @property
    def port(self) -> int:
        return host_and_port(self.listen)[1]
