"""The chart: what it renders is valid for Kubernetes, and says what the program takes.

`make deploy-check` runs this. It needs Helm and the schemas of Kubernetes, which that installs.
"""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from angarium import __version__
from angarium.settings import Settings
from tests.deploy.meaning import DEPLOY, command_fault, load, refusal, setting_faults
from tests.deploy.ops import PATHS
from tests.deploy.rendering import (
    CHART,
    NEWEST,
    OLDEST,
    RELEASE,
    VARIANTS,
    RenderError,
    Resource,
    containers,
    fault,
    of_kind,
    pods,
    rendered,
    run,
)  # fmt: skip

MONITORING = DEPLOY / "monitoring"
BY_NAME = {path.name.removesuffix("-values.yaml"): path for path in VARIANTS}


@pytest.fixture(scope="module", params=list(BY_NAME))
def variant(request: pytest.FixtureRequest) -> list[Resource]:
    return rendered(BY_NAME[request.param])


def variables(container: Resource) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container["env"]}


@pytest.mark.parametrize("name", list(BY_NAME))
def test_helm_lint_finds_no_fault(name: str) -> None:
    printed = run(
        "lint", "--strict", str(CHART), "--values", str(BY_NAME[name]), "--kube-version", f"{NEWEST}.0"
    )
    assert "0 chart(s) failed" in printed


@pytest.mark.parametrize("kubernetes", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", list(BY_NAME))
def test_every_resource_is_valid_for_the_oldest_and_the_newest_kubernetes(name: str, kubernetes: str) -> None:
    resources = rendered(BY_NAME[name], kubernetes=kubernetes)
    assert len(resources) >= 4
    assert [found for one in resources if (found := fault(one, kubernetes))] == []


def test_a_field_that_kubernetes_does_not_know_is_a_fault() -> None:
    (monitor,) = of_kind(rendered(BY_NAME["monitoring"]), "ServiceMonitor")
    monitor["spec"]["endpoints"][0]["period"] = "15s"
    assert "'period' was unexpected" in str(fault(monitor, NEWEST))
    service, *_ = of_kind(rendered(BY_NAME["default"]), "Service")
    service["spec"]["sellector"] = {}
    assert "sellector" in str(fault(service, NEWEST))


def test_every_command_is_one_of_the_program(variant: list[Resource]) -> None:
    commands = [one["args"] for one in containers(variant)]
    assert commands
    assert [found for one in commands if (found := command_fault(one))] == []
    assert [one for one in containers(variant) if "command" in one] == []  # the image's own program


def test_every_setting_is_one_of_the_program_with_a_value_that_it_accepts(variant: list[Resource]) -> None:
    for container in containers(variant):
        assert setting_faults(variables(container)) == []
        assert refusal(variables(container)) is None


def test_every_secret_is_a_file_that_is_mounted(variant: list[Resource]) -> None:
    for pod in pods(variant):
        (volume,) = (one["projected"] for one in pod["spec"]["volumes"] if one["name"] == "secrets")
        paths = {item["path"] for source in volume["sources"] for item in source["secret"]["items"]}
        for container in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]):
            (mount,) = (one for one in container["volumeMounts"] if one["name"] == "secrets")
            files = {value for name, value in variables(container).items() if name.endswith("_FILE")}
            assert files == {f"{mount['mountPath']}/{path}" for path in paths}
            assert {
                "ANGARIUM_DATABASE_URL_FILE",
                "ANGARIUM_JWT_SECRET_FILE",
                "ANGARIUM_SECRET_KEY_FILE",
            } <= set(variables(container))


def test_every_probe_asks_a_path_of_the_listener_at_its_port(variant: list[Resource]) -> None:
    for pod in (one["spec"]["template"] for one in of_kind(variant, "Deployment")):
        (container,) = pod["spec"]["containers"]
        ports = {one["name"]: one["containerPort"] for one in container["ports"]}
        assert variables(container)["ANGARIUM_OPS_LISTEN"] == f"0.0.0.0:{ports['ops']}"
        if "http" in ports:
            assert variables(container)["ANGARIUM_LISTEN"] == f"0.0.0.0:{ports['http']}"
        for kind, path in (
            ("startupProbe", "/startupz"),
            ("livenessProbe", "/livez"),
            ("readinessProbe", "/readyz"),
        ):
            assert container[kind]["httpGet"] == {"path": path, "port": "ops"}
            assert path in PATHS


