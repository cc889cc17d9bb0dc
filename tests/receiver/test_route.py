"""Which handler gets an event, and in which form."""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import msgspec
import pydantic
import pytest

from angarium.receiver import BadPayload, Event, Receiver
from angarium.receiver.payload import converted
from angarium.receiver.route import Route, Routes, route
from angarium.testing import sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Side(enum.Enum):
    BUY = "buy"


@dataclass
class Line:
    symbol: str
    count: int = 1


@dataclass(frozen=True)
class Order:
    id: str
    price: Decimal
    lines: list[Line] = field(default_factory=list)
    side: Side | None = None
    at: datetime | None = None
    weight: float = 0.0
    kind: Literal["market", "limit"] = "market"
    labels: dict[str, int] = field(default_factory=dict)
    pair: tuple[int, str] = (0, "")
    account: UUID | None = None
    anything: Any = None


class PydanticOrder(pydantic.BaseModel):
    id: str
    price: Decimal


class StructOrder(msgspec.Struct):
    id: str
    price: Decimal


def delivered(receiver: Receiver, event_type: str, data: str = '{"id":"ord_1","price":"178.50"}') -> int:
    body = f'{{"type":"{event_type}","data":{data}}}'
    return receiver.handle(body, sign(body, SECRET)).status


@pytest.mark.parametrize(
    ("event_type", "wanted"),
    [
        ("order.filled", "exact"),
        ("order.line.added", "order.line.*"),
        ("order.line.item.added", "order.line.*"),
        ("order.canceled", "order.*"),
        ("order", "default"),
        ("orders.filled", "default"),
        ("", "default"),
    ],
)
def test_the_most_specific_pattern_is_used(event_type: str, wanted: str) -> None:
    receiver, got = Receiver("standard", SECRET), list[Any]()
    for pattern in ("order.*", "order.line.*"):
        receiver.on(pattern)(lambda _, pattern=pattern: got.append(pattern))
    receiver.on("order.filled")(lambda _: got.append("exact"))
    receiver.default(lambda _: got.append("default"))
    assert delivered(receiver, event_type) == 200
    assert got == [wanted]


def test_a_star_covers_all_types_so_the_default_gets_none() -> None:
    routes = Routes()
    everything, fallback = route(lambda event: event), route(lambda event: event)
    routes.default = fallback
    routes.add("*", everything)
    assert routes.find("a.b.c") is everything


def test_an_event_without_a_handler_is_acknowledged() -> None:
    assert delivered(Receiver("standard", SECRET), "something.new") == 200


@pytest.mark.parametrize("pattern", ["", "ord*", "*.filled", "order.", "order.**", "a b", "order.*.x"])
def test_a_pattern_that_cannot_match_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="wildcard"):
        Receiver("standard", SECRET).on(pattern)(lambda event: None)


def test_two_handlers_for_one_pattern_are_refused() -> None:
    receiver = Receiver("standard", SECRET)
    receiver.on("order.*")(lambda event: None)
    with pytest.raises(ValueError, match="already"):
        receiver.on("order.*")(lambda event: None)


def test_a_handler_gets_the_event_with_the_data_it_asks_for() -> None:
    receiver, got = Receiver("standard", SECRET), list[Any]()

    @receiver.on("a")
    def typed(event: Event[Order]) -> None:
        got.append(event.data)

    @receiver.on("b")
    def bare(order: Order) -> None:
        got.append(order)

    @receiver.on("c")
    def pydantic_order(event: Event[PydanticOrder]) -> None:
        got.append(event.data)

    @receiver.on("d")
    def struct_order(order: StructOrder) -> None:
        got.append(order)

    @receiver.on("e")
    def plain(event: Event[dict[str, str]]) -> None:
        got.append(event.data)

    @receiver.on("f", payload=Order)
    def named(event):  # type: ignore[no-untyped-def]
        got.append(event.data)

    assert [delivered(receiver, one) for one in "abcdef"] == [200] * 6
    price = Decimal("178.50")
    assert got[:2] == [Order("ord_1", price), Order("ord_1", price)]
    assert got[2] == PydanticOrder(id="ord_1", price=price)
    assert got[3] == StructOrder("ord_1", price)
    assert got[4] == {"id": "ord_1", "price": "178.50"}
    assert got[5] == Order("ord_1", price)


