"""Formats tables of results, for the terminal and as Markdown."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich import box
from rich.console import Console
from rich.table import Table as Grid


@dataclass
class Table:
    """Rows of texts under a title; the first column names the row, all others are numbers."""

    title: str
    columns: tuple[str, ...]
    note: str = ""
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for {len(self.columns)} columns")
        self.rows.append(cells)

    def show(self, console: Console | None = None) -> None:
        grid = Grid(title=self.title, caption=self.note or None, box=box.SIMPLE_HEAD, title_justify="left")
        for number, column in enumerate(self.columns):
            grid.add_column(column, justify="right" if number else "left")
        for row in self.rows:
            grid.add_row(*row)
        (console or Console(width=140)).print(grid)

    def markdown(self) -> str:
        """A heading, the table, and the note below."""
        lines = [f"### {self.title}", ""]
        lines.append("| " + " | ".join(self.columns) + " |")
        lines.append("|---|" + "---:|" * (len(self.columns) - 1))
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in self.rows]
        if self.note:
            lines += ["", self.note]
        return "\n".join(lines) + "\n"


def ratio(value: float, of: float) -> str:
    """How many times as much, with as many digits as tell something."""
    if of <= 0:
        return ""
    found = value / of
    return f"{found:.2f}" if found < 9.995 else f"{found:.1f}"


def number(value: float) -> str:
    return f"{value:,.0f}"
