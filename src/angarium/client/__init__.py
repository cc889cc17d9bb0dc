"""A client for operators: send messages from Python, and call anything else of the API.

Standard library only. Every request that could be repeated by accident carries an idempotency key, so a
lost answer never makes a second message.

    angarium = Angarium("https://hooks.example.com", token)
    angarium.send("customer-1", "order.filled", {"id": "ord_1"})
"""

from angarium.client.angarium import Angarium, AsyncAngarium, Sent
from angarium.client.error import ClientError, Refused, Unreachable

__all__ = ["Angarium", "AsyncAngarium", "ClientError", "Refused", "Sent", "Unreachable"]
