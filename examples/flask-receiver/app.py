"""A warehouse that ships what the shop sold."""

import logging
import os
from dataclasses import dataclass

from flask import Flask

from angarium.receiver import Event, Receiver, SqliteInbox
from angarium.receiver.adapter.flask import blueprint

log = logging.getLogger("warehouse")
logging.basicConfig(level=logging.INFO)
receiver = Receiver(
    "standard",
    os.environ["WEBHOOK_SECRET"],
    inbox=SqliteInbox(os.environ.get("INBOX", "inbox.db")),
)


@dataclass
class Order:
    id: int
    item: str


@receiver.on("order.placed")
def ship(order: Order) -> None:
    """Runs in the worker. If this raises an exception, the worker retries later."""
    log.info("shipped %s for order %d", order.item, order.id)


@receiver.default
def ignore(event: Event) -> None:
    """Event types that this program does not know yet."""
    log.info("ignored %s", event.type)


app = Flask(__name__)
app.register_blueprint(blueprint(receiver, "/webhooks"))
