"""`angarium health`, and what `angarium doctor server` prints: asks a server's probes.

Only the standard library is used, without proxies. The command starts fast: containers run it every few
seconds.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from angarium.cli.error import Exit, Failure, Reported
from angarium.cli.option import Json

DEFAULT: Final = "127.0.0.1:9464"
MOST: Final = 1024 * 1024  # bytes of an answer
_RUNNING: Final = "Check --ops (or ANGARIUM_OPS_LISTEN), and that the server is running."
ANYWHERE: Final = ("0.0.0.0:", "[::]:")

Ops = Annotated[
    str | None,
    typer.Option(help="URL of the operations listener; default: the address in ANGARIUM_OPS_LISTEN."),
]


class Unanswered(Exception):
    """There is no answer, or it is not that of a probe. (The client's errors take longer to import.)"""


class ProbeName(StrEnum):
    """The probes, as in core/probe.py, which takes longer to import."""

    STARTUP = "startupz"
    LIVENESS = "livez"
    READINESS = "readyz"


def health(
    probe: Annotated[ProbeName, typer.Option(help="The probe to ask.")] = ProbeName.READINESS,
    ops: Ops = None,
    timeout: Annotated[float, typer.Option(min=0.1, max=60, help="In seconds.")] = 3.0,
    as_json: Json = False,
) -> None:
    """Ask a probe of a server on this host. Exit code 0 if it passes, 1 if not, or if there is no answer.

    $ angarium health
    $ angarium health --probe livez --ops http://127.0.0.1:9464
    """
    try:
        answer = ask(probe, ops, timeout)
    except Unanswered as error:
        answer = {"probe": probe.value, "ok": False, "checks": []}
        reasons = str(error)
    else:
        reasons = " ".join(check["reason"] for check in answer["checks"] if not check["ok"])
    print(json.dumps(answer, ensure_ascii=False) if as_json else reasons or f"{probe.value}: ok")
    if not answer["ok"]:
        raise typer.Exit(Exit.FAILED)


def explain(ops: str | None, timeout: float, *, as_json: bool) -> None:
    """Prints every check of every probe; of failing ones what they mean, and what to do."""
    from angarium.core.probe import ADVICE, PURPOSE, Probe

    try:
        answers = [ask(probe, ops, timeout) for probe in ProbeName]
    except Unanswered as error:
        raise Reported(Failure("unreachable", str(error), _RUNNING, Exit.UNREACHABLE)) from error
    failing = [check for answer in answers for check in answer["checks"] if not check["ok"]]
    for check in failing:
        if check["name"] in ADVICE:  # a newer server may have more
            advice = ADVICE[check["name"]]
            check |= {"meaning": advice.meaning, "action": advice.action}
    if as_json:
        print(json.dumps(answers, ensure_ascii=False))
    else:
        for answer in answers:
            print(f"/{answer['probe']}  {PURPOSE[Probe(answer['probe'])]}")
            for check in answer["checks"]:
                _show(check)
            print()
        print(f"{len(failing)} of {sum(len(answer['checks']) for answer in answers)} checks fail")
    if failing:
        raise typer.Exit(Exit.FAILED)


def _show(check: dict[str, Any]) -> None:
    process = f" (process {check['process']})" if "process" in check else ""
    print(f"  {'ok  ' if check['ok'] else 'FAIL'}  {check['name']:<14}{check['reason']}{process}")
    for word in ("meaning", "action"):
        if word in check:
            print(f"        {'':<14}{check[word]}")


def ask(probe: ProbeName, ops: str | None, timeout: float) -> dict[str, Any]:
    """The answer to a probe. Raises Unanswered if there is none."""
    url = f"{(ops or _local()).rstrip('/')}/{probe.value}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        try:
            with opener.open(url, timeout=timeout) as response:
                body = response.read(MOST)
        except urllib.error.HTTPError as refused:
            with refused:
                body = refused.read(MOST)
        answer = json.loads(body)
        if not isinstance(answer, dict) or not {"probe", "ok", "checks"} <= answer.keys():
            raise ValueError("the answer is not that of a probe")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        words = getattr(reason, "strerror", None) or reason
        raise Unanswered(f"{url} does not answer the probe: {words}") from error
    return answer


def _local() -> str:
    address = os.environ.get("ANGARIUM_OPS_LISTEN", DEFAULT)
    if not address:
        raise typer.BadParameter("ANGARIUM_OPS_LISTEN is empty, so this server has no operations listener")
    for anywhere in ANYWHERE:
        if address.startswith(anywhere):
            address = "127.0.0.1:" + address.removeprefix(anywhere)
    return f"http://{address}"
