"""Converts data to the type in a handler's annotation: a dataclass, or a model of Pydantic or msgspec.

Dataclasses are converted here by the names of their fields, including nested ones. Unknown names are ignored,
so that senders may add fields. BadPayload names the place that does not match, never the value.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from angarium.receiver.errors import BadPayload


def converted(data: Any, wanted: Any) -> Any:
    """`data` as an instance of `wanted`, or unchanged if `wanted` is not a model."""
    if hasattr(wanted, "model_validate"):
        return _pydantic(data, wanted)
    if hasattr(wanted, "__struct_fields__"):
        return _msgspec(data, wanted)
    if dataclasses.is_dataclass(wanted) and isinstance(wanted, type):
        return _value(data, wanted, "data")
    return data


def is_model(wanted: Any) -> bool:
    return isinstance(wanted, type) and (
        dataclasses.is_dataclass(wanted)
        or hasattr(wanted, "model_validate")
        or hasattr(wanted, "__struct_fields__")
    )


def _pydantic(data: Any, wanted: Any) -> Any:
    try:
        return wanted.model_validate(data)
    except ValueError as error:  # pydantic.ValidationError, whose text contains the data
        places = [".".join(map(str, one["loc"])) for one in getattr(error, "errors", list)()]
        raise BadPayload(f"data does not match {wanted.__name__}: {', '.join(places)}") from None


def _msgspec(data: Any, wanted: Any) -> Any:
    import msgspec

    try:
        return msgspec.convert(data, wanted)
    except msgspec.ValidationError as error:
        # the text before the place may contain the value; an error about the data as a whole has no place
        _, found, place = str(error).rpartition(" - at `$")
        place = place.removesuffix("`") if found else ""
        raise BadPayload(f"data{place} does not match {wanted.__name__}") from None


def _value(value: Any, wanted: Any, place: str) -> Any:
    if wanted is Any:
        return value
    origin = typing.get_origin(wanted)
    if origin in (typing.Union, types.UnionType):
        return _one_of(value, typing.get_args(wanted), place)
    if origin is typing.Literal:
        return value if _among(value, typing.get_args(wanted)) else _misfit(place, wanted)
    if origin is not None:
        return _container(value, origin, typing.get_args(wanted), place)
    if wanted is None or wanted is types.NoneType:
        return None if value is None else _misfit(place, wanted)
    if is_model(wanted):
        return _fields(value, wanted, place) if dataclasses.is_dataclass(wanted) else converted(value, wanted)
    return _plain(value, wanted, place)


def _fields(value: Any, wanted: Any, place: str) -> Any:
    if not isinstance(value, dict):
        _misfit(place, wanted)
    hints = typing.get_type_hints(wanted)
    given = {}
    for field in dataclasses.fields(wanted):
        if not field.init:
            continue
        if field.name in value:
            given[field.name] = _value(value[field.name], hints[field.name], f"{place}.{field.name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise BadPayload(f"{place}.{field.name} is missing")
    try:
        return wanted(**given)
    except ValueError as error:  # from __post_init__
        raise BadPayload(f"{place} is not a valid {wanted.__name__}") from error


def _container(value: Any, origin: Any, inner: tuple[Any, ...], place: str) -> Any:
    if issubclass(origin, Mapping):
        if not isinstance(value, dict):
            _misfit(place, origin)
        return {name: _value(one, inner[1], f"{place}.{name}") for name, one in value.items()}
    if not issubclass(origin, Sequence | set | frozenset) or not isinstance(value, list):
        _misfit(place, origin)
    if origin is tuple and inner[-1:] != (...,):
        if len(value) != len(inner):
            _misfit(place, origin)
        return tuple(
            _value(one, kind, f"{place}[{n}]") for n, (one, kind) in enumerate(zip(value, inner, strict=True))
        )
    made = [_value(one, inner[0], f"{place}[{n}]") for n, one in enumerate(value)]
    return made if origin in (list, Sequence) else origin(made)


def _one_of(value: Any, choices: tuple[Any, ...], place: str) -> Any:
    for wanted in choices:
        try:
            return _value(value, wanted, place)
        except BadPayload:
            continue
    return _misfit(place, " or ".join(getattr(one, "__name__", str(one)) for one in choices))


def _among(value: Any, choices: tuple[Any, ...]) -> bool:
    """Whether it is one of the choices. True and 1 are equal in Python, but not in JSON."""
    return any(value == one and isinstance(value, bool) is isinstance(one, bool) for one in choices)


def _plain(value: Any, wanted: Any, place: str) -> Any:
    try:
        if isinstance(wanted, type) and issubclass(wanted, enum.Enum):
            return wanted(value)
        if wanted in (datetime, date) and isinstance(value, str):
            return wanted.fromisoformat(value)
        if wanted is Decimal and isinstance(value, str | int | float) and not isinstance(value, bool):
            return Decimal(str(value))
        if wanted is UUID and isinstance(value, str):
            return UUID(value)
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
    except (ValueError, OverflowError, InvalidOperation):
        _misfit(place, wanted)
    if isinstance(wanted, type) and not (
        isinstance(value, wanted) and isinstance(value, bool) <= (wanted is bool)
    ):
        _misfit(place, wanted)
    return value


def _misfit(place: str, wanted: Any) -> typing.NoReturn:
    raise BadPayload(f"{place} is not {getattr(wanted, '__name__', wanted)}")
