"""A client of the API for operators: sends messages, and calls all other operations.

Needs the standard library only. Each POST has an idempotency key, so a retry after a lost response creates no
second message.

    angarium = Angarium("https://hooks.example.com", token)
    angarium.send("customer-1", "order.filled", {"id": "ord_1"})
"""

from angarium.client.angarium import Angarium, AsyncAngarium, Sent
from angarium.client.error import ClientError, Refused, Unreachable

__all__ = ["Angarium", "AsyncAngarium", "ClientError", "Refused", "Sent", "Unreachable"]
