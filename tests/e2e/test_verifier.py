"""The verifiers that receivers use accept what our server really sent, and nothing else."""

from __future__ import annotations

import base64
import itertools

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from angarium.core.signature import FAMILIES, Signer, public_form, verify
from tests.e2e.conftest import Hooks, made, secret
from tests.e2e.verifier import Case, judged
from tests.kit.receiver import Received

PAYLOADS = [
    '{"horse": "🐎", "é": "Grüße", "lines": "a\u2028b\u2029c"}',
    r'{"horse": "\ud83d\udc0e", "é": "\u00e9\u2028", "nul": "\u0000", "slash": "\/"}',
    '{ "big" : 123456789012345678901234567890 ,"n":-0,  "float": 1.0000000000000000000001e+2, "e": 1E5 }',
    '{\r\n\t"a" :\n [ 1 ,2 , { } , [ ] ]   }',
    '{"twice": 1, "twice": 2, "": null}',
    "{}",
    '{"long": "' + "ü" * 20_000 + '"}',
]

# secret, id, timestamp, payload, signature
VECTORS = {
    "A": (
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        '{"test": 2432232314}',
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ),
    "B": (
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        1649367553,
        '{"email":"test@example.com","username":"test_user"}',
        "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
    ),
    "C": (
        "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        '{"test": 2432232314}',
        "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
    ),
}


async def delivered(api: httpx.AsyncClient, hooks: Hooks, app: str, payload: str) -> Received:
    """What the receiver got for a message with exactly this payload text."""
    body = f'{{"eventType": "odd.payload", "payload": {payload}}}'.encode()
    before = hooks.count
    answer = await api.post(f"/app/{app}/msg", content=body)
    assert answer.status_code == 202, answer.text
    await hooks.wait_for(before + 1)
    return hooks.of(answer.json()["id"])[0]


async def test_they_accept_the_very_bytes_we_sent_and_refuse_one_changed_byte(
    api: httpx.AsyncClient, hooks: Hooks
) -> None:
    app = await made(api, "/app", {"name": "Odd payloads"})
    await made(api, f"/app/{app}/endpoint", {"url": f"{hooks.root}/ok", "secret": secret()})
    requests = [await delivered(api, hooks, app, payload) for payload in PAYLOADS]
    assert [request.body for request in hooks.requests] == [payload.encode() for payload in PAYLOADS]
    for family in FAMILIES:
        good = [Case.of(request, secret(), family) for request in requests]
        bad = [
            Case.of(request, secret(), family, flip)
            for request in requests
            for flip in sorted({0, len(request.body) // 2, len(request.body) - 1})
        ]
        others = [Case.of(request, secret(7), family) for request in requests]
        for judge, verdicts in (await judged([*good, *bad, *others], family)).items():
            assert verdicts[: len(good)] == [True] * len(good), judge
            assert verdicts[len(good) :] == [False] * (len(bad) + len(others)), judge


async def test_they_accept_each_attempt_of_a_retried_message(api: httpx.AsyncClient, hooks: Hooks) -> None:
    app = await made(api, "/app", {"name": "Retried"})
    await made(api, f"/app/{app}/endpoint", {"url": f"{hooks.root}/heal", "secret": secret()})
    await delivered(api, hooks, app, PAYLOADS[0])
    requests = await hooks.wait_for(3)
    assert len({request.body for request in requests}) == 1
    assert len({request.header("webhook-id") for request in requests}) == 1
    times = [request.time for request in requests]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps[0] > 0.19
    assert gaps[1] > 0.39
    for judge, verdicts in (await judged([Case.of(request, secret()) for request in requests])).items():
        assert verdicts == [True] * 3, judge


async def test_an_ed25519_signature_beside_the_symmetric_one_is_passed_over_by_them(
    api: httpx.AsyncClient, hooks: Hooks
) -> None:
    private = VECTORS["C"][0]
    app = await made(api, "/app", {"name": "Two kinds"})
    endpoint = await made(api, f"/app/{app}/endpoint", {"url": f"{hooks.root}/ok", "secret": secret()})
    rotated = await api.post(f"/app/{app}/endpoint/{endpoint}/secret/rotate", json={"key": private})
    assert rotated.is_success
    shown = (await api.get(f"/app/{app}/endpoint/{endpoint}/secret")).json()["key"]
    assert shown == public_form(private)
    request = await delivered(api, hooks, app, PAYLOADS[0])
    signatures = dict(part.split(",") for part in (request.header("webhook-signature") or "").split(" "))
    assert list(signatures) == ["v1a", "v1"]
    for judge, verdicts in (await judged([Case.of(request, secret())])).items():
        assert verdicts == [True], judge

    # no library reads v1a yet, so the judge is the curve itself
    raw = base64.b64decode(private.removeprefix("whsk_"))
    public = Ed25519PrivateKey.from_private_bytes(raw[:32]).public_key()
    content = f"{request.header('webhook-id')}.{request.header('webhook-timestamp')}.".encode() + request.body
    public.verify(base64.b64decode(signatures["v1a"]), content)
    with pytest.raises(InvalidSignature):
        public.verify(base64.b64decode(signatures["v1a"]), content + b" ")
    headers = dict(request.headers)
    verify(request.body, headers, [shown], now=request.time)


@pytest.mark.parametrize("name", VECTORS)
def test_golden_vectors_are_made_and_verified_by_us(name: str) -> None:
    key, message, timestamp, payload, signature = VECTORS[name]
    assert Signer(key).sign(message, timestamp, payload.encode()) == signature
    for family in FAMILIES:
        headers = {
            f"{family}-id": message,
            f"{family}-timestamp": str(timestamp),
            f"{family}-signature": signature,
        }
        verify(payload.encode(), headers, [public_form(key)], now=timestamp)


async def test_golden_vectors_are_verified_by_them_as_are_our_signatures_of_the_same() -> None:
    cases = []
    for name in ("A", "B"):
        key, message, timestamp, payload, signature = VECTORS[name]
        ours = Signer(key).sign(message, timestamp, payload.encode())
        for given in (signature, ours, f"v1,AAAA v2,nonsense {signature}", signature[:-5] + "AAAA="):
            headers = {
                "webhook-id": message,
                "webhook-timestamp": str(timestamp),
                "webhook-signature": given,
            }
            cases.append(Case(base64.b64encode(payload.encode()).decode(), headers, key, timestamp + 10))
    for judge, verdicts in (await judged(cases)).items():
        assert verdicts == [True, True, True, False] * 2, judge
