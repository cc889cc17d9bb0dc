"""Prepares the process from which a supervisor forks its children (supervisor.py), which imports this module.

Everything that a child needs is imported before it, once for all children. A signal to the whole group, such
as of a terminal, does not end this process before the children: the supervisor learns from it how they ended.
"""

from __future__ import annotations

import gc
import os
import signal

_PID = os.getpid()


def _terminated(*_: object) -> None:
    if os.getpid() != _PID:  # a child that has no handler of its own yet
        os._exit(128 + signal.SIGTERM)


signal.signal(signal.SIGTERM, _terminated)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
gc.collect()
gc.freeze()  # so that the collector of a child copies no page of what it shares
