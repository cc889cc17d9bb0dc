"""A transactional outbox: a message is a row that commits with the business change, or not at all.

A forwarder sends the rows afterwards, each under an id of its own that the server accepts once. Killed at
any point, it sends what is left when it comes back: every row becomes one message, exactly.

`angarium.outbox.sqlalchemy` and `angarium.outbox.django` hold the tables; `forward` is what they share.
"""

from angarium.outbox.forward import Forwarder, Outbox, OutboxRow

__all__ = ["Forwarder", "Outbox", "OutboxRow"]
