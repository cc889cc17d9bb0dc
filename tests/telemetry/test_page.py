"""The page of metrics is made of the catalogue, and other pages name metrics that exist."""

from __future__ import annotations

import re
from pathlib import Path

from angarium.telemetry.catalogue import CATALOGUE
from angarium.telemetry.page import page

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_metrics_is_current() -> None:
    assert (DOCS / "metrics.md").read_text() == page(), (
        "run `python -m angarium.telemetry.page > docs/metrics.md`"
    )


def test_metrics_that_pages_name_exist() -> None:
    named = {
        name
        for path in DOCS.rglob("*.md")
        for name in re.findall(r"\bangarium_([a-z_]+?)(?:_bucket|_count|_sum)?(?=[`{\[ )])", path.read_text())
    }
    known = set(CATALOGUE)
    assert {
        name for name in named if name.endswith(("_total", "_seconds", "_bytes")) or name in known
    } <= known
    assert "attempt_lateness_seconds" in named
