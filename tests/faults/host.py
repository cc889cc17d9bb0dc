"""Runs `angarium` on a host whose clock and name server can be led astray while it runs.

`python host.py serve …` does what `angarium serve …` does. The file that FAULTS_HOST names says how:
`{"clock": seconds ahead, "dns": "well" | "dead" | "slow"}`. Names that end in `.test` are at FAULTS_ADDRESS.
"""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

STATE = Path(os.environ["FAULTS_HOST"])
SLOW = 7.0  # seconds for an answer of the name server

_time, _time_ns, _getaddrinfo = time.time, time.time_ns, socket.getaddrinfo


def state() -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(STATE.read_text())
    except (OSError, ValueError):  # not there, or being written
        return {}
    return found


def jumped() -> float:
    return _time() + float(state().get("clock", 0.0))


def jumped_ns() -> int:
    return _time_ns() + int(float(state().get("clock", 0.0)) * 1e9)


def resolved(host: Any, *arguments: Any, **named: Any) -> Any:
    if not str(host).endswith(".test"):
        return _getaddrinfo(host, *arguments, **named)
    dns = state().get("dns", "well")
    if dns == "slow":
        time.sleep(SLOW)
    if dns == "dead":
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return _getaddrinfo(os.environ["FAULTS_ADDRESS"], *arguments, **named)


if __name__ == "__main__":
    time.time, time.time_ns, socket.getaddrinfo = jumped, jumped_ns, resolved
    from angarium.cli.main import main

    main()
