"""Bodies on their way into memory: none before it is known who asks, and none at the cost of others."""

from __future__ import annotations

import asyncio
import gzip
import json
from contextlib import ExitStack
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angarium.api import upload
from angarium.api.app import create_app
from angarium.api.edge import Edge
from angarium.api.upload import POTS, STRANGER_LIMIT, STRANGERS, VERIFIED, Asker, Budget
from angarium.core import ids
from angarium.core.errors import Overloaded
from angarium.core.event import Events
from tests.api.conftest import Api, Backend
from tests.api.operation import KEYED, NOTHING, ORG, PLAYED, in_order
from tests.api.sample import SampleServer, bearer, key_headers
from tests.kit.access import operations
from tests.kit.patience import PATIENCE, until

FORM = "application/x-www-form-urlencoded"
# where a key or a token is shown in the body itself
LOGINS = {("POST", "/login/session"), ("POST", "/admin/login")}
INBOX = "/play/in/{inbox}"


class Sender:
    """A client that sends pieces of a body, and then nothing more; what is answered."""

    def __init__(self, *pieces: bytes, whole: bool = False) -> None:
        self._pieces = list(pieces)
        self._whole = whole
        self.reads = 0
        self.status = 0
        self.headers: dict[bytes, bytes] = {}

    async def receive(self) -> dict[str, Any]:
        self.reads += 1
        if not self._pieces:
            await asyncio.Event().wait()
        piece = self._pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(self._pieces) or not self._whole}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = dict(message["headers"])

    async def ask(
        self, app: Any, method: str, path: str, headers: dict[str, str], address: str = "192.0.2.1"
    ) -> None:
        headers = {"host": "angarium.test", **headers}
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
            "raw_path": path.encode(), "query_string": b"", "scheme": "http", "root_path": "",
            "headers": [(name.encode(), text.encode()) for name, text in headers.items()],
            "client": (address, 1), "server": ("angarium.test", 80),
        }  # fmt: skip
        async with asyncio.timeout(PATIENCE):
            await app(scope, self.receive, self.send)


def filled(sample: SampleServer, path: str, product: str | None = None) -> str:
    places = {**sample.places}
    places |= {name: places[f"{name}_id"] for name in ("endpoint", "task")} | {"message": places["msg_id"]}
    if product is not None:
        prefix = sample.services.product.all[product].profile.ids.endpoint
        places["webhook_id"] = ids.text(prefix, UUID(int=1))
    for name, value in places.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def product_at(method: str, path: str) -> str | None:
    """Whose dialect answers there."""
    product = next((name for name in KEYED if (method, path) in {**KEYED[name], **PLAYED[name]}), None)
    return product or NOTHING.get((method, path))


def verified(sample: SampleServer, method: str, path: str) -> dict[str, str]:
    """A credential that is valid at a path: a token, a product's key, or a session."""
    token = sample.services.token
    if path.startswith("/portal/{app_id}"):
        link = token.for_application(ORG, sample.app_id)
        cookie = token.for_session(token.verify(link))
        return {"cookie": f"angarium-{sample.places['app_id']}={cookie}", "content-type": FORM}
    if path.startswith("/admin"):
        cookie = token.for_operator(token.verify(token.for_organization(ORG)))
        return {"cookie": f"angarium-{'operator'}={cookie}", "content-type": FORM}
    if (product := product_at(method, path)) is not None:
        return key_headers(product, sample.keys[product][0])
    return bearer(token.for_organization(ORG))


async def test_no_route_reads_a_body_before_authentication(sample: SampleServer) -> None:
    """Every method of every path; an inbox that does not exist counts as unauthenticated, too."""
    wrong = []
    for number, (method, path) in enumerate(operations(sample.app)):
        sender = Sender(b"x")
        address = f"10.0.{number >> 8}.{number & 255}"
        if path.endswith("/live"):
            continue  # GET, where nothing detects that the client has disconnected
        place = filled(sample, path).replace("{inbox}", ids.text(ids.INBOX, UUID(int=1)))
        if (method, path) not in LOGINS:
            headers = {"content-length": "1000", "content-type": FORM}
            await sender.ask(sample.app, method, place, headers, address)
            if sender.reads:
                wrong.append((method, path, sender.status))
    assert wrong == []