def test_the_monitor_scrapes_a_path_of_the_listener() -> None:
    resources = rendered(BY_NAME["monitoring"])
    (monitor,) = of_kind(resources, "ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["path"] in PATHS
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    (service,) = (one for one in of_kind(resources, "Service") if wanted <= one["metadata"]["labels"].items())
    assert [one["name"] for one in service["spec"]["ports"]] == [endpoint["port"]]


def rules(**values: Any) -> list[Any]:
    (one,) = of_kind(rendered(**values), "PrometheusRule")
    return list(one["spec"]["groups"])


def test_the_rules_are_those_of_the_monitoring_files_and_others_are_added() -> None:
    shipped = load(MONITORING / "alerts.yml")["groups"]
    assert rules(prometheusRule__enabled=True) == shipped
    own = [{"name": "own", "rules": [{"alert": "Own", "expr": "absent(up)"}]}]
    assert rules(prometheusRule={"enabled": True, "groups": own}) == shipped + own
    assert rules(prometheusRule={"enabled": True, "shipped": False, "groups": own}) == own


def test_the_links_of_the_rules_lead_to_the_runbook_that_the_values_name() -> None:
    wiki = "https://wiki.example.com/webhooks"
    named, shipped = (
        rules(prometheusRule={"enabled": True, "runbookUrl": wiki}),
        rules(prometheusRule__enabled=True),
    )
    for mine, theirs in zip(alerts(named), alerts(shipped), strict=True):
        anchor = theirs["annotations"]["runbook_url"].partition("#")[2]
        assert mine["annotations"]["runbook_url"] == f"{wiki}#{anchor}"
        assert mine["annotations"]["summary"] == theirs["annotations"]["summary"]


def alerts(groups: list[Any]) -> list[Any]:
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def test_the_dashboard_is_that_of_the_monitoring_files_where_the_sidecar_of_grafana_looks() -> None:
    (one,) = of_kind(rendered(BY_NAME["monitoring"]), "ConfigMap")
    assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert one["metadata"]["annotations"] == {"grafana_folder": "Webhooks"}
    (text,) = one["data"].values()
    assert text == (MONITORING / "dashboard.json").read_text().strip()
    assert len(text) < 1024 * 1024  # what a ConfigMap holds


def test_a_packaged_chart_has_the_files_themselves(tmp_path: Path) -> None:
    run("package", str(CHART), "--destination", str(tmp_path))
    (archive,) = tmp_path.glob("*.tgz")
    assert rendered(BY_NAME["monitoring"], chart=archive) == rendered(BY_NAME["monitoring"])


def test_every_pod_is_what_the_restricted_standard_asks_for(variant: list[Resource]) -> None:
    for pod in pods(variant):
        context = pod["spec"]["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod["spec"])
    for container in containers(variant):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]


def test_a_selector_finds_the_pods_of_its_deployment_and_no_others(variant: list[Resource]) -> None:
    found = {}
    labels = [pod["metadata"]["labels"].items() for pod in pods(variant)]
    for one in of_kind(variant, "Deployment", "PodDisruptionBudget"):
        wanted = one["spec"]["selector"]["matchLabels"].items()
        found[one["kind"], one["metadata"]["name"]] = [wanted <= each for each in labels].count(True)
    assert set(found.values()) == {1}


def test_requests_go_to_the_pods_that_accept() -> None:
    resources = rendered(BY_NAME["roles"])
    service = next(one for one in of_kind(resources, "Service") if one["spec"]["ports"][0]["name"] == "http")
    wanted = service["spec"]["selector"].items()
    reached = [
        pod["spec"]["containers"][0]["args"]
        for pod in pods(resources)
        if wanted <= pod["metadata"]["labels"].items()
    ]
    assert reached == [["serve", "--role", "api"]]


ALWAYS = ["Deployment", "Service", "Service", "ServiceAccount"]


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("default", ["PodDisruptionBudget"]),
        ("roles", ["Deployment", "PodDisruptionBudget", "PodDisruptionBudget"]),
        ("job", ["PodDisruptionBudget", "Job"]),
        ("autoscaling", ["Deployment", "HorizontalPodAutoscaler"]),
        ("ingress", ["PodDisruptionBudget", "Ingress"]),
        ("gateway", ["PodDisruptionBudget", "HTTPRoute"]),
        ("monitoring", ["PodDisruptionBudget", "ServiceMonitor", "PrometheusRule", "ConfigMap"]),
        ("full", ["PodDisruptionBudget", "Job", "NetworkPolicy"]),
    ],
)
def test_the_values_choose_what_is_installed(name: str, more: list[str]) -> None:
    assert sorted(one["kind"] for one in rendered(BY_NAME[name])) == sorted(ALWAYS + more)


