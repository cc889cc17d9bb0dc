"""Makes the steps of a plan, one request of the API or a few for each.

Every step can be repeated. What another caller has done in the meantime, such as creating the same object, is
not an error: the step then changes what is there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, Final
from urllib.parse import quote

from angarium.cli.configuration.fault import Path
from angarium.cli.configuration.field import KEEP, SecretReference
from angarium.cli.configuration.noun import APPLICATION, CONTACT, ENDPOINT, EVENT_TYPE, KEY
from angarium.cli.configuration.plan import Action, Hidden, PlanStep, kept_headers
from angarium.cli.configuration.quota import NAMES
from angarium.cli.configuration.secret import with_values
from angarium.cli.configuration.state import PART
from angarium.client.angarium import Angarium
from angarium.client.error import Refused

NewKey = Callable[[Mapping[str, Any]], None]
_CONFLICT: Final = 409
_GONE: Final = 404


@contextmanager
def key_file(path: FilePath) -> Iterator[NewKey]:
    """Appends new keys to a file that only its owner can read, each as JSON on a line of its own."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "a", encoding="utf-8") as file:

        def add(key: Mapping[str, Any]) -> None:
            file.write(json.dumps(key, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())

        yield add


@dataclass(frozen=True, slots=True)
class CarryOut:
    """Makes steps on a server. `values`: secrets by path. `new_key` gets the values of new keys."""

    client: Angarium
    values: Mapping[Path, str]
    new_key: NewKey

    def make(self, step: PlanStep) -> None:
        """Raises a ClientError if the server refuses it or does not respond."""
        if step.kind == PART:
            self.client.call("PUT", "/organization", dict(step.fields or {}))
        elif step.action in (Action.DELETE, Action.ARCHIVE):
            self._delete(step)
        else:
            {
                EVENT_TYPE.name: self._event_type,
                APPLICATION.name: self._application,
                CONTACT.name: self._contact,
                ENDPOINT.name: self._endpoint,
                KEY.name: self._key,
            }[step.kind](step)

    def _event_type(self, step: PlanStep) -> None:
        fields = dict(step.fields or {})
        fields = {name: value for name, value in fields.items() if value is not None}
        try:
            self.client.call("PUT", _address(step.path), fields)
        except Refused as error:
            if error.status != _CONFLICT:
                raise
            self.client.call("PUT", _address(step.path), fields)  # another caller has created it at once

    def _application(self, step: PlanStep) -> None:
        fields = dict(step.fields or {})
        quota = fields.pop("quota", None)
        changed = {one.root for one in step.changes}
        created = step.action is Action.CREATE and self._created("/app", fields | {"uid": step.path[-1]})
        if not created and changed != {"quota"}:
            self.client.call("PATCH", _address(step.path), fields)
        if quota is not None and (step.action is Action.CREATE or "quota" in changed):
            limits = {name: quota.get(name) for name in NAMES}
            self.client.call("PATCH", f"{_address(step.path)}/quota", limits)

    def _contact(self, step: PlanStep) -> None:
        body = {"email": step.path[-1], "kinds": (step.fields or {})["kinds"]}
        self.client.call("POST", f"{_address(step.path[:2])}/contact", body)

    def _endpoint(self, step: PlanStep) -> None:
        given = step.fields or {}
        fields = {name: with_values(name, value, step.path, self.values) for name, value in given.items()}
        address, changed = _address(step.path), {one.root for one in step.changes}
        if step.action is Action.CREATE:
            whole = {name: value for name, value in fields.items() if value is not None}
            if self._created(address.rpartition("/")[0], whole | {"uid": step.path[-1]}):
                return
            changed = set(fields)
        secret, headers = fields.pop("secret", None), fields.pop("headers", None)
        if "url" in changed and "headers" in given and not kept_headers(given["headers"]):
            # a new host gets secret headers only together with its URL
            self._replace(address, fields, headers, step)
        else:
            plain = {name: value for name, value in fields.items() if name in changed}
            if plain:
                self.client.call("PATCH", address, plain)
            if "headers" in changed:
                self._headers(f"{address}/headers", headers, step)
        if "secret" in changed and secret is not None:
            self.client.call("POST", f"{address}/secret/rotate", {"key": secret})

    def _replace(self, address: str, fields: dict[str, Any], headers: Any, step: PlanStep) -> None:
        current = self.client.call("GET", address)
        kept = {name: current[name] for name in ("disabled", "version")}
        whole = kept | fields | {"uid": step.path[-1], "headers": headers}
        self.client.call("PUT", address, {name: one for name, one in whole.items() if one is not None})

    def _headers(self, address: str, headers: Mapping[str, str], step: PlanStep) -> None:
        """Set all, and remove those that are not wanted any more. Those that are kept are not named."""
        gone = [
            one.field.partition(".")[2]
            for one in step.changes
            if one.field.startswith("headers.") and one.after is None
        ]
        self.client.call("PATCH", address, {"headers": dict(headers), "deleteHeaders": gone})

    def _key(self, step: PlanStep) -> None:
        _, app, _, name = map(str, step.path)
        body = {"application": app, "name": name, "scope": (step.fields or {})["scope"]}
        try:
            made = self.client.call("POST", "/auth/credential", body)
        except Refused as error:
            if error.status == _CONFLICT:
                return  # another caller has created it, and has its value
            raise
        self.new_key({"application": app, "name": name, **made})

    def _delete(self, step: PlanStep) -> None:
        try:
            if step.kind == KEY.name:
                self._revoke(step)
            elif step.kind == CONTACT.name:
                self._remove(step)
            else:
                self.client.call("DELETE", _address(step.path))
        except Refused as error:
            if error.status != _GONE:
                raise

    def _revoke(self, step: PlanStep) -> None:
        """All keys of the application with the name."""
        _, app, _, name = map(str, step.path)
        app_id = self.client.call("GET", f"/app/{quote(app, safe='')}")["id"]
        for one in self.client.call("GET", "/auth/credential")["data"]:
            if (one["kind"], one["applicationId"], one["name"]) == ("key", app_id, name):
                self.client.call("POST", "/auth/credential/revoke", {"id": one["id"]})

    def _remove(self, step: PlanStep) -> None:
        address = f"{_address(step.path[:2])}/contact"
        for one in self.client.call("GET", address)["contacts"]:
            if one["email"].lower() == step.path[-1]:
                self.client.call("DELETE", f"{address}/{one['id']}")

    def _created(self, path: str, body: dict[str, Any]) -> bool:
        """Whether it was created; not if it exists."""
        try:
            self.client.call("POST", path, {name: one for name, one in body.items() if one is not None})
        except Refused as error:
            if error.status == _CONFLICT:
                return False
            raise
        return True


def described(step: PlanStep) -> dict[str, Any]:
    """A step as JSON, without secrets."""
    changes = []
    for one in step.changes:
        values = {} if one.secret else {"before": one.before, "after": one.after}
        changes.append({"field": one.field, "secret": one.secret, **values})
    return {
        "action": step.action.value, "kind": step.kind, "path": list(step.path), "changes": changes
    }  # fmt: skip


def public(value: Any) -> Any:
    """A value of a field without secrets: a reference is shown as it is in the file."""
    if isinstance(value, Hidden):
        return "(secret)"
    if isinstance(value, SecretReference):
        return {value.kind: True if value.kind == KEEP else value.name}
    if isinstance(value, Mapping):
        return {name: public(one) for name, one in value.items()}
    return value


def _address(path: Path) -> str:
    """`("applications", "acme", "endpoints", "orders")` as a path of the API."""
    segments = {EVENT_TYPE.plural: "event-type", APPLICATION.plural: "app", ENDPOINT.plural: "endpoint"}
    parts = [str(one) for one in path]
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return "".join(f"/{segments[section]}/{quote(key, safe='')}" for section, key in pairs)
