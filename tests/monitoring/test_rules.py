"""The alerts: promtool accepts and tests them, and each is in the runbook."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from angarium.telemetry.catalogue import CATALOGUE
from angarium.telemetry.registry import PREFIX, MetricType
from tests.kit.debian import unpacked
from tests.test_docs import anchors

ROOT: Final = Path(__file__).parents[2]
MONITORING: Final = ROOT / "deploy/monitoring"
RUNBOOK: Final = ROOT / "docs/runbook.md"
GROUPS: Final[list[dict[str, Any]]] = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
RULES: Final[list[dict[str, Any]]] = [rule for group in GROUPS for rule in group["rules"]]
ALERTS: Final = {rule["alert"]: rule for rule in RULES if "alert" in rule}
TEST_FILES: Final = ("alerts.test.yml", "alerts.hours.test.yml", "alerts.long.test.yml")
TESTS: Final[list[dict[str, Any]]] = [
    test for name in TEST_FILES for test in yaml.safe_load((MONITORING / name).read_text())["tests"]
]
_SUFFIX: Final = re.compile(r"_(bucket|count|sum)$")


def unknown(expression: str) -> list[str]:
    """Metrics and labels in an expression that the catalogue does not have."""
    wrong = []
    for metric, labels in re.findall(rf"\b{PREFIX}(\w+)(?:{{([^}}]*)}})?", expression):
        family = CATALOGUE.get(metric) or CATALOGUE.get(_SUFFIX.sub("", metric))
        if family is None or (family.name != metric) != (family.kind is MetricType.HISTOGRAM):
            wrong.append(metric)
            continue
        known = {*family.shown_labels, "job", "instance", "le"}
        wrong += [
            f"{metric}: {label}" for label in re.findall(r"(\w+)(?:=~|!~|!=|=)", labels) if label not in known
        ]
    return wrong


def test_promtool_accepts_the_rules_and_their_tests_pass() -> None:
    for command in (("check", "rules", "alerts.yml"), ("test", "rules", *TEST_FILES)):
        done = subprocess.run(
            [unpacked("promtool"), *command], cwd=MONITORING, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_shown_to_fire_and_not_to_fire() -> None:
    fires = {
        one["alertname"]: bool(one["exp_alerts"]) for test in TESTS for one in test["alert_rule_test"]
        if one["exp_alerts"]
    }  # fmt: skip
    silent = {one["alertname"] for test in TESTS for one in test["alert_rule_test"] if not one["exp_alerts"]}
    assert set(fires) == silent == set(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_a_severity_a_summary_and_an_entry_in_the_runbook(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert alert["annotations"]["summary"].endswith(".")
    anchor = alert["annotations"]["runbook_url"].partition("runbook.html#")[2]
    assert anchors(RUNBOOK).count(anchor) == 1
    assert name.lower().startswith(anchor) or f"`{name}`" in RUNBOOK.read_text()


def test_each_entry_of_the_runbook_is_of_an_alert() -> None:
    linked = {alert["annotations"]["runbook_url"].partition("#")[2] for alert in ALERTS.values()}
    assert {anchor for anchor in anchors(RUNBOOK) if anchor != "runbook"} == linked


def test_the_runbook_names_known_metrics() -> None:
    named = set(re.findall(rf"`{PREFIX}(\w+)", RUNBOOK.read_text()))
    assert named - set(CATALOGUE) == set()
    assert len(named) > 10


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_uses_metrics_and_labels_that_there_are(rule: dict[str, Any]) -> None:
    assert unknown(rule["expr"]) == []


def test_unknown_metrics_and_labels_are_found() -> None:
    assert unknown("sum(rate(angarium_attempts_total{outcome='retry', endpoint='x'}[5m]))") == [
        "attempts_total: endpoint"
    ]
    assert unknown("angarium_nothing > 0") == ["nothing"]
    assert unknown("angarium_attempts_total_bucket") == ["attempts_total_bucket"]
    assert unknown("angarium_attempt_seconds") == ["attempt_seconds"]
