"""Orders, and the messages about them."""

from django.db import models, transaction

from angarium.outbox import django as outbox


class Order(models.Model):
    customer = models.SlugField()
    item = models.CharField(max_length=100)

    def __str__(self) -> str:
        return f"order {self.pk} of {self.customer}"

    @classmethod
    @transaction.atomic
    def place(cls, customer: str, item: str) -> "Order":
        """Store an order, and the message about it in the same transaction."""
        order = cls.objects.create(customer=customer, item=item)
        outbox.add(customer, "order.placed", {"id": order.pk, "item": item})
        return order
