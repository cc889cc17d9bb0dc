"""Describes configuration files as JSON Schema, for editors and checks."""

from __future__ import annotations

from typing import Any, Final

from angarium.cli.configuration.field import Noun
from angarium.cli.configuration.noun import ORGANIZATION, TOP, VERSION
from angarium.cli.configuration.state import FORM, PART

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_OWN: Final = {"^x-": {"description": "Your own notes. They have no effect.", "examples": ["Owner: sales"]}}


def schema() -> dict[str, Any]:
    """The schema of a file."""
    form = {
        "description": "The form of the file.",
        "examples": [VERSION],
        "const": VERSION,
    }
    organization = {
        "description": "The organization that the file is for.",
        "examples": [{name: one.example for name, one in ORGANIZATION.items()}],
        "type": "object",
        "properties": {name: one.schema() for name, one in ORGANIZATION.items()},
        "patternProperties": _OWN,
        "additionalProperties": False,
    }
    return {
        "$schema": DRAFT,
        "title": "Angarium configuration",
        "description": "What an organization should have, for `angarium apply`.",
        "type": "object",
        "required": [FORM],
        "properties": {FORM: form, PART: organization, **{one.plural: _section(one) for one in TOP}},
        "patternProperties": _OWN,
        "additionalProperties": False,
    }


def _section(noun: Noun) -> dict[str, Any]:
    key = noun.key.schema()
    return {
        "description": noun.words,
        "examples": [{noun.sample: _example(noun)}],
        "type": "object",
        "propertyNames": {"description": noun.key_words, **key},
        **({} if noun.most is None else {"maxProperties": noun.most}),
        "additionalProperties": {
            "type": "object",
            "required": [one.name for one in noun.fields if one.required],
            "properties": {
                **{one.name: one.schema() for one in noun.fields},
                **{one.plural: _section(one) for one in noun.children},
            },
            "patternProperties": _OWN,
            "additionalProperties": False,
        },
    }


def _example(noun: Noun) -> dict[str, Any]:
    return {one.name: one.example for one in noun.fields if one.required}
