"""Writes `docs/metrics.md` from the catalogue: `python -m angarium.telemetry.page > docs/metrics.md`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from angarium.telemetry.catalogue import SECTIONS
from angarium.telemetry.logs import EVENTS, OWN_FAULTS
from angarium.telemetry.registry import PREFIX, Across, Family

_ACROSS: Final = {
    Across.SUM: "sum",
    Across.MAX: "largest",
    Across.MIN: "smallest",
    Across.EACH: "one each",
}
_HEAD: Final = """\
# Metrics

`/metrics` of the listener at `ANGARIUM_OPS_LISTEN` shows these metrics, in Prometheus's text format or as
OpenMetrics. [Operating](operating.md#metrics) says how to scrape it and what to look at first. This page is
the output of `python -m angarium.telemetry.page`.

All names begin with `angarium_`. Times are in seconds, sizes in bytes. Labels have few values: none is the
id or the name of a customer's application, endpoint or message, except for applications that
`ANGARIUM_METRICS_APPLICATIONS` lists. A metric has at most 2,000 series; what exceeds that is counted with
the value `other` of each label.

With `--processes N` one scrape shows all processes. The last column says how their values become one.
Counters of processes that have ended are kept. Only one process of all hosts, the owner of the first shard,
has the gauges under *Backlog* and the partitions, `retention_lag_seconds`, `database_bytes` and
`database_xid_age`: use `max` over all targets, or `min` where the last column says *smallest*. If a gauge of
the database cannot be read within a second, it is missing until it can.

With `ANGARIUM_OTLP_ENDPOINT` (and the extra `otel`) the same metrics are sent to an OpenTelemetry collector
every `ANGARIUM_OTLP_INTERVAL`, by OTLP over HTTP, with the same names, labels and buckets. Counters and
histograms are cumulative. A server is one resource, whatever its number of processes: its attribute
`service.instance.id` is new at each start, and values of several processes are combined as on the page. The
SDK's variables `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` add to the resource. When a server stops,
it sends the metrics once more, within five seconds. A collector that is away, slow or refusing costs a line
in the log (`otlp.unsent`) and nothing else; requests are made in a thread.

The exporter also reads some environment variables of OpenTelemetry, which have no `ANGARIUM_` setting:
`OTEL_EXPORTER_OTLP_CERTIFICATE` (a file with the certificates of CAs, instead of the public
ones), `OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE` and `OTEL_EXPORTER_OTLP_CLIENT_KEY` (files, for mutual TLS),
and `OTEL_EXPORTER_OTLP_COMPRESSION` (`gzip`). If `REQUESTS_CA_BUNDLE` or `CURL_CA_BUNDLE`
is set, its certificates count instead of the first. A proxy is taken from `HTTPS_PROXY` or `HTTP_PROXY`,
except for the hosts in `NO_PROXY`.
"""


def page() -> str:
    """The text of the page."""
    return "\n".join([_HEAD, *_tables(), *_faults()]) + "\n"


def _tables() -> Iterator[str]:
    for title, families in SECTIONS.items():
        yield f"## {title}\n"
        yield "| name | type | labels | meaning | of several processes |"
        yield "|---|---|---|---|---|"
        for family in families:
            yield _row(family)
        yield ""


def _row(family: Family) -> str:
    labels = ", ".join(f"`{label}`" for label in family.shown_labels)
    meaning = family.meaning
    if family.buckets:
        meaning += f" Buckets: {', '.join(f'{bound:g}' for bound in family.buckets)}."
    name = f"`{PREFIX}{family.name}`"
    return f"| {name} | {family.kind.value} | {labels} | {meaning} | {_ACROSS[family.across]} |"


def _faults() -> Iterator[str]:
    yield f"## Events of `{PREFIX}own_faults_total`\n"
    yield "| event | meaning |"
    yield "|---|---|"
    for event in sorted(OWN_FAULTS):
        yield f"| `{event}` | {EVENTS[event]} |"


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 (the page is the output)
