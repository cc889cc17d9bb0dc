"""A transactional outbox: stores a message as a row in the transaction of the business change.

A forwarder sends the rows after the commit. Each row has an id that the server accepts once, so every row
becomes exactly one message, even if the forwarder is killed.

The tables are in `angarium.outbox.sqlalchemy` and `angarium.outbox.django`; `forward` has what they share.
"""

from angarium.outbox.forward import Forwarder, Outbox, OutboxRow

__all__ = ["Forwarder", "Outbox", "OutboxRow"]