def test_the_schema_is_migrated_by_each_pod_by_a_job_or_not_at_all() -> None:
    def migrations(mode: str) -> list[tuple[str, Any]]:
        resources = rendered(migrate__mode=mode)
        starts = [
            ("init", one["args"]) for pod in pods(resources) for one in pod["spec"].get("initContainers", ())
        ]
        jobs = [one["metadata"]["annotations"]["helm.sh/hook"] for one in of_kind(resources, "Job")]
        return starts + [("hook", one) for one in jobs]

    assert migrations("init") == [("init", ["migrate"])]
    assert migrations("job") == [("hook", "pre-install,pre-upgrade")]
    assert migrations("none") == []


def test_a_job_before_the_installation_uses_nothing_that_is_installed_later() -> None:
    (job,) = of_kind(rendered(BY_NAME["job"]), "Job")
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "default"
    (job,) = of_kind(rendered(BY_NAME["job"], serviceAccount={"create": False, "name": "sender"}), "Job")
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "sender"


def test_a_role_that_scales_by_itself_has_no_number_of_replicas() -> None:
    deployments = {
        one["metadata"]["name"]: one["spec"]
        for one in of_kind(rendered(BY_NAME["autoscaling"]), "Deployment")
    }
    assert "replicas" not in deployments[f"{RELEASE}-angarium-api"]
    assert deployments[f"{RELEASE}-angarium-dispatch"]["replicas"] == 2


def test_a_digest_comes_before_a_tag() -> None:
    def image(**values: Any) -> str:
        return str(containers(rendered(**values))[0]["image"])

    assert image() == f"angarium:{__version__}"
    assert image(image__tag="edge") == "angarium:edge"
    digest = "sha256:" + "a" * 64
    assert image(image__tag="edge", image__digest=digest) == f"angarium@{digest}"


def test_numbers_of_the_configuration_are_written_as_the_operator_wrote_them() -> None:
    container = containers(rendered(BY_NAME["ingress"]))[0]
    settings = variables(container)
    assert settings["ANGARIUM_BODY_LIMIT"] == "2097152"
    assert settings["ANGARIUM_RETRY_JITTER"] == "0.1"
    assert settings["ANGARIUM_HTTPS_ONLY"] == "true"


