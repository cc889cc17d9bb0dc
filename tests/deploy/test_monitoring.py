"""The profile `monitoring` of the Compose file: what is mounted, scraped, evaluated, sent and shown."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path, PurePosixPath
from typing import Any, Final

import pytest

from tests.deploy import dockerfile
from tests.deploy.meaning import DEPLOY, load
from tests.kit.debian import unpacked

COMPOSE: Final[dict[str, Any]] = load(DEPLOY / "compose.yaml")
SERVICES: Final[dict[str, Any]] = COMPOSE["services"]
PROFILE: Final = {name: one for name, one in SERVICES.items() if one.get("profiles") == ["monitoring"]}
FILES: Final = DEPLOY / "monitoring" / "compose"
PROMETHEUS: Final = load(FILES / "prometheus.yml")
(SOURCE,) = load(FILES / "grafana/datasources/prometheus.yml")["datasources"]
(PROVIDER,) = load(FILES / "grafana/dashboards/angarium.yml")["providers"]
PATHS: Final = {
    "prometheus": [PROFILE["prometheus"]["command"][0].removeprefix("--config.file=")],
    "alertmanager": [PROFILE["alertmanager"]["command"][0].removeprefix("--config.file=")],
    "grafana": [
        PROFILE["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"],
        PROVIDER["options"]["path"],
        "/etc/grafana/provisioning/datasources/prometheus.yml",
        "/etc/grafana/provisioning/dashboards/angarium.yml",
    ],
}
"""What each container reads."""


def mounts(service: str) -> dict[PurePosixPath, str]:
    """What is mounted at a path of a container: a path relative to the Compose file, or a volume's name."""
    found = {}
    for mount in SERVICES[service]["volumes"]:
        source, target = re.sub(r"\$\{\w+:-([^}]+)\}", r"\1", mount).removesuffix(":ro").split(":")
        found[PurePosixPath(target)] = source
    return found


def here(service: str, path: str) -> Path:
    """The file of this source that a container has at this path."""
    above = (PurePosixPath(path), *PurePosixPath(path).parents)
    ((target, source),) = [one for one in mounts(service).items() if one[0] in above]
    assert source.startswith("./"), f"{path} is in the volume {source}"
    return DEPLOY / source / PurePosixPath(path).relative_to(target)


def check(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def port(service: str) -> str:
    """The port that a service of the profile listens at."""
    (published,) = PROFILE[service]["ports"]
    return str(published).rpartition(":")[2]


def test_only_the_services_of_the_profile_are_left_out_without_it() -> None:
    assert set(PROFILE) == {"prometheus", "alertmanager", "grafana"}
    assert [name for name, one in SERVICES.items() if "profiles" in one and name not in PROFILE] == []


@pytest.mark.parametrize("service", PATHS)
def test_what_a_container_reads_is_mounted_and_cannot_be_written_there(service: str) -> None:
    for path in PATHS[service]:
        assert here(service, path).exists(), path
    for mount in PROFILE[service]["volumes"]:
        assert mount.endswith(":ro") or not mount.startswith(("./", "$")), mount


@pytest.mark.parametrize("service", PROFILE)
def test_what_a_container_keeps_is_in_a_volume(service: str) -> None:
    kept = [source for source in mounts(service).values() if not source.startswith("./")]
    assert kept == [service]
    assert service in COMPOSE["volumes"]
    (place,) = [str(path) for path, source in mounts(service).items() if source == service]
    stored = re.findall(r"--storage\S*path=(\S+)", " ".join(PROFILE[service].get("command", [])))
    assert stored == ([] if service == "grafana" else [place])


def test_promtool_accepts_the_configuration_with_the_alerts_that_ship() -> None:
    file = here("prometheus", PATHS["prometheus"][0])
    assert file == FILES / "prometheus.yml"
    done = check(unpacked("promtool"), "check", "config", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Checking {DEPLOY}/monitoring/alerts.yml" in done.stdout
    inside = PurePosixPath(PATHS["prometheus"][0]).parent.parent / "alerts.yml"
    assert here("prometheus", str(inside)) == DEPLOY / "monitoring" / "alerts.yml"


def test_every_process_of_the_service_is_scraped_at_the_port_of_the_image() -> None:
    ((job,),) = (PROMETHEUS["scrape_configs"],)
    (discovery,) = job["dns_sd_configs"]
    serving = {name for name, one in SERVICES.items() if one.get("command", [""])[0] == "serve"}
    assert set(discovery["names"]) == serving
    image = dockerfile.parse((DEPLOY / "Dockerfile").read_text())[-1]
    assert image.environment()["ANGARIUM_OPS_LISTEN"] == f"0.0.0.0:{discovery['port']}"
    alone = load(DEPLOY / "monitoring" / "prometheus.yml")
    assert job["job_name"] == alone["scrape_configs"][0]["job_name"]
    assert PROMETHEUS["global"] == alone["global"]


def test_alerts_are_sent_to_the_alertmanager_of_the_profile() -> None:
    (alerting,) = PROMETHEUS["alerting"]["alertmanagers"]
    assert alerting["static_configs"] == [{"targets": [f"alertmanager:{port('alertmanager')}"]}]


def test_amtool_accepts_the_routes_and_tickets_have_their_own() -> None:
    file = here("alertmanager", PATHS["alertmanager"][0])
    assert file == FILES / "alertmanager.yml"
    done = check(unpacked("amtool"), "check-config", file)
    assert done.returncode == 0, done.stdout + done.stderr
    rules = (DEPLOY / "monitoring" / "alerts.yml").read_text()
    severities = set(re.findall(r"severity: (\w+)}", rules))
    assert severities == {"page", "ticket"}
    for severity in severities:
        routed = check(
            unpacked("amtool"), "config", "routes", "test", f"--config.file={file}",
            f"--verify.receivers={severity}", f"severity={severity}", "alertname=AngariumDown",
        )  # fmt: skip
        assert routed.returncode == 0, routed.stdout + routed.stderr


def test_grafana_shows_the_dashboard_that_ships_with_the_prometheus_of_the_profile() -> None:
    assert SOURCE["url"] == f"http://prometheus:{port('prometheus')}"
    assert SOURCE["jsonData"]["timeInterval"] == PROMETHEUS["global"]["scrape_interval"]
    shown = here("grafana", PROVIDER["options"]["path"])
    assert list(shown.rglob("*.json")) == [DEPLOY / "monitoring" / "dashboard.json"]
    (variable,) = [
        one
        for one in json.loads((shown / "dashboard.json").read_text())["templating"]["list"]
        if one["type"] == "datasource"
    ]
    assert variable["query"] == SOURCE["type"]
    assert SOURCE["isDefault"] is True


def test_grafana_has_a_password_of_its_own_and_asks_no_other_host() -> None:
    environment = PROFILE["grafana"]["environment"]
    (secret,) = PROFILE["grafana"]["secrets"]
    passwords = {name: value for name, value in environment.items() if "PASSWORD" in name}
    assert passwords == {"GF_SECURITY_ADMIN_PASSWORD__FILE": f"/run/secrets/{secret}"}
    asking = [value for name, value in environment.items() if "ANALYTICS" in name or "NEWS" in name]
    assert asking == ["false"] * 4


def test_a_container_of_the_profile_has_no_privileges() -> None:
    for name, one in PROFILE.items():
        assert (one["cap_drop"], one["security_opt"]) == (["ALL"], ["no-new-privileges:true"])
        assert one.get("read_only", False) is (name != "grafana")
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", one["image"])
