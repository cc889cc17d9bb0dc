"""Decides what the probes of a process answer, from facts about it: has it started, is it alive, is it ready?

- Startup: the settings, the secrets, the schema, and a first connection to the database.
- Liveness: a restart would help. It never depends on the database. A connection counts as stuck only while a
  fresh one works.
- Readiness: this process can take requests. It fails for faults of this process only: if it failed while the
  database is unavailable, no process would be ready, and clients would get no response at all. For the same
  reason it does not fail while a restored database is held, but says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from angarium.core.schedule import spoken

BEAT_LIMIT: Final = 10.0
"""Seconds without a turn of the event loop after which a process counts as stuck."""
STUCK_LIMIT: Final = 120.0
"""Seconds for which a connection may be stuck, while fresh ones work, until a restart is due."""
BROKEN_LIMIT: Final = 30.0
"""The same until the process is not ready. A statement may take as long (store/database.py)."""


class Probe(StrEnum):
    """What is asked, as the path of the answer."""

    STARTUP = "startupz"
    LIVENESS = "livez"
    READINESS = "readyz"


class StartStep(StrEnum):
    """A step of the start. Each is a check of the startup probe."""

    SETTINGS = "settings"
    SECRETS = "secrets"
    SCHEMA = "schema"
    CONNECTION = "connection"


class Link(StrEnum):
    """Connections to the database that a process uses."""

    POOL = "pool"
    ENGINE = "engine-pool"
    LOCKS = "locks"


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about a process.

    `beat_age`: seconds since its event loop turned. `ended`: parts that ended, though the process continues.
    `links`: the connections that it uses. `stuck`: those that make no progress although a fresh one works,
    and for how many seconds. `misfit`: why the schema does not fit this release. `restore`: what a restore of
    the database means for this process now, as a sentence.
    """

    done: frozenset[StartStep] = frozenset()
    serving: bool = False
    draining: bool = False
    beat_age: float = 0.0
    links: tuple[Link, ...] = ()
    ended: tuple[str, ...] = ()
    stuck: Mapping[Link, float] = {}
    misfit: str | None = None
    restore: str | None = None