async def test_every_route_counts_a_body_towards_its_caller(
    sample: SampleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And each refuses what is too large, too slow, or compressed, in the form of its API."""
    assert isinstance(sample.app, Edge)
    budget, askers = sample.app.budget, list[Asker]()
    take = budget.take

    def watched(who: Asker, size: int) -> None:
        askers.append(who)
        take(who, size)

    monkeypatch.setattr(budget, "take", watched)
    monkeypatch.setattr(upload, "GRACE", 0.05)
    readers, wrong = set(), []
    for method, path in in_order(operations(sample.app)):
        if (method, path) in LOGINS or path == INBOX or path.endswith(("/live", "/fetch")):
            continue
        headers, place = verified(sample, method, path), filled(sample, path, product_at(method, path))
        slow = Sender(b"{")
        await slow.ask(sample.app, method, place, headers)
        if not slow.reads:
            continue
        readers.add((method, path))
        large, coded = Sender(*[b"x" * 65536] * 40), Sender(b"{}", whole=True)
        await large.ask(sample.app, method, place, headers)
        await coded.ask(sample.app, method, place, {**headers, "content-encoding": "gzip"})
        too_large = 400 if headers.get("authorization", "").startswith("Basic") else 413  # Bluum's form
        if (slow.status, large.status, coded.status) != (408, too_large, 415):
            wrong.append((method, path, slow.status, large.status, coded.status))
        if coded.reads or coded.headers.get(b"accept-encoding") != b"identity":
            wrong.append((method, path, coded.reads, coded.status, 0))
    assert wrong == []
    assert len(readers) > 60
    assert {who[0] for who in askers} == {VERIFIED}
    assert (VERIFIED, ORG, sample.app_id) in askers  # a portal's
    assert budget.held == 0


async def test_only_login_routes_read_bodies_without_authentication(sample: SampleServer) -> None:
    for method, path in LOGINS:
        sender = Sender(b"x" * STRANGER_LIMIT, b"x")
        await sender.ask(sample.app, method, path, {"content-type": FORM})
        assert sender.status == 413, path
        sender = Sender()
        await sender.ask(sample.app, method, path, {"content-length": "16385", "content-type": FORM})
        assert (sender.status, sender.reads) == (413, 0), path


async def test_an_inbox_accepts_any_body(sample: SampleServer) -> None:
    """It shows what a receiver would get, whatever the coding; its answers are no page's."""
    packed = gzip.compress(b"{}") * 2000
    inbox = sample.places["inbox_id"]
    for method in ("POST", "GET", "HEAD"):
        sender = Sender(packed, whole=True)
        await sender.ask(sample.app, method, f"/play/in/{inbox}", {"content-encoding": "gzip"})
        assert sender.status == 200
    seen = await sample.call(
        "GET",
        "/api/v1/app/{app_id}/inbox/{inbox_id}/request",
        bearer(sample.services.token.for_organization(ORG)),
        None,
    )
    assert [one["method"] for one in seen.json()["data"]] == ["POST", "GET", "HEAD"]
    large = Sender(*[b"x" * 65536] * 40)
    await large.ask(sample.app, "GET", f"/play/in/{inbox}", {})
    assert large.status == 413


@pytest.mark.parametrize("who", ["application", "organization", "stranger"])
async def test_no_caller_is_refused_because_of_anothers_uploads(sample: SampleServer, who: str) -> None:
    """A hundred that do not end."""
    assert isinstance(sample.app, Edge)
    token, app = sample.services.token, sample.places["app_id"]
    path, headers = f"/api/v1/app/{app}/endpoint", bearer(token.for_application(ORG, sample.app_id))
    if who == "organization":
        headers = bearer(token.for_organization(ORG))
    elif who == "stranger":
        path, headers = f"/play/in/{sample.places['inbox_id']}", {}
    senders = [Sender(*[b"x" * 65536] * 31) for _ in range(100)]
    tasks = [
        asyncio.create_task(sender.ask(sample.app, "POST", path, headers, "10.9.9.9")) for sender in senders
    ]
    try:
        await until(lambda: _completed(sample))
        large = json.dumps({"name": "x", "x": "y" * 1_500_000}).encode()
        made = Sender(large, whole=True)
        other = "org_other" if who == "organization" else ORG
        await made.ask(sample.app, "POST", "/api/v1/app", bearer(token.for_organization(other)))
        assert made.status == 201
        taken = Sender(b"x" * 100_000, whole=True)
        await taken.ask(sample.app, "POST", f"/play/in/{sample.places['inbox_id']}", {}, "10.9.9.8")
        assert taken.status == 200
        # only the sender of too much gets an error
        assert {sender.status for sender in senders} == {0, 429 if who == "stranger" else 503}
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert sample.app.budget.held == 0


async def test_a_request_without_room_for_its_body_is_counted(api: Api, backend: Backend) -> None:
    told: list[tuple[str, int]] = []

    class Told(Events):
        def turned_away(self, reason: str, messages: int) -> None:
            told.append((reason, messages))

    app = create_app(backend.services, base_url="https://hooks.example.com", events=Told())
    assert isinstance(app, Edge)
    app.budget.take((VERIFIED, api.org_id), POTS[VERIFIED] // 2)
    refused = Sender(b'{"name": "a"}', whole=True)
    await refused.ask(app, "POST", "/api/v1/app", bearer(api.token))
    assert (refused.status, told) == (503, [("bodies", 1)])


async def _completed(sample: SampleServer) -> bool:
    """Whether the hundred have got as much as they get."""
    assert isinstance(sample.app, Edge)
    before = sample.app.budget.held
    await asyncio.sleep(0.1)
    return before == sample.app.budget.held > 1024 * 1024


async def test_a_body_that_keeps_the_minimum_rate_is_read(
    api: Api, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seconds of grace, and then so many bytes in each."""
    monkeypatch.setattr(upload, "GRACE", 0.05)
    monkeypatch.setattr(upload, "SLOWEST", 1)  # what came has bought a long time
    pieces = [b'{"name":"a","x":"', *[b"y" * 500] * 3, b'"}']

    class Paced(Sender):
        async def receive(self) -> dict[str, Any]:
            await asyncio.sleep(0.02)
            return await super().receive()

    paced = Paced(*pieces, whole=True)
    await paced.ask(backend.app, "POST", "/api/v1/app", bearer(api.token))
    assert paced.status == 201


EVERYONE: list[Asker] = [(VERIFIED, org, *app) for org in "abc" for app in ((), (1,), (2,))]
WHO = st.sampled_from([*EVERYONE, *((STRANGERS, address) for address in "xyz")])


@given(st.lists(st.tuples(WHO, st.integers(1, 4 * 1024 * 1024)), max_size=200))
def test_full_shares_leave_room_for_other_callers(taken: list[tuple[Asker, int]]) -> None:
    budget, held = Budget(), []
    for who, size in taken:
        try:
            budget.take(who, size)
        except Overloaded:
            continue
        held.append((who, size))
    newcomer = {VERIFIED: (VERIFIED, "new"), STRANGERS: (STRANGERS, "new")}
    with ExitStack() as stack:
        for pot, who in newcomer.items():
            size = POTS[pot] // 32  # no earlier caller can have left less: three halve what is left
            budget.take(who, size)
            stack.callback(budget.give, who, size)
    for who, size in held:
        budget.give(who, size)
    assert budget.held == 0
    assert budget._held == {}
