"""`manage.py forward_outbox`: sends the messages of the outbox, with ANGARIUM_URL and ANGARIUM_TOKEN."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from angarium.client import Angarium
from angarium.outbox.django.models import DjangoOutbox
from angarium.outbox.forward import Forwarder


class Command(BaseCommand):
    help = "Forward the messages of the outbox until stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="Stop when the outbox is empty.")
        parser.add_argument("--refused", action="store_true", help="List refused messages, and stop.")
        parser.add_argument("--restore", action="store_true", help="Queue all refused messages again first.")
        parser.add_argument("--database", default="default", help="Alias of the database.")

    def handle(self, *_: Any, **options: Any) -> None:
        outbox = DjangoOutbox(options["database"])
        if options["refused"]:
            for one, words in outbox.refused(10_000):
                self.stdout.write(f"{one.id}  {one.application}  {one.event_type}  {words}")
            return
        forwarder = Forwarder(outbox, Angarium())
        if options["restore"]:
            self.stdout.write(f"{outbox.restore()} restored")
        if options["once"]:
            while forwarder.step():
                pass
            return
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        forwarder.run(stop)
