"""Reads request bodies: within the size limit, parsed strictly, regardless of Content-Type.

`Wire` is the base of the models of request bodies.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar, NoReturn, get_args

import msgspec
from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel
from starlette.requests import ClientDisconnect, Request

from angarium import json_bounds
from angarium.core.errors import FaultType, FieldError, Invalid


class Wire(BaseModel):
    """A body with camelCase names. Unknown fields are ignored.

    Null in an optional field means that the field is missing. A subclass with `null_clears` is a PATCH, where
    null removes a value: it keeps null, which a field accepts if its type allows it.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="ignore",
        json_schema_extra=lambda schema, model: _document(schema, model),
    )
    null_clears: ClassVar[bool] = False
    _optional: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls._optional = frozenset(
            field.alias or name for name, field in cls.model_fields.items() if not field.is_required()
        )

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        if cls.null_clears or not isinstance(value, dict):
            return value
        return {name: one for name, one in value.items() if one is not None or name not in cls._optional}

    def given(self, field: str) -> bool:
        """Whether the request has the field."""
        return field in self.model_fields_set


def _document(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Add what the fields say, and that optional properties accept null."""
    accepts_null = not getattr(model, "null_clears", True)
    for name, field in model.model_fields.items():
        found = schema.get("properties", {}).get(field.alias or name)
        if found is None:
            continue
        optional = accepts_null and (field.alias or name) not in schema.get("required", ())
        if optional and {"type": "null"} not in found.get("anyOf", ()):
            if "type" in found:
                found["type"] = [found["type"], "null"]
            else:  # a reference
                found["anyOf"] = [{"$ref": found.pop("$ref")}, {"type": "null"}]
        for said in (*_said(field.annotation), *field.metadata):
            if isinstance(said, msgspec.Meta):
                found |= {"description": said.description} if said.description else {}
                found |= {"examples": said.examples} if said.examples else {}
                found |= said.extra_json_schema or {}


def _said(annotation: Any) -> Iterator[Any]:
    """What is said of the type in an optional field (`Url | None`)."""
    for one in get_args(annotation):
        yield from getattr(one, "__metadata__", ())


async def body_of(request: Request) -> bytes:
    """The body, usually one piece. Same as `request.body()`, at a quarter of its cost."""
    message = await request.receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        return bytes(message.get("body", b""))
    pieces: list[bytes] = []
    while message["type"] == "http.request":
        pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(pieces)
        message = await request.receive()
    raise ClientDisconnect


def _refuse(msg: str, *loc: str | int, kind: FaultType = "value_error.jsondecode") -> NoReturn:
    raise Invalid(FieldError(("body", *loc), msg, kind))


def _no_constant(name: str) -> NoReturn:
    _refuse(f"{name} is not JSON")


def parse_json(data: bytes) -> Any:
    """The value of a JSON text. Raises Invalid, also for text that PostgreSQL cannot hold."""
    try:
        json_bounds.check(data)
    except ValueError as error:
        _refuse(str(error), kind="value_error")
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        _refuse(f"JSON decode error at character {error.pos}: {error.msg}")
    except UnicodeDecodeError:
        _refuse("The body is not UTF-8.")
    except ValueError:
        _refuse("The body contains a number with too many digits.")
    except RecursionError:
        _refuse("The body is nested too deeply.")
    # only escapes can contain a NUL or an unpaired surrogate
    lowered = data.lower()
    if b"\\u0000" in lowered or b"\\ud" in lowered:
        refuse_unstorable(value)
    return value


def refuse_unstorable(value: Any, *place: str | int) -> None:
    """Raises Invalid when a text in it has a NUL character or an unpaired surrogate."""
    if isinstance(value, dict):
        for name, inner in value.items():
            refuse_unstorable(name, *place)
            if isinstance(inner, str | dict | list):
                refuse_unstorable(inner, *place, name)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            if isinstance(inner, str | dict | list):
                refuse_unstorable(inner, *place, index)
    elif isinstance(value, str) and not is_storable(value):
        # the path may contain the invalid text, which JSON cannot return
        shown = [part if isinstance(part, int) or is_storable(part) else "?" for part in place]
        _refuse("Text must not contain NUL characters or unpaired surrogates.", *shown, kind="value_error")


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can store the text: no NUL, no unpaired surrogate."""
    return "\x00" not in text and not any("\ud800" <= c <= "\udfff" for c in text)
