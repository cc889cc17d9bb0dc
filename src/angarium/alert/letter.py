"""Composes what an alert says, independent of whether it becomes a mail or a call of a webhook.

It names endpoints, failures and what to do, never payloads, secrets or whole URLs. Names that customers chose
are made one line. The texts are plain text in `en.toml`, by id; code that makes HTML of them escapes them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from angarium.core import ids
from angarium.core.alert import AlertKind, Digest, Entry, Sum
from angarium.core.contact import one_line
from angarium.core.failure import kind_of
from angarium.core.nouns import DisabledReason

_TEXTS: Final = Path(__file__).with_name("en.toml")
_KEYS: Final = {
    AlertKind.QUOTA_HARD: "quota_hard",
    AlertKind.DISABLED: "disabled",
    AlertKind.FAILING: "failing",
    AlertKind.EXHAUSTED: "exhausted",
    AlertKind.QUOTA_SOFT: "quota_soft",
}
_QUOTAS: Final = frozenset({AlertKind.QUOTA_SOFT, AlertKind.QUOTA_HARD})
_REASONS: Final = frozenset({DisabledReason.FAILING, DisabledReason.GONE})


@dataclass(frozen=True, slots=True)
class LetterLink:
    """A link with its label."""

    label: str
    url: str


@dataclass(frozen=True, slots=True)
class LetterItem:
    """An endpoint or an application: its name, and what is to be known of it."""

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """The endpoints or, for limits, the applications of one kind."""

    title: str
    step: str
    items: tuple[LetterItem, ...]
    more: str | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """What is said. `footer`: texts, or links."""

    subject: str
    lead: tuple[str, ...]
    groups: tuple[Group, ...] = ()
    action: LetterLink | None = None
    after: tuple[str, ...] = ()
    footer: tuple[str | LetterLink, ...] = ()
    unsubscribe: str | None = None  # the URL, for the header


def confirmation(product: str, application: str, url: str) -> Letter:
    """Asks the owner of an address whether it may get alerts."""
    product, application = one_line(product), one_line(application)
    return Letter(
        _t("subject.confirm", application=application),
        (_t("lead.confirm", product=product, application=application),),
        action=LetterLink(_t("action.confirm"), url),
        after=(_t("lead.confirm_ignore"),),
    )


def trial() -> Letter:
    """A test, for an operator."""
    return Letter(_t("subject.test"), (_t("lead.test"),))


def for_contact(digest: Digest, prefix: str, unsubscribe: str, portal: str | None) -> Letter:
    """A digest for a contact of an application.

    `prefix`: of the product's endpoint ids. `portal`: the URL of the application's pages.
    """
    application = one_line(digest.entries[0].application)
    return Letter(
        _t("subject.of", what=_subject(digest), application=application),
        (_t("lead.contact", application=application),),
        _groups(
            digest,
            lambda one: (
                application
                if one.kind in _QUOTAS
                else _t("entry.named", name=one_line(one.name), ref=_ref(one, prefix))
            ),
        ),
        None if portal is None else LetterLink(_t("action.portal"), portal),
        footer=(
            _t("footer.why", application=application),
            _t("footer.digest"),
            LetterLink(_t("footer.unsubscribe"), unsubscribe),
        ),
        unsubscribe=unsubscribe,
    )


def for_operator(digest: Digest, admin: str | None) -> Letter:
    """A digest for the operator, of all applications."""
    names = {one_line(one.application) for one in digest.entries}
    subject = _subject(digest)
    if len(names) == 1:
        subject = _t("subject.of", what=subject, application=names.pop())
    return Letter(
        subject,
        (_t("lead.operator"),),
        _groups(
            digest,
            lambda one: (
                _t(
                    "entry.named",
                    name=one_line(one.application),
                    ref=ids.text(ids.APPLICATION, one.app_id),
                )
                if one.kind in _QUOTAS
                else _t(
                    "entry.owned",
                    application=one_line(one.application),
                    name=one_line(one.name),
                    ref=_ref(one, ids.ENDPOINT),
                )
            ),
        ),
        None if admin is None else LetterLink(_t("action.admin"), admin),
        footer=(_t("footer.operator"), _t("footer.digest")),
    )


def _ref(entry: Entry, prefix: str) -> str:
    return ids.text(prefix, entry.endpoint_id)


def _subject(digest: Digest) -> str:
    """The most severe kind, with its count."""
    kind = next(kind for kind in _KEYS if kind in digest.sums)
    found = digest.sums[kind]
    return _t(f"subject.{_KEYS[kind]}", found.count if kind is AlertKind.EXHAUSTED else found.endpoints)


def _groups(digest: Digest, title: Callable[[Entry], str]) -> tuple[Group, ...]:
    return tuple(_each(digest.entries, digest.sums, title))


def _each(
    entries: list[Entry], sums: Mapping[AlertKind, Sum], title: Callable[[Entry], str]
) -> Iterator[Group]:
    for kind, key in _KEYS.items():
        named = [one for one in entries if one.kind is kind]
        if not named:
            continue
        rest = sums[kind].endpoints - len(named)
        yield Group(
            _t(f"group.{key}", sums[kind].endpoints),
            _t(f"step.{key}"),
            tuple(LetterItem(title(one), tuple(_lines(one))) for one in named),
            _t("group.more_applications" if kind in _QUOTAS else "group.more", rest) if rest > 0 else None,
        )


def _lines(entry: Entry) -> Iterator[str]:
    first, last = (
        f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}" for at in (entry.first_at, entry.last_at)
    )
    when = _t("entry.time", first=first) if first == last else _t("entry.times", first=first, last=last)
    if entry.kind is AlertKind.EXHAUSTED:
        when = f"{_t('entry.messages', entry.count)}, {when}"
    yield when
    if entry.code is None:
        return
    if entry.kind in _QUOTAS:
        # one notice for both limits says what was reached last
        yield _t(f"quota.{entry.code}" if entry.count == 1 else "quota.both")
        return
    if entry.kind is AlertKind.DISABLED:
        if entry.code in _REASONS:
            yield _t(f"reason.{entry.code}")
        return
    kind = kind_of(entry.code)
    yield _t("entry.failure", title=kind.title, advice=kind.advice)


@cache
def _texts() -> dict[str, Any]:
    """The texts by section and name."""
    return tomllib.loads(_TEXTS.read_text("utf-8"))


def _t(name: str, /, count: int | None = None, **values: object) -> str:
    """The text with this id. `count` chooses its form and is one of its values, with grouped digits."""
    section, _, key = name.partition(".")
    found = _texts()[section][key]
    if count is not None:
        values["count"] = f"{count:,}"
        found = found["one" if count == 1 else "other"]
    assert isinstance(found, str), f"{name} needs a count"
    return found.format(**values)
