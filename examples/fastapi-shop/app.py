"""A shop that sends messages about orders to each customer's systems."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, Path
from pydantic import BaseModel
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from angarium.client import Angarium
from angarium.outbox import Forwarder
from angarium.outbox.sqlalchemy import OutboxTable


class Base(DeclarativeBase):
    """The shop's tables."""


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[str]
    item: Mapped[str]


outbox = OutboxTable(Base.metadata)
engine = create_engine(os.environ.get("DATABASE_URL", "sqlite:///shop.db"))
angarium = Angarium()  # ANGARIUM_URL and ANGARIUM_TOKEN


@asynccontextmanager
async def forwarding(_: FastAPI) -> AsyncIterator[None]:
    """Send the messages of the outbox while the shop runs."""
    Base.metadata.create_all(engine)
    stop = threading.Event()
    forwarder = threading.Thread(target=Forwarder(outbox.on(engine), angarium).run, args=[stop])
    forwarder.start()
    yield
    stop.set()
    await asyncio.to_thread(forwarder.join)


app = FastAPI(title="Shop", lifespan=forwarding)
Customer = Annotated[str, Path(pattern="^[a-z0-9-]{1,50}$")]


class NewCustomer(BaseModel):
    name: str


class NewOrder(BaseModel):
    item: str


class PlacedOrder(NewOrder):
    id: int


class Link(BaseModel):
    url: str


@app.put("/customers/{customer}", status_code=204)
def sign_up(customer: Customer, new: NewCustomer) -> None:
    """Create an application for the customer's endpoints. Its uid is the customer's id in the shop."""
    body = {"uid": customer, "name": new.name}
    angarium.call("POST", "/app", body, query={"get_if_exists": True})


@app.post("/customers/{customer}/orders", status_code=201)
def place_order(customer: Customer, new: NewOrder) -> PlacedOrder:
    """Store the order, and the message about it in the same transaction."""
    with Session(engine) as session, session.begin():
        order = Order(customer=customer, item=new.item)
        session.add(order)
        session.flush()  # gives the order its id
        placed = PlacedOrder(id=order.id, item=order.item)
        session.execute(outbox.insert(customer, "order.placed", placed.model_dump()))
    return placed


@app.post("/customers/{customer}/webhooks")
def link_to_portal(customer: Customer) -> Link:
    """A link for the customer to manage endpoints and read the log. Authenticate the customer first."""
    return Link(url=angarium.call("POST", f"/auth/app-portal-access/{customer}", {})["url"])
