"""Replaces `section.` and `control.` in statements by the names of schemas.

A section is a PostgreSQL schema with all tables of a set of applications: their endpoints, queue, history,
tasks and audit log. The control schema has the tables of organizations: event types, keys, tokens, and the
section of each application. Statements name tables as `section.pending` and `control.event_type`. The section
of the connection decides which schemas these are. No statement names both.

There is one section today, in the same database. Another one needs a schema and a connection, but no change
of a statement.
"""

from __future__ import annotations

import re
from typing import Final

CONTROL: Final = "angarium"
_PLACE: Final = re.compile(r"\b(section|control)\.")


class Section:
    """A section: the name of its schema, and statements on its tables."""

    __slots__ = ("_statements", "schema")

    def __init__(self, schema: str) -> None:
        self.schema = schema
        self._statements: dict[str, str] = {}

    def statement(self, text: str) -> str:
        """The statement with the names of schemas. The result is cached."""
        found = self._statements.get(text)
        if found is None:
            found = self._statements[text] = self.named(text)
        return found

    def named(self, text: str) -> str:
        """The same without caching, for a text that is used once, such as a migration."""
        return _PLACE.sub(lambda found: f"{self.schema if found[1] == 'section' else CONTROL}.", text)


FIRST: Final = Section("angarium_1")
"""The section of every application."""
