"""Rules that hold for every SQL statement of the package."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import angarium
from angarium.store.sql import included, parts_of

PACKAGE: Final = Path(angarium.__file__).parent
QUERIES: Final = PACKAGE / "store/queries"
COMMENT: Final = re.compile(r"--.*")
PLACE: Final = re.compile(r"\b(?:section|control)\.")
READS_ENDPOINTS: Final = re.compile(r"\b(?:from|join|update) endpoint\b")
# by their ids, or the living ones
NAMES_ENDPOINTS: Final = re.compile(r"(?<!\w)(?:e\.)?id = |\bliving_app_id\b")
INCLUDE: Final = re.compile(r"^ *-- include: (\w+)( .+)$", re.MULTILINE)
STATEMENT: Final = re.compile(r"^-- (?:name|part|walk): (\w+)", re.MULTILINE)


def statements() -> dict[str, str]:
    """All queries and parts by name, in small letters and without comments. Parts are written out only where
    they are included with a value, such as the name of a table."""
    found = {}
    shared = parts_of((QUERIES / "part.sql").read_text())
    for file in QUERIES.glob("*.sql"):
        text = file.read_text()
        parts = parts_of(text, shared)
        for line in INCLUDE.finditer(text):
            text = text.replace(line[0], included(parts, "", *line.groups()))
        _, *pieces = STATEMENT.split(text)
        for name, text in zip(pieces[::2], pieces[1::2], strict=True):
            found[name] = PLACE.sub("", " ".join(COMMENT.sub("", text).lower().split()))
    return found


def changing(table: str, text: str) -> list[str]:
    """The verbs with which a text changes rows of a table that are there."""
    found = re.findall(
        rf"\b(update(?: only)?|delete from|truncate(?: table)?|merge into|on conflict) \"?{table}\b", text
    )
    if re.search(rf"\binsert into {table}\b.*\bdo update\b", text):
        found.append("do update")
    return found


def test_no_statement_changes_a_record_of_the_audit_log_and_one_deletes_by_age() -> None:
    changed = {name: verbs for name, text in statements().items() if (verbs := changing("audit", text))}
    assert changed == {
        "end_audit": ["delete from"],
        "end_audit_control": ["delete from"],
        # details of what was erased; which record it is, and who did what to what, stays
        "erase_audit": ["update"],
        "erase_audit_control": ["update"],
    }
    for name in ("erase_audit", "erase_audit_control"):
        changes = statements()[name].partition(" set ")[2].partition(" where ")[0]
        columns = re.findall(r"(\w+) = ", changes)
        assert columns == ["address", "before", "after"]
    sources = [file for kind in ("*.py", "*.sql") for file in PACKAGE.rglob(kind) if file.parent != QUERIES]
    assert not [file for file in sources if changing("audit", " ".join(file.read_text().lower().split()))]


def test_a_change_of_the_audit_log_would_be_noticed() -> None:
    for text in (
        "update audit set action = 'x'",
        "truncate table audit",
        "with a as (delete from audit a returning 1)",
        "insert into audit (id) values (1) on conflict (id) do update set id = 1",
    ):
        assert changing("audit", text), text
    assert not changing("audit", "insert into audit (id) values (1)")


def test_every_statement_that_reads_payloads_leaves_out_expired_ones() -> None:
    reading = {
        name: text for name, text in statements().items() if re.search(r"\b(from|join) payload\b", text)
    }
    del reading["payload_expunge"], reading["erase_payload"]  # delete those that are named
    assert set(reading) == {"kept", "payload_of", "payload_read"}
    assert all("expires_at > :now" in text for text in reading.values())


def test_no_table_has_a_trigger_and_no_statement_asks_postgresql_for_the_time() -> None:
    texts = {name: text for name, text in statements().items() if re.search(r"\bnow\(\)", text)}
    assert not texts
    schema = "".join(file.read_text() for file in (PACKAGE / "store/migrations").glob("*.sql"))
    assert "create trigger" not in schema.lower()


def test_statements_over_the_endpoints_of_an_application_leave_out_deleted_ones() -> None:
    """Others are history, and may be many: tests/store/test_deleted_endpoint.py."""
    passing = {
        name
        for name, text in statements().items()
        if READS_ENDPOINTS.search(text) and not NAMES_ENDPOINTS.search(text)
    }
    assert passing == {
        "rewrap_endpoint_page",  # all there are
        "application_ended",  # stops at the first
        "log_endpoints",  # a log names deleted ones, too
        "delivery_destinations",  # and so does a message
        "gauge_old_key_endpoints",  # all there are, up to a number, during a rotation
        "gauge_endpoints",  # disabled ones of all applications, up to a number
        # of an application that is erased, with all that it ever had
        "erase_rows_of_endpoints",
        "left_rows_of_endpoints",
        "erase_pending",
        "erase_retry",
        "erase_held_lane",
        "left_held_lane",
        "erase_former_url",
        "left_former_url",
        "erase_endpoint",
        "export_endpoint",
        "export_queue",
        "left_endpoint",
    }
