"""Sections: where the tables of applications are.

A section is one PostgreSQL schema with all that belongs to a set of applications: their endpoints, queue,
history, tasks and audit. The control schema has what belongs to organizations: event types, keys, tokens, and
which application is in which section. Statements write `section.pending` and `control.event_type`; the
section of the connection they run on decides which schemas these are. No statement names both.

There is one section today, in the same database. Another one needs a schema and a connection, and no other
statement.
"""

from __future__ import annotations

import re
from typing import Final

CONTROL: Final = "angarium"
_PLACE: Final = re.compile(r"\b(section|control)\.")


class Section:
    """A section by the name of its schema, and our statements as they are on its tables."""

    __slots__ = ("_statements", "schema")

    def __init__(self, schema: str) -> None:
        self.schema = schema
        self._statements: dict[str, str] = {}

    def statement(self, text: str) -> str:
        """A statement with the names of schemas in place of `section.` and `control.`."""
        found = self._statements.get(text)
        if found is None:
            found = self._statements[text] = self.named(text)
        return found

    def named(self, text: str) -> str:
        """The same for a text that is needed once, such as a migration."""
        return _PLACE.sub(lambda found: f"{self.schema if found[1] == 'section' else CONTROL}.", text)


FIRST: Final = Section("angarium_1")
"""The section of every application."""
