"""A program that a stranger wrote with Svix's Python SDK; the tests run it as a process of its own.

It reads `{"url", "token", "receiver", "name", "style": "sync" | "async"}` from standard input, uses every
operation, and prints what the tests need to check the deliveries. Whichever `svix` is first on the path is
used, so that one text serves both of its major versions. Every answer passes the SDK's own models.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib
import inspect
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

api: Any = importlib.import_module("svix.api")
models: Any = importlib.import_module("svix.models")
errors: Any = importlib.import_module("svix.exceptions")
V1 = importlib.import_module("svix").__version__.startswith("1.")

DEADLINE = 90.0


class Blocking:
    """The asynchronous client, used like the other one."""

    def __init__(self, inner: Any, runner: asyncio.Runner) -> None:
        self._inner, self._runner = inner, runner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return Blocking(found, self._runner)

        def call(*arguments: Any) -> Any:
            return self._runner.run(found(*arguments))

        assert inspect.iscoroutinefunction(found)
        return call


def secret(byte: int) -> str:
    return "whsec_" + base64.b64encode(bytes([byte]) * 32).decode()


def until(what: str, probe: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + DEADLINE
    while not (found := probe()):
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.2)
    return found


def both_ways(count: int, fetch: Callable[[str | None], Any], key: Callable[[Any], str]) -> list[Any]:
    """All pages forwards, then the same pages backwards."""
    pages, cursor = [], None
    while True:
        page = fetch(cursor)
        pages.append(page)
        if page.done:
            break
        cursor = page.iterator
        assert cursor, "a page that is not the last one gives no iterator"
    assert len(pages) > 2, "too few pages to prove anything"
    names = [[key(one) for one in page.data] for page in pages]
    assert len({name for some in names for name in some}) == sum(map(len, names)) == count, names
    back: list[Any] = []
    cursor = pages[-1].prev_iterator
    for _ in pages[1:]:
        assert cursor, "no way back"
        page = fetch(cursor)
        back.insert(0, [key(one) for one in page.data])
        cursor = page.prev_iterator
    assert back == names[:-1], (back, names)
    return [one for page in pages for one in page.data]


def refused(status: int, call: Callable[..., Any], *arguments: Any) -> Any:
    error = None
    try:
        call(*arguments)
    except (errors.HttpError, errors.HTTPValidationError) as raised:
        error = raised
    assert error is not None, f"no {status}"
    assert error.status_code == status, (error.status_code, str(error))
    assert isinstance(error, errors.HTTPValidationError) == (status == 422)
    return error


def walk(client: Any, another: Callable[[str], Any], given: dict[str, str]) -> dict[str, Any]:
    name, receiver = given["name"], given["receiver"]
    paid, gone = f"{name}.paid", f"{name}.gone"
    types = "filter_types" if V1 else "event_types"
    client.health.get()

    # applications
    app_in = models.ApplicationIn(name="Customer", uid=name, throttle_rate=500, metadata={"k": "v"})
    app = client.application.get_or_create(app_in)
    assert (app.uid, app.name, app.metadata, app.throttle_rate) == (name, "Customer", {"k": "v"}, 500)
    assert client.application.get_or_create(app_in).id == app.id
    assert client.application.get(name).id == app.id
    assert refused(409, client.application.create, app_in).code
    for number in range(4):
        client.application.create(models.ApplicationIn(name=f"{name} {number}"))
    total = sum(1 for _ in everything(lambda it: client.application.list(applications(it, 50))))
    both_ways(total, lambda it: client.application.list(applications(it, 2)), lambda one: one.id)
    patched = client.application.patch(name, models.ApplicationPatch(throttle_rate=None, name="Customer 1"))
    assert (patched.name, patched.throttle_rate, patched.uid) == ("Customer 1", None, name)
    put = client.application.update if V1 else client.application.upsert
    assert put(name, app_in).id == app.id
    assert put(f"{name}-2", models.ApplicationIn(name="New", uid=f"{name}-2")).id != app.id

    # event types
    schema = {"1": {"type": "object", "properties": {"n": {"type": "integer"}}, "examples": [{"n": 7}]}}
    created = client.event_type.create(models.EventTypeIn(name=paid, description="Paid", schemas=schema))
    assert (created.name, created.schemas, created.archived) == (paid, schema, False)
    refused(409, client.event_type.create, models.EventTypeIn(name=paid, description="again"))
    put = client.event_type.update if V1 else client.event_type.upsert
    body = models.EventTypeUpdate if V1 else models.EventTypeUpsertIn
    assert put(gone, body(description="Gone")).name == gone
    patch = models.EventTypePatch(description="Gone again", deprecated=True)
    assert client.event_type.patch(gone, patch).deprecated is True
    assert client.event_type.get(paid).schemas == schema
    options = api.EventTypeListOptions(with_content=True, include_archived=True, limit=250)
    assert {paid: schema, gone: None}.items() <= {
        one.name: one.schemas for one in client.event_type.list(options).data
    }.items()

    # endpoints
    first, second = secret(101), secret(102)
    main = client.endpoint.create(
        name,
        models.EndpointIn(
            url=f"{receiver}/ok/{name}",
            uid="main",
            description="The main one",
            secret=first,
            headers={"X-Given": "at create"},
            channels=["a", "b"],
            metadata={"team": "1"},
            throttle_rate=400,
            **{types: [paid]},
        ),
    )
    assert (main.uid, main.channels, getattr(main, types), main.metadata, main.throttle_rate) == (
        "main",
        ["a", "b"],
        [paid],
        {"team": "1"},
        400,
    )
    failing = client.endpoint.create(name, models.EndpointIn(url=f"{receiver}/fail/{name}", uid="failing"))
    healing = client.endpoint.create(name, models.EndpointIn(url=f"{receiver}/heal/{name}", uid="healing"))
    for number in range(2):
        url = f"{receiver}/ok/{name}/{number}"
        client.endpoint.create(name, models.EndpointIn(url=url, disabled=True))
    refused(409, client.endpoint.create, name, models.EndpointIn(url=f"{receiver}/", uid="main"))
    refused(422, client.endpoint.create, name, models.EndpointIn(url="ftp://example.com"))
    refused(422, client.endpoint.create, name, models.EndpointIn(url=f"{receiver}/", **{types: ["no.such"]}))
    both_ways(
        5,
        lambda it: client.endpoint.list(name, api.EndpointListOptions(limit=2, iterator=it)),
        lambda one: one.id,
    )
    assert client.endpoint.get(name, "main").id == main.id
    assert client.endpoint.get_secret(name, main.id).key == first
    assert client.endpoint.get_secret(name, failing.id).key.startswith("whsec_")

    # messages, and what became of them
    sent = [
        client.message.create(
            name,
            models.MessageIn(
                event_type=paid,
                event_id=f"{name}-{number}",
                payload={"n": number, "text": "Grüße 🐎\u2028"},
                channels=["b"],
                tags=["t"],
            ),
            api.MessageCreateOptions(with_content=True),
        )
        for number in range(7)
    ]
    assert sent[3].payload == {"n": 3, "text": "Grüße 🐎\u2028"}
    assert (sent[3].event_id, sent[3].channels, sent[3].tags) == (f"{name}-3", ["b"], ["t"])
    ids = [one.id for one in sent]
    for message in ids:
        until("7 attempts", partial(has_attempts, client, name, message, 7))
    both_ways(
        7,
        lambda it: client.message.list(name, api.MessageListOptions(limit=3, iterator=it, tag="t")),
        lambda one: one.id,
    )
    got = client.message.get(name, f"{name}-3", api.MessageGetOptions(with_content=True))
    assert (got.id, got.payload) == (sent[3].id, sent[3].payload)
    assert not client.message.list(name, api.MessageListOptions(channel="none")).data

    by_failing = both_ways(
        21,
        lambda it: client.message_attempt.list_by_endpoint(
            name,
            "failing",
            api.MessageAttemptListByEndpointOptions(limit=8, iterator=it, with_content=True, with_msg=True),
        ),
        lambda one: one.id,
    )
    assert {(one.response_status_code, one.response, one.status) for one in by_failing} == {
        (500, "broken", models.MessageStatus.FAIL)
    }
    assert {one.msg_id for one in by_failing} == set(ids)
    assert all(one.msg.id == one.msg_id for one in by_failing)
    by_message = both_ways(
        7,
        lambda it: client.message_attempt.list_by_msg(
            name, ids[0], api.MessageAttemptListByMsgOptions(limit=2, iterator=it)
        ),
        lambda one: one.id,
    )
    codes = sorted(one.response_status_code for one in by_message if one.endpoint_id == healing.id)
    assert codes == [200, 500, 500]
    one = client.message_attempt.get(name, ids[0], by_message[0].id)
    assert (one.id, one.msg_id, one.trigger_type) == (by_message[0].id, ids[0], 0)
    attempted = both_ways(
        7,
        lambda it: client.message_attempt.list_attempted_messages(
            name, "failing", api.MessageAttemptListAttemptedMessagesOptions(limit=3, iterator=it)
        ),
        lambda one: one.id,
    )
    assert {one.status_text for one in attempted} == {"fail"}
    destinations = both_ways(
        3,
        lambda it: client.message_attempt.list_attempted_destinations(
            name, ids[0], api.MessageAttemptListAttemptedDestinationsOptions(limit=1, iterator=it)
        ),
        lambda one: one.id,
    )
    assert {one.uid: one.status_text for one in destinations} == {
        "main": "success",
        "failing": "fail",
        "healing": "success",
    }

    # two secrets at once, and headers of the endpoint's own
    # version 2 looks for JSON in an answer that has no body, as Svix's own; the secret is rotated by then
    with contextlib.nullcontext() if V1 else contextlib.suppress(json.JSONDecodeError):
        client.endpoint.rotate_secret(name, "main", models.EndpointSecretRotateIn(key=second))
    assert client.endpoint.get_secret(name, "main").key == second
    put = client.endpoint.update_headers if V1 else client.endpoint.set_headers
    put(name, "main", models.EndpointHeadersIn(headers={"X-Put": "1", "Authorization": "Bearer x"}))
    client.endpoint.patch_headers(
        name, "main", models.EndpointHeadersPatchIn(headers={"X-Patched": "2"}, delete_headers=["X-None"])
    )
    headers = client.endpoint.get_headers(name, "main")
    assert headers.headers == {"X-Put": "1", "X-Patched": "2"}, headers
    assert list(headers.sensitive) == ["Authorization"]
    refused(422, put, name, "main", models.EndpointHeadersIn(headers={"User-Agent": "mine"}))
    rotated = client.message.create(
        name, models.MessageIn(event_type=paid, payload={"rotated": True}, channels=["a"])
    ).id
    until("the delivery after rotating", lambda: len(attempts_of(client, name, rotated)) == 7)

    # numbers, and sending again
    stats = client.endpoint.get_stats(name, "failing")
    assert (stats.fail, stats.success) == (24, 0)
    client.message_attempt.resend(name, ids[1], "main")
    again = until(
        "the resent one",
        lambda: [one for one in attempts_of(client, name, ids[1]) if one.trigger_type == 1],
    )
    assert again[0].endpoint_id == main.id
    hour = datetime.now(UTC) - timedelta(hours=1)
    task = client.endpoint.recover(name, "failing", models.RecoverIn(since=hour))
    assert (task.task, task.id.startswith("qtask_")) == ("endpoint.recover", True)
    until("eight recovered messages", lambda: client.endpoint.get_stats(name, "failing").fail == 32)
    until(
        "the end of the task",
        lambda: client.background_task.get(task.id).status == models.BackgroundTaskStatus.FINISHED,
    )
    refused(422, client.endpoint.recover, name, "failing", models.RecoverIn(since=hour - timedelta(days=99)))
    example = client.endpoint.send_example(name, "healing", models.EventExampleIn(event_type=paid)).id
    until("the example", lambda: len(attempts_of(client, name, example)) == 1)

    # forgetting contents
    client.message_attempt.expunge_content(name, ids[0], by_message[0].id)
    client.message.expunge_content(name, ids[0])
    kept = client.message.get(name, ids[0], api.MessageGetOptions(with_content=True))
    assert kept.payload == {"expired": True}
    assert client.message_attempt.get(name, ids[0], by_message[0].id).response == "EXPUNGED"

    # changing endpoints
    changed = client.endpoint.patch(
        name, "main", models.EndpointPatch(description="Changed", channels=None, metadata={"a": "b"})
    )
    assert (changed.description, changed.channels, changed.metadata, getattr(changed, types)) == (
        "Changed",
        None,
        {"a": "b"},
        [paid],
    )
    put = client.endpoint.update if V1 else client.endpoint.upsert
    body = models.EndpointUpdate if V1 else models.EndpointUpsertIn
    replaced = put(name, "main", body(url=f"{receiver}/ok/{name}", uid="main"))
    assert (replaced.id, replaced.metadata, getattr(replaced, types)) == (main.id, {}, None)
    new = put(name, "new-one", body(url=f"{receiver}/ok/{name}/new", uid="new-one"))
    assert new.uid == "new-one"
    missing = client.endpoint.replay_missing(name, "new-one", models.ReplayIn(since=hour))
    until(
        "the end of the replay",
        lambda: client.background_task.get(missing.id).status == models.BackgroundTaskStatus.FINISHED,
    )
    tasks = {one.id: one for one in client.background_task.list().data}
    assert (tasks[task.id].task, tasks[missing.id].task) == ("endpoint.recover", "endpoint.replay")
    assert tasks[missing.id].data == {"messagesSent": 7}, tasks[missing.id]
    options = api.MessageAttemptListByEndpointOptions(limit=100, status=models.MessageStatus.SUCCESS)
    until(
        "the replayed messages",
        lambda: len(client.message_attempt.list_by_endpoint(name, "new-one", options).data) >= 7,
    )

    # a customer's own token
    portal = client.authentication.app_portal_access(name, models.AppPortalAccessIn(expiry=3600))
    assert portal.url.startswith("http")
    customer = another(portal.token)
    assert customer.endpoint.get(name, "main").id == main.id
    assert refused(403, customer.application.list).code
    assert refused(404, customer.endpoint.list, f"{name}-2").code
    customer.authentication.logout()
    assert refused(401, customer.endpoint.get, name, "main").code

    # the ends of things
    assert refused(404, client.message.get, name, "no-such-message").code
    assert refused(422, client.message.create, name, models.MessageIn(event_type="a b", payload={})).detail
    refused(
        409,
        client.message.create,
        name,
        models.MessageIn(event_type=paid, event_id=sent[1].event_id, payload={}),
    )
    assert refused(401, another("nonsense").application.list).code == "authentication_failed"
    client.endpoint.delete(name, "failing")
    refused(404, client.endpoint.get, name, failing.id)
    client.event_type.delete(gone, api.EventTypeDeleteOptions(expunge=True))
    refused(404, client.event_type.get, gone)
    client.event_type.delete(paid)
    assert client.event_type.get(paid).archived is True
    client.application.delete(name)
    refused(404, client.application.get, app.id)
    return {"version": importlib.import_module("svix").__version__, "messages": ids, "rotated": rotated,
            "example": example, "secrets": [first, second]}  # fmt: skip


def applications(iterator: str | None, limit: int) -> Any:
    return api.ApplicationListOptions(limit=limit, iterator=iterator)


def attempts_of(client: Any, app: str, message: str) -> list[Any]:
    options = api.MessageAttemptListByMsgOptions(limit=100)
    return list(client.message_attempt.list_by_msg(app, message, options).data)


def has_attempts(client: Any, app: str, message: str, count: int) -> bool:
    return len(attempts_of(client, app, message)) == count


def everything(fetch: Callable[[str | None], Any]) -> Any:
    page = fetch(None)
    yield from page.data
    while not page.done:
        page = fetch(page.iterator)
        yield from page.data


def main() -> None:
    given = json.load(sys.stdin)
    with asyncio.Runner() as runner:

        def connect(token: str) -> Any:
            options = api.SvixOptions(server_url=given["url"])
            if given["style"] == "sync":
                return api.Svix(token, options)
            return Blocking(api.SvixAsync(token, options), runner)

        sys.stdout.write(json.dumps(walk(connect(given["token"]), connect, given)))


if __name__ == "__main__":
    main()
