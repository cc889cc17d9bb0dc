"""Reads from a server what an organization has, as far as configuration files describe it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from angarium.cli.configuration.fault import Faults, Path
from angarium.cli.configuration.field import KEEP, Noun, SecretReference
from angarium.cli.configuration.noun import APPLICATION, CONTACT, ENDPOINT, EVENT_TYPE, KEY
from angarium.cli.configuration.plan import HIDDEN, NO_PROFILE
from angarium.cli.configuration.state import ConfigItem, ConfigState
from angarium.client.angarium import Angarium
from angarium.client.error import Refused

LISTENER: Final = "listener."  # the uids of `angarium listen`, which come and go
_TYPES, _APPS, _ENDPOINTS, _KEYS, _CONTACTS = (
    one.plural for one in (EVENT_TYPE, APPLICATION, ENDPOINT, KEY, CONTACT)
)


@dataclass(slots=True)
class Current:
    """What was read. `unnamed`: how many objects have no uid, by noun; files cannot describe these."""

    state: ConfigState = field(default_factory=ConfigState)
    unnamed: dict[str, int] = field(default_factory=dict)


def everything(client: Angarium) -> Current:
    """All that files can describe."""
    found = Current()
    profile = _organization(client)["profile"]
    if profile != NO_PROFILE:
        found.state.organization = {"profile": profile}
    _event_types(client, found)
    apps = _applications(client, found)
    for uid in apps:
        path = (_APPS, uid, _ENDPOINTS)
        found.state.sections.add(path)
        _endpoints(client, found, path, headers=True)
        if _contacts(client, found, section := (_APPS, uid, _CONTACTS)):
            found.state.sections.add(section)
        _quota(client, found, uid)
    if any(item.noun is KEY for item in _all_keys(client, found, apps)):
        found.state.sections |= {(_APPS, item.path[1], _KEYS) for item in found.state.of(KEY)}
    return found


def of(client: Angarium, wanted: ConfigState) -> Current:
    """What is there in the sections of `wanted`."""
    found = Current()
    found.state.organization = _organization(client)
    if (_TYPES,) in wanted.sections:
        _event_types(client, found)
    if (_APPS,) not in wanted.sections:
        return found
    apps = _applications(client, found)
    for section in sorted(wanted.sections):
        if section[-1] == _ENDPOINTS and section[1] in apps:
            with_headers = {
                item.path
                for item in wanted.of(ENDPOINT)
                if item.path[:-1] == section and "headers" in item.fields
            }
            found.state.sections.add(section)
            _endpoints(client, found, section, headers=with_headers)
        if section[-1] == _CONTACTS and section[1] in apps:
            found.state.sections.add(section)
            _contacts(client, found, section)
    for item in wanted.of(APPLICATION):
        if "quota" in item.fields and item.key in apps:
            _quota(client, found, item.key)
    if any(section[-1] == _KEYS for section in wanted.sections):
        _all_keys(client, found, apps)
    return found


def event_types(client: Angarium) -> ConfigState:
    """The event types only, with archived ones."""
    found = Current()
    _event_types(client, found)
    return found.state


def differing(
    client: Angarium, wanted: ConfigState, current: ConfigState, values: Mapping[Path, str], faults: Faults
) -> set[Path]:
    """Paths of URLs, secrets and headers that differ: the server compares those that it does not show.

    What the server refuses, such as a URL, becomes a fault.
    """
    found: set[Path] = set()
    for item in wanted.of(ENDPOINT):
        before = current.items.get(item.path)
        if before is not None and (asked := _asked(item, before, values)):
            try:
                answer = client.call("POST", f"{_address(item.path)}/compare", asked)
            except Refused as error:
                if error.status != 422:
                    raise
                faults.add(item.path, error.detail)
                continue
            found |= {(*item.path, name) for name in ("url", "secret") if answer[name]}
            found |= {(*item.path, "headers", name) for name in answer["headers"]}
    return found


def _asked(item: ConfigItem, before: ConfigItem, values: Mapping[Path, str]) -> dict[str, Any]:
    """What the server is asked to compare."""
    asked: dict[str, Any] = {}
    url = item.fields["url"]
    if isinstance(url, SecretReference) or url != before.fields["url"]:
        asked["url"] = values[(*item.path, "url")] if isinstance(url, SecretReference) else url
    if "secret" in item.fields:
        asked["secret"] = values[(*item.path, "secret")]
    shown = {name.lower() for name, value in before.fields.get("headers", {}).items() if value is not HIDDEN}
    headers = {}
    for name, value in item.fields.get("headers", {}).items():
        if isinstance(value, SecretReference):
            if value.kind != KEEP:
                headers[name] = values[(*item.path, "headers", name)]
        elif name.lower() not in shown:
            headers[name] = value
    return asked | ({"headers": headers} if headers else {})


def _organization(client: Angarium) -> dict[str, Any]:
    found = client.call("GET", "/organization")
    return {"id": found["id"], "profile": found["profile"]}


def _event_types(client: Angarium, found: Current) -> None:
    found.state.sections.add((_TYPES,))
    for one in client.each("/event-type", include_archived=True, with_content=True):
        found.state.add(EVENT_TYPE, (_TYPES, one["name"]), _fields(EVENT_TYPE, one))


def _applications(client: Angarium, found: Current) -> dict[str, str]:
    """Ids by uid."""
    found.state.sections.add((_APPS,))
    ids = {}
    for one in client.each("/app"):
        if (uid := one.get("uid")) is None:
            found.unnamed[APPLICATION.name] = found.unnamed.get(APPLICATION.name, 0) + 1
            continue
        ids[uid] = one["id"]
        found.state.add(APPLICATION, (_APPS, uid), _fields(APPLICATION, one))
    return ids


def _endpoints(client: Angarium, found: Current, section: Path, headers: bool | Iterable[Path]) -> None:
    app = quote(str(section[1]), safe="")
    for one in client.each(f"/app/{app}/endpoint", order="ascending"):
        uid = one.get("uid")
        if uid is None or uid.startswith(LISTENER):
            if uid is None:
                found.unnamed[ENDPOINT.name] = found.unnamed.get(ENDPOINT.name, 0) + 1
            continue
        path = (*section, uid)
        fields = _fields(ENDPOINT, one)
        fields["disabled"] = one["disabled"]
        if headers is True or (headers and path in headers):
            answer = client.call("GET", f"{_address(path)}/headers")
            fields["headers"] = answer["headers"] | dict.fromkeys(answer["sensitive"], HIDDEN)
        found.state.add(ENDPOINT, path, fields)


def _contacts(client: Angarium, found: Current, section: Path) -> int:
    """How many there are."""
    contacts = client.call("GET", f"/app/{quote(str(section[1]), safe='')}/contact")["contacts"]
    for one in contacts:
        found.state.add(CONTACT, (*section, CONTACT.normal(one["email"])), _fields(CONTACT, one))
    return len(contacts)


def _quota(client: Angarium, found: Current, uid: str) -> None:
    """Adds the limits that the application has of its own."""
    own = client.call("GET", f"/app/{quote(uid, safe='')}/quota")["own"]
    item = found.state.items[_APPS, uid]
    found.state.add(APPLICATION, item.path, {**item.fields, "quota": own})


def _all_keys(client: Angarium, found: Current, apps: Mapping[str, str]) -> list[ConfigItem]:
    """Living keys. Of several with the same name, the last counts."""
    uids = {app_id: uid for uid, app_id in apps.items()}
    for one in client.call("GET", "/auth/credential")["data"]:
        if one["kind"] == "key" and one["revokedAt"] is None and one["applicationId"] in uids:
            path = (_APPS, uids[one["applicationId"]], _KEYS, one["name"])
            found.state.add(KEY, path, {"scope": one["scope"]})
    return list(found.state.of(KEY))


def _fields(noun: Noun, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the API that files have, in the normal form."""
    found = {}
    for one in noun.fields:
        if one.name in given and not (one.kept and given[one.name] is None):
            value = one.default if given[one.name] is None else given[one.name]
            found[one.name] = sorted(value) if isinstance(value, list) else value
    return found


def _address(path: Path) -> str:
    _, app, _, endpoint = map(str, path)
    return f"/app/{quote(app, safe='')}/endpoint/{quote(endpoint, safe='')}"
