"""Reads `/metrics` as Prometheus does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from tests.kit.patience import PATIENCE


@dataclass(frozen=True)
class Scrape:
    """The samples of one scrape, by name and labels. The prefix `angarium_` is left out."""

    samples: Mapping[tuple[str, frozenset[tuple[str, str]]], float]

    def get(self, name: str, **labels: str) -> float | None:
        """The only sample with exactly these labels."""
        return self.samples.get((name, frozenset(labels.items())))

    def total(self, name: str, **labels: str) -> float:
        """The sum of all samples with these labels and others."""
        wanted = set(labels.items())
        return sum(value for (one, has), value in self.samples.items() if one == name and wanted <= has)

    def names(self) -> set[str]:
        return {name for name, _ in self.samples}

    def values(self, label: str) -> set[str]:
        """All values of a label."""
        return {value for _, has in self.samples for name, value in has if name == label}


def parsed(text: str) -> Scrape:
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = sample.name.removeprefix("angarium_"), frozenset(sample.labels.items())
            assert key not in found, f"{key} occurs twice"
            found[key] = sample.value
    return Scrape(found)


async def scrape(url: str) -> Scrape:
    """A scrape of the listener for operators' tools at this URL."""
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"{url}/metrics") as answer:
        assert answer.status == 200, await answer.text()
        return parsed(await answer.text())
