"""The files around the code name commands, paths and versions that exist, and agree with each other."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[1]
GITHUB: Final = ROOT / ".github"
FORMS: Final = [path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config"]
FIELDS: Final = {"markdown", "input", "textarea", "dropdown", "checkboxes"}
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SOURCE: Final = ROOT / "src" / "angarium"
STAND_ALONE: Final = {"client", "outbox", "receiver", "testing"}  # packages of their own
LANGUAGE: Final = "Programming Language :: Python :: "


def make(*arguments: str, text: str | None = None) -> list[str]:
    """The output of make, by line, whatever make runs this test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ("make", "--no-print-directory", *arguments),
        cwd=ROOT, env=kept, input=text, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


def message_format(target: str) -> list[str]:
    """The commands of a target, without those that set up."""
    return make("--dry-run", "--old-file=.venv/.installed", target)


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def workflow() -> Any:
    return load(GITHUB / "workflows" / "ci.yml")


def commands(job: str) -> list[str]:
    return [step["run"] for step in workflow()["jobs"][job]["steps"] if "run" in step]


@pytest.mark.parametrize("name", ["FAST", "ON_15", "OUTER"])
def test_a_list_of_tests_names_files_that_exist(name: str) -> None:
    (line,) = make("-f", "Makefile", "-f", "-", "show", text=f"show:\n\t@echo $({name})\n")
    assert len(line.split()) > 5
    assert [one for one in line.split() if not (ROOT / one).exists()] == []


def test_ci_runs_the_script_that_everybody_runs() -> None:
    assert commands("all")[-1] == ".ci/run"
    assert re.findall(r"^make .+$", (ROOT / ".ci/run").read_text(), re.MULTILINE) == [
        "make setup",
        "make prepare &",
        "make lint",
        "make test",
    ]
    (quick,) = commands("quick")
    assert quick == "make check-fast PYTHON=python"
    assert any("pytest" in line for line in message_format("check-fast"))


def test_ci_uses_only_actions_of_one_commit_and_an_image_of_one_release() -> None:
    jobs = workflow()["jobs"].values()
    used = [step["uses"] for job in jobs for step in job["steps"] if "uses" in step]
    assert used
    assert [one for one in used if not re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", one)] == []
    assert [job["runs-on"] for job in jobs if "latest" in job["runs-on"]] == []
    assert workflow()["permissions"] == {"contents": "read"}


def test_ci_tests_every_python_that_the_project_claims() -> None:
    tested = workflow()["jobs"]["quick"]["strategy"]["matrix"]["python"]
    claimed = [
        one.removeprefix(LANGUAGE) for one in PROJECT["classifiers"] if one.startswith(LANGUAGE + "3.")
    ]
    assert set(claimed) <= set(tested)
    assert f">={tested[0]}" == PROJECT["requires-python"] == f">={claimed[0]}"


def test_the_hooks_run_the_linters_of_make_lint() -> None:
    (repository,) = load(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"  # nothing is downloaded
    hooks = {hook["entry"].removesuffix(" --force-exclude") for hook in repository["hooks"]}
    linters = {re.sub(r" (--check )?\.$", "", line) for line in message_format("lint")}
    assert hooks == linters
    assert {hook["language"] for hook in repository["hooks"]} == {"system"}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_has_what_github_wants(path: Path) -> None:
    form = load(path)
    assert form["name"]
    assert form["description"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in form["body"]} <= FIELDS
    assert len({field["id"] for field in fields}) == len({field["attributes"]["label"] for field in fields})
    assert any(field.get("validations", {}).get("required") for field in fields)


def test_the_badges_say_what_the_project_says() -> None:
    badges = dict(re.findall(r"!\[(\w+)[^\]]*\]\(https://img\.shields\.io/badge/(.+?)\)", readme()))
    assert badges == {
        "Python": f"python-{PROJECT['requires-python'].removeprefix('>=')}%2B-blue",
        "License": f"license-{PROJECT['license'].replace('-', '--')}-blue",
        "PostgreSQL": "postgresql-15%2B-blue",
    }


def readme() -> str:
    return (ROOT / "README.md").read_text()


def test_what_contributors_are_told_to_run_exists() -> None:
    targets = {line.split(":")[0] for line in (ROOT / "Makefile").read_text().splitlines() if ":" in line}
    pages = [ROOT / "CONTRIBUTING.md", *GITHUB.rglob("*.md"), ROOT / "docs/releasing.md"]
    for page in pages:
        named = re.findall(r"(?:`|\$ )make ([\w-]+)", page.read_text())
        assert set(named) <= targets, page
    paths = re.findall(r"`((?:src|tests|docs)/[\w./-]+)`", (ROOT / "CONTRIBUTING.md").read_text())
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_a_class_name_means_one_class() -> None:
    found = defaultdict(list)
    for path in SOURCE.rglob("*.py"):
        module = path.relative_to(SOURCE)
        if module.parts[0] not in STAND_ALONE:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    found[node.name].append(str(module))
    assert len(found) > 500
    assert {name: modules for name, modules in found.items() if len(modules) > 1} == {}