@pytest.mark.parametrize("wanted", [Order, PydanticOrder, StructOrder])
def test_data_of_the_wrong_type_is_400_and_the_handler_does_not_run(wanted: type) -> None:
    receiver = Receiver("standard", SECRET)
    ran: list[Any] = []
    receiver.on("a", payload=wanted)(ran.append)
    assert delivered(receiver, "a", '{"id":"ord_1","price":"secret"}') == 400
    assert delivered(receiver, "a", "5") == 400
    assert not ran
    with pytest.raises(BadPayload) as caught:
        converted({"id": "ord_1", "price": "secret"}, wanted)
    assert "price" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_nested_dataclasses_are_filled() -> None:
    account = UUID(int=7)
    data = {
        "id": "ord_1",
        "price": 10,
        "lines": [{"symbol": "AAPL", "unknown": 1}],
        "side": "buy",
        "at": "2025-06-15T14:30:15Z",
        "weight": 2,
        "kind": "limit",
        "labels": {"a": 1},
        "pair": [1, "x"],
        "account": str(account),
        "anything": [1],
    }
    order: Order = converted(data, Order)
    assert order.lines == [Line("AAPL")]
    assert order.side is Side.BUY
    assert order.at == datetime.fromisoformat("2025-06-15T14:30:15Z")
    assert (order.weight, order.kind, order.pair, order.account) == (2.0, "limit", (1, "x"), account)


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"id": 5}, "data.id"),
        ({"price": True}, "data.price"),
        ({"lines": {}}, "data.lines"),
        ({"lines": [{"symbol": None}]}, r"data.lines\[0\].symbol"),
        ({"lines": [{"symbol": "A", "count": True}]}, r"data.lines\[0\].count"),
        ({"side": "sell"}, "data.side"),
        ({"at": "yesterday"}, "data.at"),
        ({"weight": "2"}, "data.weight"),
        ({"kind": "stop"}, "data.kind"),
        ({"labels": {"a": "b"}}, "data.labels.a"),
        ({"pair": [1]}, "data.pair"),
        ({"account": "x"}, "data.account"),
    ],
)
def test_the_error_names_the_field_that_does_not_match(wrong: dict[str, Any], place: str) -> None:
    with pytest.raises(BadPayload, match=place):
        converted({"id": "ord_1", "price": "1", **wrong}, Order)


def test_a_handler_that_cannot_be_called_is_refused_when_it_is_registered() -> None:
    receiver = Receiver("standard", SECRET)
    with pytest.raises(TypeError, match="takes no argument"):
        receiver.on("a")(lambda: None)  # type: ignore[type-var]

    class Local:
        pass

    def handler(event: Event[Local]) -> None: ...

    with pytest.raises(TypeError, match="payload="):
        receiver.on("a")(handler)


def takes_event(event: Event[Any]) -> None: ...


def takes_any_event(event: Event) -> None: ...  # type: ignore[type-arg]


def takes_order_event(event: Event[Order], more: int = 0) -> None: ...


def takes_dictionary_event(event: Event[dict[str, str]]) -> None: ...


def takes_order(order: Order) -> None: ...


def takes_struct(order: StructOrder) -> None: ...


def takes_dictionary(event: dict[str, str]) -> None: ...


def takes_anything(event) -> None: ...  # type: ignore[no-untyped-def]


class TakesOrder:
    """A handler that is an object."""

    def __init__(self) -> None:
        self.got: list[Order] = []

    def __call__(self, order: Order) -> None:
        self.got.append(order)


class TakesOrderLater(TakesOrder):
    async def __call__(self, order: Order) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        self.got.append(order)


@pytest.mark.parametrize(
    ("handler", "payload", "bare"),
    [
        (takes_event, None, False),
        (takes_any_event, None, False),
        (takes_order_event, Order, False),
        (takes_dictionary_event, None, False),
        (takes_order, Order, True),
        (takes_struct, StructOrder, True),
        (takes_dictionary, None, False),
        (takes_anything, None, False),
        (TakesOrder(), Order, True),
        (TakesOrderLater(), Order, True),
        (TakesOrder().__call__, Order, True),
        (print, None, False),
    ],
)
def test_a_handler_is_called_with_the_type_of_its_first_parameter(
    handler: Any, payload: Any, bare: bool
) -> None:
    assert route(handler) == Route(handler, payload, bare)
    # a named type replaces the annotation, and is the data of the event
    assert route(handler, Line) == Route(handler, Line, False)


@pytest.mark.parametrize("kind", [TakesOrder, TakesOrderLater])
def test_an_object_may_be_a_handler_and_may_be_async(kind: type[TakesOrder]) -> None:
    receiver, handler = Receiver("standard", SECRET), kind()
    receiver.on("a")(handler)
    assert delivered(receiver, "a") == 200
    assert handler.got == [Order("ord_1", Decimal("178.50"))]


async def test_an_async_object_is_awaited_in_a_loop() -> None:
    receiver, handler = Receiver("standard", SECRET), TakesOrderLater()
    receiver.on("a")(handler)
    body = '{"type":"a","data":{"id":"ord_1","price":"178.50"}}'
    assert (await receiver.ahandle(body, sign(body, SECRET))).status == 200
    assert handler.got == [Order("ord_1", Decimal("178.50"))]


async def test_an_async_handler_cannot_be_called_by_handle_in_a_loop() -> None:
    async def handler(event: Event[Any]) -> None: ...

    event: Event[Any] = Event("msg_1", "order.filled", None, {}, b"{}")
    step = route(handler).step(event)
    assert not step.threaded
    assert route(takes_event).step(event).threaded
    with pytest.raises(RuntimeError, match="await `ahandle`"):
        step.block()
