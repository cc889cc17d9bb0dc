"""Renders the chart with Helm, and checks the resources against the schemas of their kinds."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Final

import jsonschema
import kubernetes_validate
import yaml

from tests.deploy.meaning import DEPLOY
from tests.kit import helm

CHART: Final = DEPLOY / "helm" / "angarium"
VARIANTS: Final = sorted((CHART / "ci").glob("*-values.yaml"))
RELEASE: Final = "hooks"
OLDEST: Final = "1.25"
NEWEST: Final = kubernetes_validate.utils.major_minor(kubernetes_validate.latest_version())
FOREIGN: Final = Path(__file__).parent / "schema"
"""Schemas of kinds that Kubernetes does not have itself, written from the definitions of their operators."""

Resource = dict[str, Any]


class RenderError(Exception):
    """Helm refuses the values; the text says why."""


def run(*arguments: str) -> str:
    """Runs Helm; what it printed. Raises RenderError."""
    done = subprocess.run(
        (helm.ensure(), *arguments), capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode:
        raise RenderError(done.stdout + done.stderr)
    return done.stdout


def rendered(*values: Path, kubernetes: str = NEWEST, chart: Path = CHART, **one: Any) -> list[Resource]:
    """The resources of the chart with these files of values, and single values such as
    `migrate__mode="job"`."""
    files = [word for path in values for word in ("--values", str(path))]
    single = [
        word
        for key, value in one.items()
        for word in ("--set-json", f"{key.replace('__', '.')}={json.dumps(value)}")
    ]
    text = run(
        "template", RELEASE, str(chart), "--namespace", "webhooks", "--kube-version", f"{kubernetes}.0",
        *files, *single,
    )  # fmt: skip
    return [one for one in yaml.safe_load_all(text) if one]


def fault(resource: Resource, kubernetes: str) -> str | None:
    """What is wrong with a resource; None if nothing is. Unknown fields are wrong."""
    foreign = FOREIGN / f"{resource['kind'].lower()}.json"
    try:
        if foreign.exists():
            jsonschema.validate(resource, json.loads(foreign.read_text()))
        else:
            kubernetes_validate.validate(resource, kubernetes, strict=True)
    except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
        return f"{resource['kind']} {resource['metadata']['name']}: {error.message}"
    return None


def of_kind(resources: list[Resource], *kinds: str) -> list[Resource]:
    """Those of these kinds."""
    return [one for one in resources if one["kind"] in kinds]


def pods(resources: list[Resource]) -> list[Resource]:
    """The templates of pods, with metadata and spec."""
    return [one["spec"]["template"] for one in of_kind(resources, "Deployment", "Job")]


def containers(resources: list[Resource]) -> list[Resource]:
    """The containers of all pods, those of the start included."""
    specs = [pod["spec"] for pod in pods(resources)]
    return [one for spec in specs for one in (*spec.get("initContainers", ()), *spec["containers"])]
