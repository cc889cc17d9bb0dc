"""Output of the demo: a live table in a terminal, otherwise a line per event."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, slots=True)
class DemoRequest:
    """One request that a receiver got: the attempt, the response and whether the signature is valid."""

    at: float  # monotonic
    receiver: str
    message_id: str
    number: int
    answer: int
    verified: bool


@dataclass(slots=True)
class ScreenRow:
    """One delivery: a message to an endpoint."""

    event_type: str
    message_id: str
    endpoint: str
    state: str = "pending"
    arrivals: list[DemoRequest] = field(default_factory=list)
    next_at: float | None = None  # monotonic; when the next attempt is due


class Screen:
    """Renders the rows."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()
        self._rows: list[ScreenRow] = []
        self._live = Live(console=console, refresh_per_second=10, get_renderable=self._picture)

    def __enter__(self) -> Screen:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def say(self, words: str) -> None:
        """Prints one step."""
        self._console.print(f"[dim]{self._clock()}[/dim] {words}", highlight=False, soft_wrap=True)

    def add(self, row: ScreenRow) -> None:
        self._rows.append(row)

    def tell(self, row: ScreenRow, arrival: DemoRequest) -> None:
        """Prints an attempt, unless the table shows it."""
        if self._console.is_terminal:
            return
        signature = "signature verified" if arrival.verified else "SIGNATURE WRONG"
        self.say(f"{_name(row)} attempt {arrival.number}: {arrival.answer}, {signature}")

    def tell_retry(self, row: ScreenRow) -> None:
        """Prints the time of a retry, unless the table shows it."""
        if not self._console.is_terminal and row.next_at is not None:
            wait = max(0.0, row.next_at - time.monotonic())
            self.say(f"{_name(row)} next attempt in {wait:.1f} s")

    def tell_end(self, row: ScreenRow) -> None:
        """Prints the final state of a delivery, unless the table shows it."""
        if not self._console.is_terminal:
            self.say(f"{_name(row)} {row.state}")

    def _clock(self) -> str:
        return f"{time.monotonic() - self._started:6.2f} s"

    def _picture(self) -> Group:
        table = Table("message", "endpoint", "attempts", "signature", "state", expand=False)
        for row in self._rows:
            table.add_row(
                row.event_type,
                row.endpoint,
                _answers(row),
                _signature(row),
                _state(row),
            )
        return Group(Text(), table)


def _name(row: ScreenRow) -> str:
    return f"{row.event_type:<18} → {row.endpoint:<8}"


def _answers(row: ScreenRow) -> Text:
    text = Text()
    for arrival in row.arrivals:
        text.append(f"{arrival.answer} ", style="green" if 200 <= arrival.answer <= 299 else "red")
    return text


def _signature(row: ScreenRow) -> Text:
    if not row.arrivals:
        return Text("")
    good = all(arrival.verified for arrival in row.arrivals)
    return Text("✓ verified", style="green") if good else Text("✗ wrong", style="bold red")


def _state(row: ScreenRow) -> Text:
    if row.state == "delivered":
        return Text("● delivered", style="bold green")
    if row.state != "pending":
        return Text(f"● {row.state}", style="bold red")
    if row.next_at is not None and row.arrivals:
        return Text(f"○ retry in {max(0.0, row.next_at - time.monotonic()):4.1f} s", style="yellow")
    return Text("○ sending", style="cyan")
