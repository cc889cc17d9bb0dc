"""Lists the objects of a configuration file with their fields. Names and rules of fields are the API's."""

from __future__ import annotations

import re
from typing import Any, Final

from angarium.cli.configuration.field import (
    ConfigField,
    Flag,
    Integer,
    Json,
    ListOf,
    MapOf,
    Noun,
    Secret,
    Text,
)
from angarium.cli.configuration.quota import Quota
from angarium.core.email import EMAIL, MAX_EMAIL

VERSION: Final = 1
MAX_RATE: Final = 65535
_NAME: Final = r"[a-zA-Z0-9\-_.]{1,256}"
_CHARACTERS: Final = "1 to 256 of a-z A-Z 0-9 - _ ."


def _uid(prefix: str) -> Text:
    return Text(rf"(?!{prefix})[a-zA-Z0-9\-_.]{{1,256}}", f"{_CHARACTERS}, not starting with {prefix}")


EVENT_TYPE_NAME: Final = Text(_NAME, _CHARACTERS)
_PATTERN: Final = Text(
    r"\*|(?:[a-zA-Z0-9\-_]+\.)+\*|[a-zA-Z0-9\-_.]{1,256}", "the name of an event type, `prefix.*` or `*`"
)
_CONTROL: Final = r"\x00-\x08"  # what the API does not accept in text
_DESCRIPTION: Final = Text(
    rf"[^{_CONTROL}]*", "text of at most 10,000 characters without control characters", most=10_000
)
_RATE: Final = Integer(1, MAX_RATE)
_METADATA: Final = ConfigField(
    "metadata",
    MapOf(Text(), 1000, bytes_most=4096),
    "Your own names and values, at most 4 KiB as JSON. They have no effect.",
    {"plan": "pro"},
    default={},
)

EVENT_TYPE: Final = Noun(
    "event type",
    "eventTypes",
    "The event types of the organization, by name.",
    EVENT_TYPE_NAME,
    "The name of the event type.",
    "order.filled",
    (
        ConfigField(
            "description", _DESCRIPTION, "When such a message is sent.", "An order was filled.", required=True
        ),
        ConfigField(
            "schemas",
            MapOf(Json(), 100),
            "JSON Schemas of the payload by version, starting with `1`.",
            {"1": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}},
        ),
        ConfigField(
            "groupName",
            EVENT_TYPE_NAME,
            "Event types with the same group are shown together.",
            "order",
        ),
        ConfigField(
            "featureFlags",
            ListOf(EVENT_TYPE_NAME, 100),
            "Customers see the event type only if their token or portal link has one of these flags.",
            ["beta"],
            default=[],
        ),
        ConfigField(
            "deprecated", Flag(), "Shown to customers. It has no other effect.", False, default=False
        ),
        ConfigField(
            "archived",
            Flag(),
            "Archived event types are not listed. Messages can still be sent.",
            False,
            default=False,
        ),
    ),
)

ENDPOINT: Final = Noun(
    "endpoint",
    "endpoints",
    "The endpoints of the application, by uid. If it is missing, no endpoint is changed. Endpoints without a "
    "uid, such as those that customers create in the portal, are never changed.",
    _uid("ep_"),
    "The uid of the endpoint, your own name for it.",
    "orders",
    (
        ConfigField(
            "url",
            Secret(plain=Text(accepted="a URL, {env: NAME} or {file: PATH}", least=1, most=65_536)),
            "The URL that messages are sent to. A URL with a password is given by reference.",
            "https://example.com/webhooks",
            required=True,
        ),
        ConfigField(
            "description", _DESCRIPTION, "What the endpoint is for.", "Orders of the web shop", default=""
        ),
        ConfigField(
            "eventTypes",
            ListOf(_PATTERN, 1000, least=1),
            "Event types by name or wildcard (`order.*`, `*`). Missing: every type.",
            ["order.*"],
        ),
        ConfigField(
            "channels",
            ListOf(Text(r"[a-zA-Z0-9\-_.:+]{1,128}", "1 to 128 of a-z A-Z 0-9 - _ . : +"), 10, least=1),
            "Only messages with one of these channels. Missing: every message.",
            ["warehouse"],
        ),
        ConfigField(
            "throttleRate",
            _RATE,
            "Deliveries per second. Missing: the limit of the application.",
            50,
        ),
        ConfigField(
            "fifo",
            Flag(),
            "Deliver one message at a time, strictly in order of acceptance.",
            False,
            default=False,
        ),
        _METADATA,
        ConfigField(
            "disabled",
            Flag(),
            "A disabled endpoint gets no deliveries. Missing: not changed, so an endpoint that was disabled "
            "because it failed stays disabled.",
            False,
            kept=True,
        ),
        ConfigField(
            "headers",
            MapOf(Secret(plain=Text(), keep=True), 64),
            "Headers of each request, by name. Missing: not changed. Values that are secret are given by "
            "reference.",
            {"X-Shop": "1", "Authorization": {"env": "ACME_AUTHORIZATION"}},
            kept=True,
        ),
        ConfigField(
            "secret",
            Secret(),
            "The signing secret: `whsec_` and base64 of 24 to 75 bytes, or `whsk_` and base64 of an Ed25519 "
            "key. Missing: not changed, and generated for a new endpoint. A change is a rotation: the old "
            "secret also signs for a day.",
            {"env": "ACME_WEBHOOK_SECRET"},
            kept=True,
        ),
    ),
)

