"""A payload is shown as it was sent: no number, name or escape changes on the way to the eye."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from angarium import json_text
from angarium.cli.play import _words
from angarium.receiver.diagnose import diagnose
from angarium.testing import sign
from tests.api.conftest import api, backend, client, new_organization
from tests.cli.test_remote import Caller, caller

__all__ = ["api", "backend", "caller", "client", "new_organization"]

NUMBERS = ["100.00", "0.10000000000000000555", "1E400", "-0", "1e-7", "12345678901234567890", "9" * 5000]
PAYLOAD = (
    '{"amounts":[' + ",".join(NUMBERS) + '],"k":1,"k":{"b":2.0},"s":"\\u00e9\\/é {,} \\"\\\\","e":{},"l":[]}'
)

_texts = st.recursive(
    st.sampled_from(["null", "true", *NUMBERS, '"\\u00e9\\""', '"{[,:"', '""']),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + " , ".join(items) + "]"),
        st.lists(inner, max_size=3).map(
            lambda items: "{ " + ",\n".join(f'"a{n % 2}" :{one}' for n, one in enumerate(items)) + "}"
        ),
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(_texts)
def test_layout_is_that_of_the_portals_formatter_and_changes_blanks_alone(text: str) -> None:
    assert json_text.indented(text) == msgspec.json.format(text.encode(), indent=2).decode()
    assert json_text.compact(text) == msgspec.json.format(text.encode(), indent=-1).decode()
    assert json_text.compact(json_text.indented(text)) == json_text.compact(text)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@settings(deadline=None)
@given(_values, st.sampled_from([None, 2]), st.booleans(), st.booleans())
def test_it_writes_as_json_does(value: Any, indent: int | None, ascii_only: bool, sort_keys: bool) -> None:
    expected = json.dumps(
        value, indent=indent, ensure_ascii=ascii_only, sort_keys=sort_keys, separators=(",", ": ")
    )
    for one in (value, json_text.read(json.dumps(value))):
        made = json_text.write(
            one, indent=indent, ascii_only=ascii_only, sort_keys=sort_keys, separators=(",", ": ")
        )
        assert made == expected


def test_numbers_are_written_in_their_own_digits() -> None:
    for number in NUMBERS:
        assert json_text.write(json_text.read(f'{{"a":[{number}]}}')) == f'{{"a":[{number}]}}'


def test_a_member_is_cut_out_as_it_is() -> None:
    text = '{ "a" : {"b": [1.0, {"payload": 0}]} , "payload":{ "n" : 1.00 } ,"\\u0061": 2.50}'
    assert json_text.member(text, "payload") == '{ "n" : 1.00 }'
    assert json_text.member(text, "a") == "2.50"
    assert json_text.member(text, "b") is None
    assert json_text.member("[1]", "a") is None
    assert json_text.member("{}", "a") is None


@pytest.mark.parametrize("text", ["", "{", '{"a":NaN}', "[1,]", "{}{}", "[" * 100_000, '"a\n"'])
def test_what_is_no_json_is_a_value_error(text: str) -> None:
    for work in (json_text.read, json_text.compact, json_text.indented):
        with pytest.raises(ValueError, match=r"\w"):
            work(text)


async def test_show_send_and_trigger_print_what_was_sent(caller: Caller) -> None:
    answer = await caller.run(
        "send", "--type", "order.filled", "--data", "-", "--json", given=PAYLOAD.encode()
    )
    assert f'"payload":{PAYLOAD}' in answer
    message = json.loads(json_text.member(answer, "id") or "")
    shown = await caller.run("show", message)
    assert json_text.indented(PAYLOAD) in shown
    line = await caller.run("show", message, "--json")
    assert f'"payload":{PAYLOAD}' in line
    assert line.count("\n") == 1
    schema = {"type": "object", "examples": [{"note": "x"}]}
    await caller.api.event_type("order.paid", schemas={"1": schema})
    made = await caller.run("trigger", "order.paid", "--set", "amount=100.00", "--set", "big=1E400", "--json")
    assert '"payload":{"note":"x","amount":100.00,"big":1E400}' in made


def test_play_shows_what_came() -> None:
    payload = PAYLOAD.replace("9" * 5000, "7")
    request = {
        "body": base64.b64encode(payload.encode()).decode(),
        "timestamp": "2026-11-20T08:00:00Z",
        "verified": True,
        "method": "POST",
        "size": 1,
        "status": 200,
    }
    assert _words(request).endswith(json_text.indented(payload))


@pytest.mark.parametrize(
    "signed",
    [
        PAYLOAD,
        json_text.indented(PAYLOAD),
        '{"amount": 100.00, "big": 1E400, "name": "\\u00e9"}',
        '{"a":1E400,"b":{"c":1.0}}',
        '{"b":1.00,"a":"é"}',
    ],
)
def test_a_body_laid_out_anew_is_explained_whatever_its_numbers(signed: str) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    given = json_text.compact(signed) if signed != json_text.compact(signed) else json_text.indented(signed)
    found = diagnose(given.encode(), sign(signed, secret, timestamp=1000), secret, now=1000)
    assert found is not None
    assert found.code == "reserialized"
