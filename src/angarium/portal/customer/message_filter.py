"""Reads the filter of the message log from a URL, describes it and writes it back.

Times in URLs are UTC; pages with scripts show local times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID

from angarium.clock import datetime_at
from angarium.core import ids, timestamp
from angarium.core.errors import Invalid
from angarium.core.log_filter import LogFilter, LogStatus
from angarium.core.patterns import is_event_type
from angarium.portal.kit.form import Form
from angarium.portal.kit.text import t
from angarium.portal.kit.visit import Visit
from angarium.portal.kit.words import kind_words

PRESETS: Final = {
    "1h": timedelta(hours=1),
    "5h": timedelta(hours=5),
    "1d": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
CLASSES: Final = "023451"
"""The first digits of the responses to choose from; 0: none."""
_FIELDS: Final = ("type", "endpoint", "http", "error", "id", "tag", "channel", "within", "since", "until")
_TIMES: Final = ("since", "until")
_NAMES: Final = {
    "event_type": "type",
    "endpoint_id": "endpoint",
    "http_class": "http",
    "error_kind": "error",
    "message": "id",
}
"""Fields of the filter with other names in URLs."""
MAX_TEXT: Final = 256
_VALUES: Final = frozenset(status.value for status in LogStatus)
T = TypeVar("T")


class FilterQuery(Protocol):
    """The query of a URL, or the fields of a form."""

    def text(self, name: str) -> str: ...
    def all(self, name: str) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class RequestedFilter:
    """A requested filter: its fields as received, their meaning, and their errors."""

    statuses: tuple[str, ...]
    values: Mapping[str, str]
    wanted: LogFilter
    faults: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        """A field as received; empty if missing."""
        return self.values.get(name, "")

    @property
    def query(self) -> dict[str, Any]:
        """The query of a URL with the same filter."""
        return {"status": list(self.statuses), **self.values}

    @property
    def narrow(self) -> bool:
        """Whether the filter excludes anything."""
        return not self.wanted.empty

    def fixed(self, now: float) -> RequestedFilter:
        """The same filter with absolute times, up to now.

        Now includes the whole millisecond: ids of a batch are a microsecond apart and run ahead of the clock.
        """
        end = datetime_at(now)
        end = end.replace(microsecond=end.microsecond // 1000 * 1000 + 999)
        until = min(self.wanted.until or end, end)
        times = {"since": "" if self.wanted.since is None else _iso(self.wanted.since), "until": _iso(until)}
        values = {
            name: value for name, value in {**self.values, **times}.items() if value and name != "within"
        }
        return replace(self, values=values, wanted=replace(self.wanted, until=until))


def read(
    query: FilterQuery, now: float, message_prefix: str, endpoint_id: Callable[[str], UUID | None]
) -> RequestedFilter:
    """Reads the filter of a query. `endpoint_id` parses a public endpoint id."""
    values = {name: text for name in _FIELDS if (text := query.text(name)[:MAX_TEXT])}
    statuses = tuple(dict.fromkeys(query.all("status")))[: len(LogStatus)]
    faults: dict[str, str] = {}

    def understood(name: str, parse: Callable[[str], T | None], words: str) -> T | None:
        if name not in values:
            return None
        found = parse(values[name])
        if found is None:
            faults[name] = words
        return found

    known = [LogStatus(status) for status in statuses if status in _VALUES]
    if len(known) < len(statuses):
        faults["status"] = t("filter.fault.status")
    since, until = (understood(name, _time, t("filter.fault.time")) for name in _TIMES)
    for name, at in zip(_TIMES, (since, until), strict=True):
        if at is not None and len(values[name]) > len(timestamp.FORM_EXAMPLE):
            values[name] = _iso(at)  # inputs show only its start, so it must be UTC
    within = understood("within", PRESETS.get, t("filter.fault.within"))
    if since is None and within is not None:
        since = datetime_at(now) - within
    wanted = LogFilter(
        statuses=frozenset(known),
        event_type=values.get("type"),
        endpoint_id=understood("endpoint", endpoint_id, t("filter.fault.endpoint")),
        http_class=understood("http", _class, t("filter.fault.http")),
        error_kind=values.get("error"),
        message=understood("id", lambda text: _message_ref(text, message_prefix), t("filter.fault.id")),
        tag=values.get("tag"),
        channel=values.get("channel"),
        since=since,
        until=until,
    )
    try:
        wanted.check()
    except Invalid as error:
        for fault in error.faults:
            name = str(fault.loc[-1])
            faults.setdefault(_NAMES.get(name, name), fault.msg)
    return RequestedFilter(statuses, values, wanted, faults)


def described(wanted: LogFilter, endpoints: Mapping[UUID, str]) -> Sequence[tuple[str, Any]]:
    """The filter as labels and values, with times as datetimes. `endpoints`: names by id."""
    endpoint = "" if wanted.endpoint_id is None else endpoints.get(wanted.endpoint_id, "")
    lines: list[tuple[str, Any]] = [
        (t("filter.status"), _either([t(f"status.{one}") for one in LogStatus if one in wanted.statuses])),
        (t("filter.type"), wanted.event_type),
        (t("filter.endpoint"), endpoint),
        (t("filter.http"), None if wanted.http_class is None else t(f"filter.class.{wanted.http_class}")),
        (t("filter.error"), wanted.error_kind and kind_words(wanted.error_kind)),
        (t("filter.id"), wanted.message),
        (t("filter.tag"), wanted.tag),
        (t("filter.channel"), wanted.channel),
        (t("filter.since"), wanted.since),
        (t("filter.until"), wanted.until),
    ]
    return [(name, value) for name, value in lines if value]


def _either(words: Sequence[str]) -> str:
    if not words:
        return ""
    return reduce(lambda first, second: t("filter.status_or", first=first, second=second), words)


def _time(text: str) -> datetime | None:
    """Parses a time of the form, in UTC or with a zone."""
    try:
        return timestamp.parse_form(text)
    except ValueError:
        return None


def _class(text: str) -> int | None:
    return int(text) if text in tuple(CLASSES) else None


def _message_ref(text: str, prefix: str) -> str | None:
    """The native message id for a product's message id; or the sender's event id."""
    own = ids.parse(prefix, text)
    if own is not None:
        return ids.text(ids.MESSAGE, own)
    return text if is_event_type(text) else None


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def asked_of(visit: Visit, pairs: Iterable[tuple[str, str]], now: float | None = None) -> RequestedFilter:
    """The filter in a query or a form."""
    now = visit.now if now is None else now
    return read(Form(list(pairs)), now, visit.product.profile.ids.message, visit.parsed_endpoint)