class Check(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that a probe tests. `process`: the number of a child process."""

    name: str
    ok: bool
    reason: str
    process: int | None = None


class ProbeAnswer(msgspec.Struct, frozen=True):
    """The answer to a probe."""

    probe: Probe
    ok: bool
    checks: Sequence[Check]

    @property
    def status(self) -> int:
        """The HTTP status."""
        return 200 if self.ok else 503


class Advice(msgspec.Struct, frozen=True):
    """What a failing check means, and what to do."""

    meaning: str
    action: str


def answer(probe: Probe, facts: Facts) -> ProbeAnswer:
    """The answer of a process."""
    checks = _RULES[probe](facts)
    return ProbeAnswer(probe, all(check.ok for check in checks), checks)


def answer_of_all(probe: Probe, own: Facts, children: Sequence[Facts]) -> ProbeAnswer:
    """The answer of a process that supervises children. `own`: facts of the supervisor.

    It lives while every child lives: a stuck one gets connections of the shared socket, and would not answer.
    It is ready while one child is, since only children that have started accept connections.
    """
    if probe is Probe.LIVENESS:
        checks = [*_liveness(own)]
        for number, facts in enumerate(children):
            checks += [msgspec.structs.replace(check, process=number) for check in _liveness(facts)]
        return ProbeAnswer(probe, all(check.ok for check in checks), checks)
    if probe is Probe.STARTUP:
        connected = [facts.done & {StartStep.CONNECTION} for facts in children]
        return answer(probe, msgspec.structs.replace(own, done=own.done.union(*connected)))
    checks = [_draining(own), _restore(*children), _processes(children)]
    return ProbeAnswer(probe, all(check.ok for check in checks), checks)


def _startup(facts: Facts) -> list[Check]:
    return [
        Check(step, step in facts.done, _DONE[step] if step in facts.done else _WAITING[step])
        for step in StartStep
    ]


def _liveness(facts: Facts) -> list[Check]:
    late = facts.beat_age >= BEAT_LIMIT
    loop = (
        f"The event loop has not run for {spoken(int(facts.beat_age))}." if late else "The event loop runs."
    )
    parts = f"Ended: {', '.join(facts.ended)}." if facts.ended else "All parts run."
    return [
        Check("event-loop", not late, loop),
        Check("parts", not facts.ended, parts),
        *(_link(link, facts, STUCK_LIMIT) for link in facts.links),
    ]


def _readiness(facts: Facts) -> list[Check]:
    serving = "The process has started." if facts.serving else "The process has not started yet."
    fits = (
        "The schema fits this release."
        if facts.misfit is None
        else f"{facts.misfit[:1].upper()}{facts.misfit[1:]}."
    )
    return [
        Check("started", facts.serving, serving),
        _draining(facts),
        Check("schema", facts.misfit is None, fits),
        _restore(facts),
        *(_link(link, facts, BROKEN_LIMIT) for link in facts.links if link is not Link.LOCKS),
    ]


def _draining(facts: Facts) -> Check:
    reason = "The process is stopping." if facts.draining else "The process is not stopping."
    return Check("draining", not facts.draining, reason)


def _restore(*processes: Facts) -> Check:
    said = next((facts.restore for facts in processes if facts.restore is not None), None)
    return Check("restore", True, said or "The database is not held after a restore.")


def _link(link: Link, facts: Facts, limit: float) -> Check:
    seconds = facts.stuck.get(link)
    if seconds is None:
        return Check(link, True, f"{_LINKS[link]} has no fault of its own.")
    stuck = (
        f"{_LINKS[link]} has made no progress for {spoken(int(seconds))}, though a fresh connection works."
    )
    return Check(link, seconds < limit, stuck)


def _processes(children: Sequence[Facts]) -> Check:
    answers = [answer(Probe.READINESS, facts) for facts in children]
    ready = sum(one.ok for one in answers)
    reasons = [f"{ready} of {len(children)} processes are ready."]
    for number, one in enumerate(answers):
        reasons += [f"Process {number}: {check.reason}" for check in one.checks if not check.ok]
    return Check("processes", ready > 0, " ".join(reasons))


_RULES: Final = {
    Probe.STARTUP: _startup,
    Probe.LIVENESS: _liveness,
    Probe.READINESS: _readiness,
}
_DONE: Final = {
    StartStep.SETTINGS: "The settings are valid.",
    StartStep.SECRETS: "The secrets are valid.",
    StartStep.SCHEMA: "The schema fits this release.",
    StartStep.CONNECTION: "The first connection of the pool is open.",
}
_WAITING: Final = {
    StartStep.SETTINGS: "The settings have not been read yet.",
    StartStep.SECRETS: "The secrets have not been checked yet.",
    StartStep.SCHEMA: "The schema has not been checked yet, or is being migrated.",
    StartStep.CONNECTION: "The pool has no connection to the database yet.",
}
_LINKS: Final = {
    Link.POOL: "The pool of API requests",
    Link.ENGINE: "The pool of intake and delivery",
    Link.LOCKS: "The connection that holds the shards",
}

PURPOSE: Final = {
    Probe.STARTUP: "The process has read its settings and reached the database once.",
    Probe.LIVENESS: "The process can work. If it fails, restart the process. It does not depend on the "
    "database.",
    Probe.READINESS: "The process takes requests. If it fails, send requests elsewhere. It stays true while "
    "the database is unavailable.",
}
"""What a probe means."""

ADVICE: Final = {
    StartStep.SETTINGS: Advice(
        "The settings have not been read.",
        "Read the process's log: it names each setting that is wrong.",
    ),
    StartStep.SECRETS: Advice(
        "The secrets have not been read.",
        "Set ANGARIUM_JWT_SECRET and ANGARIUM_SECRET_KEY, or the files that hold them.",
    ),
    StartStep.SCHEMA: Advice(
        "The database's schema is missing, is not the one of this release, or is being migrated.",
        "Wait if a migration runs; the log shows it. Otherwise run `angarium migrate`.",
    ),
    StartStep.CONNECTION: Advice(
        "The process has not reached the database since it started.",
        "Check ANGARIUM_DATABASE_URL, and that PostgreSQL accepts connections from this host.",
    ),
    "event-loop": Advice(
        "The process does nothing: it is paused, has no CPU time, or waits in a blocking call.",
        "Check the host's CPU and memory, and whether the process is stopped or swapped out. Restart it.",
    ),
    "parts": Advice(
        "A part of the process ended and will not return. Its work is not done.",
        "Restart the process. Report the error `part.broken` in its log as a bug.",
    ),
    Link.POOL: Advice(
        "Connections of the pool do not work although the database accepts new ones. API requests fail.",
        "Restart the process. Report it with the log if it happens again.",
    ),
    Link.ENGINE: Advice(
        "Connections of the pool do not work although the database accepts new ones. Messages are neither "
        "accepted nor recorded.",
        "Restart the process. Report it with the log if it happens again.",
    ),
    Link.LOCKS: Advice(
        "The process cannot hold shards although the database accepts new connections. It sends nothing.",
        "Look for `shards.lost` and `shards.unavailable` in the log. Restart the process.",
    ),
    "started": Advice(
        "The process is starting.",
        "Wait. If it takes more than a minute, read the startup probe and the log.",
    ),
    "draining": Advice(
        "The process got SIGTERM. It finishes what is in flight and exits.",
        "Wait. It exits within ANGARIUM_STOP_TIMEOUT.",
    ),
    "restore": Advice(
        "The database was restored to an earlier time. This check never fails.",
        "Continue with the steps of `angarium restore`: reconcile, apply, release.",
    ),
    "processes": Advice(
        "None of the child processes can take requests.",
        "Read the reason of each process. If they restart again and again, the log has `process.died`.",
    ),
}
"""What to do about each check, by name."""