def test_requests_are_taken_as_long_as_the_values_say_before_a_pod_ends() -> None:
    (pod,) = pods(rendered(migrate__mode="none", drainDelay="12s", terminationGracePeriodSeconds=120))
    assert variables(pod["spec"]["containers"][0])["ANGARIUM_DRAIN_DELAY"] == "12s"
    assert pod["spec"]["terminationGracePeriodSeconds"] == 120


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"roles__all__replicas": 0}, "roles: set the replicas"),
        ({"roles__dispatch__replicas": 65}, "maximum"),
        ({"migrate__mode": "hook"}, "/migrate/mode"),
        ({"replicas": 3}, "replicas"),
        ({"image__digest": "latest"}, "/image/digest"),
        ({"config": {"HISTORY": "30d"}}, "HISTORY"),
        ({"config": {"ANGARIUM_JWT_SECRET": "secret"}}, "ANGARIUM_JWT_SECRET"),
        ({"database__existingSecret": ""}, "/database/existingSecret"),
        ({"ingress__enabled": True}, "ingress.hosts: name at least one host"),
        ({"gateway__enabled": True}, "gateway.parentRefs: name the Gateway"),
        (
            {"prometheusRule__enabled": True, "prometheusRule__shipped": False},
            "prometheusRule.groups: give the rules",
        ),
        ({"prometheusRule__runbookUrl": "wiki"}, "/prometheusRule/runbookUrl"),
        ({"dashboard": {"enabled": True, "labels": {"grafana_dashboard": None}}}, "/dashboard/labels"),
        ({"networkPolicy__enabled": True}, "networkPolicy.database: name the peers of the database"),
    ],
)
def test_values_that_make_no_sense_are_refused_by_name(values: dict[str, Any], named: str) -> None:
    with pytest.raises(RenderError) as caught:
        rendered(**values)
    assert named in str(caught.value)


def test_the_schema_of_the_values_knows_every_value_and_no_other() -> None:
    def known(schema: Any, values: Any, path: str = "") -> set[str]:
        if not isinstance(values, dict) or "properties" not in schema:
            return set()
        lost = set(values) ^ set(schema["properties"])
        return {f"{path}{one}" for one in lost}.union(
            *(
                known(schema["properties"][key], value, f"{path}{key}.")
                for key, value in values.items()
                if key not in lost
            )
        )

    schema = json.loads((CHART / "values.schema.json").read_text())
    optional = {"global"} | {f"roles.{role}.resources.claims" for role in ("all", "api", "dispatch")}
    differing = known(schema, load(CHART / "values.yaml"))
    assert (
        differing
        - optional
        - {name for name in differing if name.endswith(("resources.limits", "resources.claims"))}
        == set()
    )


def test_the_settings_that_the_chart_sets_itself_are_not_set_twice() -> None:
    names = json.loads((CHART / "values.schema.json").read_text())["properties"]["config"]["propertyNames"][
        "not"
    ]["enum"]
    assert setting_faults(names) == []
    secrets = {
        f"ANGARIUM_{name.upper()}"
        for name, field in Settings.model_fields.items()
        if "SecretStr" in str(field.annotation)
    }
    assert secrets & set(names) >= {"ANGARIUM_DATABASE_URL", "ANGARIUM_JWT_SECRET", "ANGARIUM_SECRET_KEY"}


def test_the_chart_has_the_version_of_the_package() -> None:
    chart = load(CHART / "Chart.yaml")
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert chart["appVersion"] == chart["version"] == project["version"]


def test_every_value_is_in_the_readme_of_the_chart() -> None:
    text = (CHART / "README.md").read_text()
    assert [name for name in load(CHART / "values.yaml") if f"`{name}" not in text] == []


@pytest.mark.parametrize("name", list(BY_NAME))
def test_the_notes_name_commands_of_the_program_and_pods_that_are_installed(
    name: str, tmp_path: Path
) -> None:
    # `helm template` leaves the notes out, and `helm install` asks a cluster
    chart = shutil.copytree(CHART, tmp_path / "angarium")
    (chart / "templates/NOTES.txt").rename(chart / "notes")
    (chart / "templates/notes.yaml").write_text(
        'kind: Notes\ntext: |\n{{ tpl (.Files.Get "notes") . | indent 2 }}\n'
    )
    resources = rendered(BY_NAME[name], chart=chart)
    (notes,) = of_kind(resources, "Notes")
    (line,) = (one for one in notes["text"].splitlines() if " exec " in one)
    target, _, command = line.partition(" -- angarium ")
    assert command_fault(command.split()) is None
    installed = {one["metadata"]["name"] for one in of_kind(resources, "Deployment")}
    assert target.split("deployment/")[1].split()[0] in installed
