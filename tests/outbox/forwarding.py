"""A forwarder in a process of its own, which is killed right after the server accepted its nth message.

python -m tests.outbox.forwarding KIND DATABASE URL TOKEN KILL_AFTER
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from angarium.client import Angarium, Sent
from angarium.outbox import Forwarder


class Killed(Angarium):
    """A client that kills its process after the nth message."""

    left = 0

    def send(self, *values: Any, **more: Any) -> Sent:
        sent = super().send(*values, **more)
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return sent


def outbox(kind: str, database: str) -> Any:
    if kind == "django":
        from tests.outbox.django_site import configure

        configure(database)
        from angarium.outbox.django.models import DjangoOutbox

        return DjangoOutbox()
    from sqlalchemy import MetaData, create_engine

    from angarium.outbox.sqlalchemy import OutboxTable

    return OutboxTable(MetaData()).on(create_engine(database))


if __name__ == "__main__":
    kind, database, url, token, kill_after = sys.argv[1:]
    client = Killed(url, token)
    client.left = int(kill_after)
    forwarder = Forwarder(outbox(kind, database), client)
    while forwarder.step():
        pass
