"""The linter of texts finds what it is to find, and nothing in code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import prose


def lines(monkeypatch: pytest.MonkeyPatch, path: Path, text: str) -> list[str]:
    """What is found in a file of this name and text."""
    monkeypatch.setattr(prose, "ROOT", path.parent)
    path.write_text(text)
    return list(prose.found(path))


def test_a_phrase_is_found_with_its_line_and_what_to_write(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = "# A page\n\nWhat is owed is sent.\n"
    assert lines(monkeypatch, tmp_path / "page.md", text) == [
        "page.md:3: “owed”: write pending; to deliver",
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "page.md",
            "Run it.\n\n```python\nowed = 1\n```\n\nThe table `owed`, [a page](owed.md), followed.\n",
        ),
        ("module.py", "owed = settle(1)\n"),
        ("page.html", "<p class=owed>{{ owed }}{# owed #}</p>\n"),
    ],
)
def test_code_is_not_prose(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, text: str) -> None:
    assert lines(monkeypatch, tmp_path / name, text) == []


def test_strings_docstrings_and_comments_of_python_are_prose(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = '"""Whoever\ncalls, mends."""\nERROR = "in hand"  # lest\n'
    assert [line.split(":")[1] for line in lines(monkeypatch, tmp_path / "module.py", text)] == [
        "1",
        "2",
        "3",
        "3",
    ]


PROGRAM = '''"""Nobody."""


def f():
    """Nobody."""
    x = "nobody"  # nobody
    return {
        "nobody": 1,
    }
'''


def test_of_tests_only_docstrings_and_comments_are_prose(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "tests").mkdir()
    monkeypatch.setattr(prose, "ROOT", tmp_path)
    path = tmp_path / "tests" / "test_it.py"
    path.write_text(PROGRAM)
    assert [line.split(":")[1] for line in prose.found(path)] == ["1", "5", "6"]


def test_comments_of_sql_are_prose(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = "-- Nobody waits.\nselect owed -- lest\n"
    assert [line.split(":")[1] for line in lines(monkeypatch, tmp_path / "query.sql", text)] == ["1", "2"]
