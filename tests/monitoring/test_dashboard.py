"""The dashboard and the alerts with a real Prometheus that scrapes a real server."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import pytest
import yaml

from tests.cli.test_serve import serve, token
from tests.kit.debian import unpacked
from tests.kit.patience import until
from tests.kit.port import free_port
from tests.kit.receiver import Receiver
from tests.monitoring.test_rules import MONITORING, unknown

QUIET: Final = {
    "Turned away",
    "Paused endpoints",
    "Own faults",
    "Endpoints disabled",
    "Errors",
    "Changes of owners",
}
"""Charts of what does not happen before the database is away."""


def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dashboard", MONITORING / "dashboard.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


DOCUMENT: Final[dict[str, Any]] = json.loads((MONITORING / "dashboard.json").read_text())
SCRAPED: Final = (
    1.0  # seconds between two scrapes of Prometheus: what does not hold yet is not asked for sooner
)
CHARTS: Final = [panel for panel in DOCUMENT["panels"] if panel["type"] == "timeseries"]


def test_the_dashboard_is_made_of_its_list() -> None:
    assert module().dashboard() == DOCUMENT, "run `python deploy/monitoring/dashboard.py`"


def test_panels_have_their_own_id_and_place_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in DOCUMENT["panels"]}) == len(DOCUMENT["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in DOCUMENT["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart["title"])
def test_a_chart_uses_metrics_and_labels_that_there_are(chart: dict[str, Any]) -> None:
    for target in chart["targets"]:
        assert unknown(target["expr"]) == []
        assert target["legendFormat"]


class Prometheus:
    """A Prometheus that scrapes one server every second."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def ask(self, path: str, **parameters: str) -> Any:
        async with self._session.get(f"{self._url}/api/v1/{path}", params=parameters) as answer:
            told = await answer.json()
        assert told["status"] == "success", told
        return told["data"]

    async def values(self, expression: str) -> list[float]:
        found = await self.ask("query", query=expression)
        return [float(one["value"][1]) for one in found["result"]]

    async def firing(self) -> set[str]:
        found = await self.ask("alerts")
        return {one["labels"]["alertname"] for one in found["alerts"] if one["state"] == "firing"}


@asynccontextmanager
async def prometheus(directory: Path, scraped: int) -> AsyncIterator[Prometheus]:
    """With the configuration and the alerts that ship, but intervals of a second and no waiting time."""
    configuration = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    configuration["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{scraped}"]
    (directory / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    alerts = (MONITORING / "alerts.yml").read_text()
    (directory / "alerts.yml").write_text(re.sub(r"for: \w+", "for: 0s", alerts))
    port = free_port()
    with (directory / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            unpacked("prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=data",
            f"--web.listen-address=127.0.0.1:{port}", cwd=directory, stdout=log, stderr=log,
        )  # fmt: skip
    async with aiohttp.ClientSession() as session:
        try:
            made = Prometheus(f"http://127.0.0.1:{port}", session)
            await until(lambda: ready(made))
            yield made
        finally:
            process.terminate()
            await process.wait()


async def ready(one: Prometheus) -> bool:
    try:
        return bool(await one.values("angarium_build_info"))
    except aiohttp.ClientError:
        return False


async def test_every_chart_is_filled_and_an_alert_fires_and_ends(database_url: str, tmp_path: Path) -> None:
    ops = free_port()
    async with (
        serve(database_url, "--processes", "2", ANGARIUM_OPS_LISTEN=f"127.0.0.1:{ops}") as (_, url),
        Receiver() as receiver,
        prometheus(tmp_path, ops) as asked,
        aiohttp.ClientSession(f"{url}/api/v1/", headers={"authorization": f"Bearer {token()}"}) as api,
    ):
        for path, body in (
            ("app", {"name": "a", "uid": "a"}),
            ("app/a/endpoint", {"url": receiver.url}),
            ("app/a/endpoint", {"url": f"http://127.0.0.1:{free_port()}/"}),
        ):
            async with api.post(path, json=body) as answer:
                assert answer.status == 201, await answer.text()
        queries = {
            expression(target["expr"]): chart["title"] for chart in CHARTS for target in chart["targets"]
        }
        empty: list[str] = []

        async def filled() -> bool:
            await send(api)  # a rate needs something that increases
            empty[:] = [
                f"{title}: {query}" for query, title in queries.items() if not await asked.values(query)
            ]
            return all(one.partition(":")[0] in QUIET for one in empty)

        try:
            await until(filled, pause=SCRAPED)
        except AssertionError:
            assert empty == []
        assert "AngariumDatabaseReadOnly" not in await asked.firing()

        await set_read_only(database_url, "on")
        await until(lambda: fires(asked, "AngariumDatabaseReadOnly"), pause=SCRAPED)
        await set_read_only(database_url, "off")
        await until(lambda: ends(asked, "AngariumDatabaseReadOnly"), pause=SCRAPED)
        await send(api)


async def set_read_only(url: str, value: str) -> None:
    """Make all sessions of the database read-only, or end that."""
    owner = await asyncpg.connect(url, server_settings={"default_transaction_read_only": "off"})
    name = urlsplit(url).path.lstrip("/")
    await owner.execute(f"alter database {name} set default_transaction_read_only = {value}")
    await owner.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = $1 and pid <> pg_backend_pid()",
        name,
    )
    await owner.close()


async def fires(asked: Prometheus, alert: str) -> bool:
    return alert in await asked.firing()


async def ends(asked: Prometheus, alert: str) -> bool:
    return alert not in await asked.firing()


def expression(written: str) -> str:
    """As Grafana asks it, with the values of the variables."""
    return written.replace("$__rate_interval", "1m").replace("$job", ".*").replace("$instance", ".*")


async def send(api: aiohttp.ClientSession) -> None:
    """A message, which one endpoint gets and the other does not."""
    body = {"eventType": "order.filled", "payload": {}}
    while True:  # while the database has been away, 503 asks to try again
        async with api.post("app/a/msg", json=body) as answer:
            if answer.status == 202:
                return
            assert answer.status == 503, await answer.text()
        await asyncio.sleep(1)
