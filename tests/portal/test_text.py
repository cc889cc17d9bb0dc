"""The texts of pages are in one catalogue, and in nothing else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Final

import jinja2
import pytest
from jinja2 import nodes
from markupsafe import Markup

import angarium.portal
from angarium.portal.kit import text
from angarium.portal.kit.text import Text, catalogue, t

ROOT: Final = Path(angarium.portal.__file__).parent
TEMPLATES: Final = sorted((ROOT / "templates").rglob("*.html"))
MODULES: Final = sorted(ROOT.rglob("*.py"))
TEXTS: Final = catalogue("en")
TAGS: Final = {"a", "code", "strong", "span"}
# attributes that people see or hear
SPOKEN: Final = re.compile(r'\b(alt|title|placeholder|aria-label|data-label)="([^"]*)"')
ENVIRONMENT: Final = jinja2.Environment(autoescape=True)


@dataclass(frozen=True)
class Call:
    """A text that something asks for: the ids that it may have, and its values."""

    place: str
    names: tuple[str, ...]
    values: frozenset[str]


def forms(entry: Text) -> Iterable[str]:
    return [entry] if isinstance(entry, str) else entry.values()


def fields(entry: Text) -> set[str]:
    return {name for form in forms(entry) for _, name, _, _ in Formatter().parse(form) if name}


def below(start: str) -> tuple[str, ...]:
    return tuple(name for name in TEXTS if name.startswith(start))


def of_template(path: Path) -> Iterator[Call]:
    tree = ENVIRONMENT.parse(path.read_text())
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name == "t":
            assert len(call.args) == 1, f"{path.name}: {call}"
            values = frozenset(one.key for one in call.kwargs)
            yield Call(path.name, tuple(_of_node(call.args[0])), values)


def _of_node(node: nodes.Node) -> Iterator[str]:
    match node:
        case nodes.Const(value=str() as name):
            yield name
        case nodes.CondExpr(expr1=one, expr2=nodes.Node() as other):
            yield from _of_node(one)
            yield from _of_node(other)
        case nodes.Concat(nodes=[nodes.Const(value=start), *_]):
            yield from below(start) or [start]
        case _:
            raise AssertionError(f"an id that cannot be found: {node}")


def of_module(path: Path) -> Iterator[Call]:
    for call in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "t"):
            continue
        names = tuple(_of_expression(call.args[0]))
        given = {one.arg for one in call.keywords if one.arg} | ({"count"} if len(call.args) > 1 else set())
        if names:
            yield Call(path.name, names, frozenset(given))


def _of_expression(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Constant(value=str() as name):
            yield name
        case ast.IfExp(body=one, orelse=other):
            yield from _of_expression(one)
            yield from _of_expression(other)
        case ast.JoinedStr(values=[ast.Constant(value=str() as start), *rest]):
            end = rest[-1].value if isinstance(rest[-1], ast.Constant) else ""
            found = [name for name in below(start) if name.endswith(str(end))]
            yield from found or [start]


CALLS: Final = [
    *(call for path in TEMPLATES for call in of_template(path)),
    *(call for path in MODULES for call in of_module(path)),
]


def test_every_text_that_is_asked_for_exists() -> None:
    assert len(CALLS) > 400
    assert [(call.place, name) for call in CALLS for name in call.names if name not in TEXTS] == []


def test_every_text_is_asked_for() -> None:
    asked = {name for call in CALLS for name in call.names}
    # ids that a table holds, such as those of error pages
    asked |= {
        node.value
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    # ids that are put together from a value that is checked by `known`
    asked |= {name for start in ("task.kind.", "done.") for name in below(start)}
    assert sorted(TEXTS.keys() - asked) == []


def test_every_value_of_a_text_is_given_and_none_is_given_in_vain() -> None:
    for call in CALLS:
        wanted = [fields(TEXTS[name]) for name in call.names]
        given = call.values - {"exact"}
        for name, needs in zip(call.names, wanted, strict=True):
            assert needs <= given, f"{call.place}: {name} needs {needs - given}"
        assert given <= {"count"}.union(*wanted), f"{call.place}: {call.names} does not use {given}"


def test_every_text_with_forms_is_asked_for_with_a_count() -> None:
    for call in CALLS:
        for name in call.names:
            if not isinstance(TEXTS[name], str):
                assert "count" in call.values, f"{call.place}: {name}"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_has_no_text_of_its_own(path: Path) -> None:
    parts, within = [], False
    for _, kind, value in ENVIRONMENT.lex(path.read_text()):
        if kind == "data" and not within:
            parts.append(value)
        elif kind in ("variable_begin", "variable_end"):
            within = kind == "variable_begin"
            parts.append("{" if within else "}")
    html = "".join(parts)
    spoken = [words for _, words in SPOKEN.findall(html) if re.search(r"[A-Za-z]{2}", words)]
    assert spoken == []
    visible = re.sub(r"<[^<>]*>", " ", re.sub(r'"[^"]*"', '""', html).replace("<!doctype html>", ""))
    assert re.findall(r"[A-Za-z]{2,}[^\n]*", visible) == []


def test_a_text_has_known_tags_only_and_closes_them() -> None:
    for name, entry in TEXTS.items():
        for form in forms(entry):
            opened = re.findall(r"<(\w+)", form)
            assert set(opened) <= TAGS, name
            assert sorted(opened) == sorted(re.findall(r"</(\w+)>", form)), name
            assert form == form.strip(), name


def test_values_are_escaped() -> None:
    assert t("form.fault.type_unknown", name="<b>&") == "Unknown event type: &lt;b&gt;&amp;"
    assert t("form.fault.type_unknown", name=Markup("<b>")) == "Unknown event type: <b>"


def test_a_count_chooses_the_form() -> None:
    assert t("dead_letters.messages", 1) == "1 message"
    assert t("dead_letters.messages", 12000) == "12,000 messages"
    assert t("dead_letters.messages", 1000, exact=False) == "more than 1,000 messages"
    assert t("resend.count", 0, exact=False) == "There is nothing to send again"


def test_a_language_has_its_own_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    polish = {"message": {"one": "{count} a", "few": "{count} b", "other": "{count} c"}}
    monkeypatch.setattr(text, "LANGUAGE", "pl")
    monkeypatch.setattr(text, "catalogue", lambda _: polish)
    monkeypatch.setattr(text, "PLURALS", {"pl": lambda count: "few" if count in (2, 3, 4) else "other"})
    assert [t("message", count) for count in (3, 5)] == ["3 b", "5 c"]


def test_an_unknown_text_is_an_error() -> None:
    with pytest.raises(KeyError):
        t("no.such.text")
    assert not text.known("no.such.text")
