"""Each planted mistake is named; a right signature has none."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from angarium.receiver import UnknownScheme
from angarium.receiver.diagnose import Mistake, diagnose
from angarium.testing import sign

NOW = 1_700_000_000
SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
OTHER = "whsec_" + base64.b64encode(b"another endpoint's key!!").decode()
BODY = '{"id":"evt_1","name":"Zoë","amount":1.5}'.encode()


def look(body: bytes, headers: Any, **more: Any) -> Mistake | None:
    return diagnose(body, headers, SECRET, now=more.pop("now", NOW), **more)


def signed(body: bytes = BODY, secret: str = SECRET, scheme: str = "standard") -> dict[str, str]:
    return sign(body, secret, scheme, id="msg_1", timestamp=NOW)


def raw_key(key: bytes) -> dict[str, str]:
    """As a sender signs that takes another key out of the same secret."""
    content = b"msg_1.%d.%b" % (NOW, BODY)
    signature = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    return {"webhook-id": "msg_1", "webhook-timestamp": str(NOW), "webhook-signature": f"v1,{signature}"}


def test_a_right_signature_has_no_mistake() -> None:
    assert look(BODY, signed()) is None


@pytest.mark.parametrize(
    ("shown", "word"),
    [
        (json.dumps(json.loads(BODY)).encode(), "compact JSON"),
        (json.dumps(json.loads(BODY), indent=4).encode(), "compact JSON"),
        (json.dumps(json.loads(BODY), sort_keys=True, separators=(",", ":")).encode(), None),
    ],
)
def test_a_body_that_was_parsed_and_written_again(shown: bytes, word: str | None) -> None:
    found = look(shown, signed())
    assert found is not None
    if word is None:  # the order of the keys is gone, and nobody can bring it back
        assert found.code in ("reserialized", "unknown")
    else:
        assert found.code == "reserialized"
        assert word in found.words


@pytest.mark.parametrize(
    ("shown", "mistake"),
    [
        (BODY + b"\n", "trailing_newline"),
        (BODY + b"\r\n", "trailing_newline"),
        (b" " + BODY, "trailing_newline"),
        (b"\xef\xbb\xbf" + BODY, "line_ends"),
    ],
)
def test_a_body_that_was_changed_at_its_ends(shown: bytes, mistake: str) -> None:
    found = look(shown, signed())
    assert found is not None
    assert found.code == mistake


def test_line_ends_changed_on_the_way() -> None:
    body = b'{\n"a": 1\n}'
    found = look(body.replace(b"\n", b"\r\n"), signed(body))
    assert found is not None
    assert found.code == "line_ends"


@pytest.mark.parametrize(
    "key", [SECRET.encode(), SECRET.removeprefix("whsec_").encode()], ids=["whole text", "without prefix"]
)
def test_a_key_that_is_decoded_wrongly(key: bytes) -> None:
    found = look(BODY, raw_key(key))
    assert found is not None
    assert found.code == "key_decoding"


def test_the_secret_of_another_endpoint() -> None:
    found = look(BODY, signed(secret=OTHER), others={"https://b.example": OTHER})
    assert found == Mistake("other_secret", "It was signed with the secret of https://b.example.")


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_a_clock_that_is_wrong(seconds: int) -> None:
    found = look(BODY, signed(), now=NOW + seconds)
    assert found is not None
    assert found.code == "clock"
    assert "3600 s" in found.words


def test_another_scheme() -> None:
    found = look(BODY, signed(scheme="bluma"))
    assert found is not None
    assert found.code == "scheme"
    assert "bluma" in found.words


def test_what_nobody_can_explain_and_what_is_missing() -> None:
    found = look(BODY, signed(secret=OTHER))
    assert found is not None
    assert found.code == "unknown"
    found = look(BODY, {"content-type": "application/json"})
    assert found is not None
    assert found.code == "missing_header"
    with pytest.raises(UnknownScheme):
        look(BODY, {}, scheme="nonsense")