KEY: Final = Noun(
    "key",
    "keys",
    "API keys of the product's own API, by name. If it is missing, no key is changed. The values of new keys "
    "are written to the file of `--new-keys`.",
    Text(r"[^\x00-\x1f]{1,256}", "1 to 256 characters without control characters"),
    "The name of the key.",
    "Production",
    (
        ConfigField(
            "scope",
            Text(r"[^\x00-\x1f]{1,256}", "a scope of the profile"),
            "What the key may do: a scope of the profile. It cannot be changed.",
            "organization",
            required=True,
            fixed=True,
        ),
    ),
)

KINDS: Final = (
    "endpoint.disabled", "endpoint.failing", "message.exhausted", "quota.hard", "quota.soft"
)  # fmt: skip
CONTACT: Final = Noun(
    "contact",
    "contacts",
    "People who are mailed alerts of the application, by email address. If it is missing, no contact is "
    "changed. A new contact is mailed a link to confirm first.",
    Text(EMAIL, "an email address such as user@example.com", most=MAX_EMAIL),
    "The email address.",
    "dev@example.com",
    (
        ConfigField(
            "kinds",
            ListOf(Text("|".join(map(re.escape, KINDS)), f"one of {', '.join(KINDS)}"), len(KINDS), least=1),
            "What is reported to the contact. Missing: everything.",
            ["endpoint.disabled", "message.exhausted"],
            default=list(KINDS),
        ),
    ),
    any_case=True,
    most=10,
)

APPLICATION: Final = Noun(
    "application",
    "applications",
    "The applications of the organization, by uid. Applications without a uid are never changed.",
    _uid("app_"),
    "The uid of the application, your own name for the customer.",
    "acme",
    (
        ConfigField(
            "name",
            Text(rf"[^{_CONTROL}]+", "text of 1 to 256 characters without control characters", most=256),
            "A name to display.",
            "Acme Inc.",
            required=True,
        ),
        ConfigField(
            "throttleRate",
            _RATE,
            "Deliveries per second to each endpoint without a limit of its own. Missing: no limit.",
            50,
        ),
        _METADATA,
        ConfigField(
            "quota",
            Quota(),
            "Limits of this application. A limit that is missing is the default. Without `quota` no limit is "
            "changed.",
            {"messagesSoft": 80_000, "messagesHard": 100_000},
            kept=True,
        ),
    ),
    (ENDPOINT, KEY, CONTACT),
)

TOP: Final = (EVENT_TYPE, APPLICATION)
ORGANIZATION: Final[dict[str, ConfigField]] = {
    one.name: one
    for one in (
        ConfigField(
            "id",
            Text(r"org_[0-9A-Za-z_.\-]{1,200}", "an organization ID, org_…"),
            "The organization. A token of another organization is refused.",
            "org_23rb8YdGqMT0qIzpgGwdXfHirMu",
            kept=True,
        ),
        ConfigField(
            "profile",
            Text(r"[a-z0-9][a-z0-9\-_]{0,63}", "the name of a profile"),
            "The profile, which defines the product. It can be given once, and not be changed.",
            "standard",
            kept=True,
        ),
    )
}


def filled(noun: Noun, given: dict[str, Any]) -> dict[str, Any]:
    """The fields of an object with the defaults of those that are missing or null."""
    found = {}
    for one in noun.fields:
        if given.get(one.name) is not None:
            found[one.name] = given[one.name]
        elif not one.kept:
            found[one.name] = one.default
    return found
