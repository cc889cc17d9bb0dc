from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest

from angarium.service import intake as module
from angarium.service.intake import Large
from angarium.store.accept import Item, Stored

APP = UUID(int=1)
FITS, LATE, LARGE = Stored(APP, True), Stored(APP, True, True), Stored(APP, True, True, True)
UNKNOWN, REPEATED = Stored(None, False), Stored(APP, False)


def items(*apps: str) -> list[Item]:
    at = datetime(2027, 1, 1, tzinfo=UTC)
    return [Item(APP, "org_1", app, "a.b", b"", None, (), (), at, None, None, 0.0) for app in apps]


def learn(large: Large, apps: Sequence[str], stored: Sequence[Stored]) -> None:
    large.learn(items(*apps), stored)


def test_an_application_is_large_until_a_message_fits() -> None:
    large = Large()
    assert not large
    assert not large.among(items("a", "b"))
    learn(large, ["a", "b"], [LARGE, LATE])
    assert large
    assert set(large.among(items("a", "b", "c"))) == {"a"}
    assert not large.among(items("b"))
    learn(large, ["a", "a"], [LATE, REPEATED])
    learn(large, ["a"], [UNKNOWN])
    assert set(large.among(items("a"))) == {"a"}
    learn(large, ["a"], [FITS])
    assert not large


def test_only_so_many_are_remembered_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LARGE", 2)
    large = Large()
    for app in ("a", "b", "c"):
        learn(large, [app], [LARGE])
    assert set(large.among(items("a", "b", "c"))) == {"b", "c"}
