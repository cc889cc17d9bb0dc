"""Formats times, sizes, states and failures for pages; the filters of all templates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec
from markupsafe import Markup

from angarium import json_bounds
from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.failure import FAMILIES, title_of
from angarium.core.log_filter import LogStatus
from angarium.core.nouns import DisabledReason
from angarium.core.url import split_credentials
from angarium.portal.kit.text import t
from angarium.store.background_task import TaskStatus

MAX_SHOWN_URL: Final = 300
INDENT: Final = 2
LONGEST_INDENTED: Final = 4 * 1024 * 1024
"""Bytes of indentation that formatting may add to a payload."""
STATUS_KINDS: Final = {
    LogStatus.DELIVERED: "good",
    LogStatus.WAITING: "wait",
    LogStatus.RETRYING: "warn",
    LogStatus.FAILED: "bad",
    LogStatus.CANCELED: "none",
}
"""The kind of the badge of each status."""
TASK_KINDS: Final = {
    TaskStatus.RUNNING: "wait",
    TaskStatus.FINISHED: "good",
    TaskStatus.FAILED: "bad",
    TaskStatus.CANCELED: "none",
}
_UNITS: Final = ((86400 * 365, "year"), (86400 * 30, "month"), (86400, "day"), (3600, "hour"), (60, "minute"))
_DISABLED: Final = (DisabledReason.MANUAL, DisabledReason.GONE)  # all others say that it failed


def moment(at: datetime | float) -> Markup:
    """A time as an element, in UTC; portal.js makes it local."""
    when = at if isinstance(at, datetime) else datetime_at(at)
    when = when.astimezone(UTC)
    machine = when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Markup('<time datetime="{}">{}</time>').format(machine, _utc(when))


def ago(at: datetime | float, now: float) -> Markup:
    """A relative time as an element, with the exact time in its title."""
    when = at if isinstance(at, datetime) else datetime_at(at)
    when = when.astimezone(UTC)
    machine = when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    said = relative(when.timestamp() - now)
    return Markup('<time datetime="{}" title="{}" data-relative>{}</time>').format(machine, _utc(when), said)


def _utc(when: datetime) -> str:
    return t("time.utc", time=f"{when:%Y-%m-%d %H:%M:%S}")


def relative(seconds: float) -> str:
    """`5 minutes ago`, `in 2 hours`, `now`."""
    length = abs(seconds)
    if length < 10:
        return t("time.now")
    size, unit = next(((size, unit) for size, unit in _UNITS if length >= size), (1, "second"))
    return t(
        "time.future" if seconds > 0 else "time.past", length=t(f"time.unit.{unit}", int(length // size))
    )


def duration(milliseconds: float) -> str:
    """`87 ms`, `1.2 s`."""
    if milliseconds < 1000:
        return t("unit.milliseconds", number=f"{milliseconds:.0f}")
    return t("unit.seconds", number=f"{milliseconds / 1000:.1f}")


def number(value: float) -> str:
    """With grouped digits: 12,345."""
    return f"{value:,.0f}"


def size(count: int) -> str:
    """`812 B`, `1.4 kB`."""
    if count < 1000:
        return t("unit.bytes", number=count)
    return t("unit.kilobytes", number=f"{count / 1000:.1f}")


def status_words(code: int | None) -> str:
    """`404 Not Found`; `no response` for 0."""
    if not code:
        return t("response.none")
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def pretty(payload: bytes | None, longest: int = LONGEST_INDENTED) -> str:
    """Formatted JSON; unchanged if it is not JSON or would become much longer."""
    if payload is None:
        return ""
    depth, values = json_bounds.measure(payload)
    is_within = values <= json_bounds.MAX_VALUES and depth <= json_bounds.MAX_DEPTH
    if not is_within or values * depth * INDENT > longest:
        return plain(payload)
    try:
        return msgspec.json.format(payload, indent=INDENT).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return plain(payload)


def plain(payload: bytes | None) -> str:
    """Bytes as text; bytes that are not UTF-8 are escaped."""
    return "" if payload is None else payload.decode("utf-8", "backslashreplace")


def born(some_id: UUID) -> float:
    """The creation time of an id, epoch seconds."""
    return ids.created_at(some_id)


def share(rate: float | None) -> str:
    """`0 %`, `2.5 %`; a dash for None."""
    if rate is None:
        return t("page.none")
    percent = rate * 100
    digits = 1 if 0 < percent < 10 and percent != int(percent) else 0
    return t("unit.percent", number=f"{percent:.{digits}f}")


def span(seconds: float) -> str:
    """A duration in its largest unit: `24 hours`, `1 minute`."""
    for size, unit in ((86400 * 2, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size:
            return t(f"time.unit.{unit}", round(seconds / (86400 if unit == "day" else size)))
    return t("time.none")


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


class Named(Protocol):
    """An object with the fields of an endpoint's name."""

    @property
    def url(self) -> str: ...
    @property
    def name(self) -> str | None: ...
    @property
    def description(self) -> str: ...


def endpoint_name(endpoint: Named) -> str:
    """The display name of an endpoint."""
    return endpoint.name or endpoint.description or shown_url(endpoint.url)


def shown_url(url: str) -> str:
    """A URL without credentials, shortened if it is too long for a page."""
    bare = split_credentials(url)[0]
    return bare if len(bare) <= MAX_SHOWN_URL else f"{bare[:MAX_SHOWN_URL]}…"


def chosen_types(patterns: Sequence[str] | None) -> str:
    """`all events`, `order.* and 2 more`."""
    if patterns is None:
        return t("types.all")
    first, *rest = patterns or (t("types.none"),)
    return t("types.more", first=first, number=len(rest)) if len(rest) > 1 else ", ".join((first, *rest))


def disabled_words(reason: str | None) -> str:
    """The reason an endpoint is disabled, short."""
    return t(f"disabled.{reason if reason in _DISABLED else 'failing'}")


def disabled_sentence(reason: str | None) -> str:
    """The reason an endpoint is disabled, as a sentence."""
    return t(f"disabled.{reason if reason in _DISABLED else 'failing'}_long")


def failure_title(code: str | None) -> str:
    """`Connection timed out`, `401 Unauthorized`; nothing for None."""
    return "" if code is None else title_of(code)


def answered(status_code: int | None, code: str | None) -> str:
    """The result of the last attempt: its status, or the failure. Empty before the first attempt."""
    if status_code is None:
        return ""
    return status_words(status_code) if status_code else failure_title(code) or t("response.none_long")


def kind_words(kind: str) -> str:
    """The name of a kind in the filter; the short title for other codes."""
    return FAMILIES.get(kind) or failure_title(kind)


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "answered": answered,
    "status_kind": STATUS_KINDS.__getitem__,
    "task_kind": TASK_KINDS.__getitem__,
    "moment": moment,
    "ago": ago,
    "born": born,
    "duration": duration,
    "number": number,
    "size": size,
    "status_words": status_words,
    "pretty": pretty,
    "plain": plain,
    "share": share,
    "title_of": title_of,
    "span": span,
    "sentence": sentence,
    "shown_url": shown_url,
    "endpoint_name": endpoint_name,
    "chosen_types": chosen_types,
    "disabled_words": disabled_words,
    "disabled_sentence": disabled_sentence,
}
