"""`angarium settings`: prints all settings, and the page of the documentation."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from angarium import settings as module


def settings(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/settings.md.")] = False,
) -> None:
    """Show all settings with their effective values. Secrets are hidden."""
    if markdown:
        print(module.markdown(), end="")
        return
    found = module.load()
    table = Table("variable", "value", "meaning")
    for name, field in module.Settings.model_fields.items():
        table.add_row(module.PREFIX + name.upper(), _shown(getattr(found, name)), field.description)
    Console().print(table)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"{part:g}s" if isinstance(part, float) else str(part) for part in value)
    return "" if value is None else str(value)
