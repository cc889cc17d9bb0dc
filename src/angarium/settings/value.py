"""Types of settings: each reads the text of a variable, and says what would be accepted, never a secret."""

from __future__ import annotations

import re
from email.utils import parseaddr
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode

from angarium.alert.smtp import MailServer as SmtpServer
from angarium.core import ids, otlp
from angarium.core.contact import one_line
from angarium.core.email import is_email
from angarium.core.errors import SettingsError
from angarium.core.inbox import ANYWHERE, InboxUrls
from angarium.core.keyring import Keyring
from angarium.core.schedule import parse_duration, parse_schedule
from angarium.core.url import check_url


def host_and_port(address: str) -> tuple[str, int]:
    """Host and port of an address to listen at, such as `[::]:8071`."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


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


def _unset_if_empty(value: object) -> object:
    return None if value == "" else value


def _address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError("write host:port, such as 0.0.0.0:8071 or [::]:8071")
    return value


def _peer_address(value: str) -> str:
    if value and host_and_port(_address(value))[0] in ("0.0.0.0", "::"):  # noqa: S104 (compared, not bound)
        raise ValueError("write an address of this host that the other hosts reach, such as 10.1.2.3:8072")
    return value


def _address_or_empty(value: str) -> str:
    return _address(value) if value else value


def _applications(value: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        if ids.parse(ids.APPLICATION, name) is None:
            raise ValueError(f"{name!r} is not the id of an application; write app_…")
    return value


def _origins(value: tuple[str, ...]) -> tuple[str, ...]:
    for origin in value:
        if not re.fullmatch(r"https?://(\*\.)?[A-Za-z0-9.-]+(:\d{1,5})?", origin):
            raise ValueError(f"{origin!r} is not an origin; write https://app.example.com")
    return value


def _base(value: str) -> str:
    InboxUrls(value)
    return value


def _collector(value: str) -> str:
    otlp.check_endpoint(value)
    return value


def _headers(value: SecretStr) -> SecretStr:
    otlp.headers_of(value.get_secret_value())
    return value


def _postgresql(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
        raise ValueError("write postgresql://user:password@host/database")
    return value


def _mail_server(value: SecretStr) -> SecretStr:
    SmtpServer.of(value.get_secret_value())
    return value


def _webhook(value: SecretStr) -> SecretStr:
    try:
        check_url(value.get_secret_value(), https_only=False, policy=ANYWHERE)
    except ValueError:  # whose text would show the secret
        raise ValueError("write a URL such as https://hooks.slack.com/services/…") from None
    return value


def _sender(value: str) -> str:
    if one_line(value, 400) != value or not is_email(parseaddr(value)[1]):
        raise ValueError(f"{value!r} is not a sender; write Name <user@example.com>")
    return value


def _mail_addresses(value: tuple[str, ...]) -> tuple[str, ...]:
    for email in value:
        if not is_email(email):
            raise ValueError(f"{email!r} is not an email address; write user@example.com")
    return value


def _keys(value: SecretStr) -> SecretStr:
    try:
        Keyring.parse(value.get_secret_value())
    except SettingsError as error:
        raise ValueError(error.detail) from error
    return value


UNSET = BeforeValidator(_unset_if_empty)

Seconds = Annotated[float, BeforeValidator(_seconds)]
Delays = Annotated[tuple[float, ...], NoDecode, BeforeValidator(_delays)]

# lists are separated by commas
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)]
ApplicationIds = Annotated[Names, AfterValidator(_applications)]
Origins = Annotated[Names, AfterValidator(_origins)]
MailAddresses = Annotated[Names, AfterValidator(_mail_addresses)]
Subnets = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_networks)]

ListenAddress = Annotated[str, AfterValidator(_address)]
OptionalListenAddress = Annotated[str, AfterValidator(_address_or_empty)]
PeerAddress = Annotated[str, AfterValidator(_peer_address)]

# an empty text leaves these unset
OptionalSecret = Annotated[SecretStr | None, UNSET]
OptionalCount = Annotated[int | None, UNSET]
PublicUrl = Annotated[Annotated[str, AfterValidator(_base)] | None, UNSET]
CollectorUrl = Annotated[Annotated[str, AfterValidator(_collector)] | None, UNSET]
CollectorHeaders = Annotated[Annotated[SecretStr, AfterValidator(_headers)] | None, UNSET]
PostgresqlUrl = Annotated[Annotated[SecretStr, AfterValidator(_postgresql)] | None, UNSET]
MailServer = Annotated[Annotated[SecretStr, AfterValidator(_mail_server)] | None, UNSET]
MailSender = Annotated[Annotated[str, AfterValidator(_sender)] | None, UNSET]
WebhookUrl = Annotated[Annotated[SecretStr, AfterValidator(_webhook)] | None, UNSET]
Ratio = Annotated[float | None, UNSET]
Keys = Annotated[Annotated[SecretStr, AfterValidator(_keys)] | None, UNSET]
