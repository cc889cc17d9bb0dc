"""Data made into a type: what fits, what is refused, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, Optional, Union
from uuid import UUID

import msgspec
import pydantic
import pytest

from angarium.receiver import BadPayload
from angarium.receiver.payload import converted


@dataclass
class Point:
    x: int
    y: int = 0


class PydanticLine(pydantic.BaseModel):
    symbol: str
    count: int


class StructLine(msgspec.Struct):
    symbol: str
    count: int


class Colour(Enum):
    RED = "red"


class PickyModel:
    """Has Pydantic's method, and raises an error without Pydantic's details."""

    @classmethod
    def model_validate(cls, data: Any) -> PickyModel:
        raise ValueError(f"{data} is wrong")


@dataclass
class Positive:
    value: int
    double: int = field(init=False, default=0)
    unit: str = "m"

    def __post_init__(self) -> None:
        if self.value < 0:
            raise ValueError("below zero")
        self.double = 2 * self.value


def held(annotation: Any) -> type[Any]:
    """A dataclass with one field of this type."""

    class Holder:
        value: Any

    Holder.__annotations__ = {"value": annotation}
    return dataclass(Holder)


@pytest.mark.parametrize(
    ("wanted", "value", "made"),
    [
        (None, None, None),
        (type(None), None, None),
        (list[None], [None], [None]),
        (list[int], [1, 2], [1, 2]),
        (Sequence[int], [1, 2], [1, 2]),
        (set[int], [1, 2, 1], {1, 2}),
        (frozenset[int], [1, 2], frozenset({1, 2})),
        (tuple[int, ...], [1, 2, 3], (1, 2, 3)),
        (tuple[int, ...], [], ()),
        (tuple[int, str], [1, "a"], (1, "a")),
        (tuple[int], [1], (1,)),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (Mapping[str, list[int]], {"a": [1]}, {"a": [1]}),
        (list[tuple[int, str]], [[1, "a"]], [(1, "a")]),
        (int | str, "a", "a"),
        (Union[int, str, None], None, None),  # noqa: UP007 - both spellings
        (Optional[Point], {"x": 1}, Point(1)),  # noqa: UP045
        (int | list[int], [1], [1]),
        (Literal["a", 1], 1, 1),
        (Literal[True, "a"], True, True),
        (date, "2025-06-15", date(2025, 6, 15)),
        (Decimal, 1.5, Decimal("1.5")),
        (float, 2, 2.0),
        (Colour, "red", Colour.RED),
        (UUID, "00000000-0000-0000-0000-000000000007", UUID(int=7)),
        (datetime, "2025-06-15T12:00:00+00:00", datetime(2025, 6, 15, 12, tzinfo=UTC)),
        (bool, True, True),
        (Any, {"a": [1]}, {"a": [1]}),
        (Point, {"x": 1, "y": 2, "z": 3}, Point(1, 2)),
        (Positive, {"value": 2, "double": 9, "unit": "km"}, Positive(2, "km")),
        (list[PydanticLine], [{"symbol": "A", "count": 1}], [PydanticLine(symbol="A", count=1)]),
        (StructLine, {"symbol": "A", "count": 1}, StructLine("A", 1)),
    ],
)
def test_a_field_accepts_values_of_its_type(wanted: Any, value: Any, made: Any) -> None:
    found = converted({"value": value}, held(wanted)).value
    assert found == made
    assert type(found) is type(made)


@pytest.mark.parametrize(
    ("wanted", "value", "words"),
    [
        (list[None], [5], "data.value[0] is not None"),
        (type(None), 5, "data.value is not NoneType"),
        (list[int], {"a": 1}, "data.value is not list"),
        (list[int], "ab", "data.value is not list"),
        (list[int], [1, "a"], "data.value[1] is not int"),
        (tuple[int, str], [1], "data.value is not tuple"),
        (tuple[int, str], [1, "a", 2], "data.value is not tuple"),
        (tuple[int, str], [1, 2], "data.value[1] is not str"),
        (tuple[int, ...], [1, "a"], "data.value[1] is not int"),
        (dict[str, int], [1], "data.value is not dict"),
        (dict[str, int], {"a": "b"}, "data.value.a is not int"),
        (type[int], [1], "data.value is not type"),
        (int | str, 1.5, "data.value is not int or str"),
        (int | list[int], ["a"], "data.value is not int or list"),
        (int | Literal["a"], "b", "data.value is not int or Literal"),
        (Literal["a", 1], "b", "data.value is not Literal"),
        (date, "soon", "data.value is not date"),
        (Decimal, "much", "data.value is not Decimal"),
        (Decimal, True, "data.value is not Decimal"),
        (float, True, "data.value is not float"),
        (Colour, "blue", "data.value is not Colour"),
        (Colour, ["red"], "data.value is not Colour"),
        (UUID, "7", "data.value is not UUID"),
        (UUID, 7, "data.value is not UUID"),
        (datetime, 5, "data.value is not datetime"),
        pytest.param(float, 10**400, "data.value is not float", id="float-huge"),
        pytest.param(Decimal, 10**5000, "data.value is not Decimal", id="decimal-huge"),
        (Literal["a", 1], True, "data.value is not Literal"),
        (Literal[False], 0, "data.value is not Literal"),
        (int, True, "data.value is not int"),
        (bool, 1, "data.value is not bool"),
        (int, 1.0, "data.value is not int"),
        (Point, 5, "data.value is not Point"),
        (Point, {}, "data.value.x is missing"),
        (Point, {"x": "a"}, "data.value.x is not int"),
        (list[Point], [{"x": 1}, {"y": 1}], "data.value[1].x is missing"),
        (Positive, {"value": -1}, "data.value is not a valid Positive"),
        (PydanticLine, {"symbol": "A"}, "data does not match PydanticLine: count"),
        (StructLine, {"symbol": "A", "count": "b"}, "data.count does not match StructLine"),
    ],
)
def test_an_error_names_the_field_and_the_expected_type(wanted: Any, value: Any, words: str) -> None:
    with pytest.raises(BadPayload) as caught:
        converted({"value": value}, held(wanted))
    assert str(caught.value) == words


class Nested(pydantic.BaseModel):
    lines: list[PydanticLine]
    name: str


class Order(msgspec.Struct):
    lines: list[StructLine] = []
    kind: Literal["market", "limit"] = "market"

    def __post_init__(self) -> None:
        if not self.lines:
            raise ValueError(f"an order of kind {self.kind} has lines")


@pytest.mark.parametrize(
    ("data", "wanted", "words"),
    [
        (
            {"lines": [{"symbol": "A", "count": "`$.x"}]},
            Nested,
            "data does not match Nested: lines.0.count, name",
        ),
        ({"x": 1}, PickyModel, "data does not match PickyModel: "),
        ({"lines": [{"symbol": "A", "count": "b"}]}, Order, "data.lines[0].count does not match Order"),
        ({"lines": 5}, Order, "data.lines does not match Order"),
        ({"kind": "a - at `$.b"}, Order, "data.kind does not match Order"),
        ({"kind": "limit"}, Order, "data does not match Order"),
        (5, Order, "data does not match Order"),
        (5, Point, "data is not Point"),
    ],
)
def test_the_error_of_a_model_names_only_the_places(data: Any, wanted: Any, words: str) -> None:
    with pytest.raises(BadPayload) as caught:
        converted(data, wanted)
    assert str(caught.value) == words
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("wanted", [dict, int, None, Any, dict[str, int], Point(1), "Point"])
def test_a_type_that_is_not_a_model_leaves_the_data_unchanged(wanted: Any) -> None:
    data = {"x": "a"}
    assert converted(data, wanted) is data
