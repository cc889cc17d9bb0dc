"""Takes what the tests report along with their results, and prints one table at the end."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.account import LINES, from_wire, table, to_wire

FAULT = "fault"
TABLE = os.environ.get("ANGARIUM_TEST_TABLE")
"""A file that the table is written to as well."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "call":
        report.user_properties += [(FAULT, json.dumps(to_wire(line))) for line in LINES]
        LINES.clear()
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    lines = [
        from_wire(json.loads(value))
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
        for name, value in report.user_properties
        if name == FAULT
    ]
    if not lines:
        return
    text = table(lines)
    terminalreporter.write_line("")
    terminalreporter.write_line(text)
    if TABLE:
        Path(TABLE).write_text(text + "\n")
