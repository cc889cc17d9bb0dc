"""Each planted mistake is named; a right signature has none."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from angarium.receiver import SCHEMES, Custom, UnknownScheme
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


LINES = b'{\n"a": 1\n}'
SPREAD = b'{\r\n"a": 1\n}'
WORDED = '{"b":{"name":"Zoë"},"a":[1.50,2]}'.encode()
VALUE = json.loads(WORDED)


def written(ascii_only: bool = False, **options: Any) -> bytes:
    return json.dumps({"b": {"name": "Zoë"}, "a": [1.5, 2]}, ensure_ascii=ascii_only, **options).encode()


@pytest.mark.parametrize(
    ("body", "shown", "code", "words"),
    [
        (BODY + b"\n", BODY, "trailing_newline", "signed has a line end at its end. Take"),
        (BODY, BODY + b"\r\n\n", "trailing_newline", "signed has no line end at its end. Take"),
        (b"  " + BODY, b"  " + BODY + b"\n", "trailing_newline", "signed has no line end at its end. Take"),
        (BODY + b" ", BODY + b" \n", "trailing_newline", "signed has no line end at its end. Take"),
        (BODY, b" \n" + BODY + b" \n", "trailing_newline", "signed has no white space around it. Take"),
        (LINES, LINES.replace(b"\n", b"\r\n"), "line_ends", "signed with Unix line ends: something"),
        (LINES.replace(b"\n", b"\r\n"), LINES, "line_ends", "signed with Windows line ends: something"),
        (LINES.replace(b"\n", b"\r\n"), SPREAD, "line_ends", "signed with Windows line ends: something"),
        (BODY, b"\xef\xbb\xbf" + BODY, "line_ends", "signed without the byte order mark: something"),
        # the digits of a number are kept where only blanks were changed
        (WORDED, WORDED.replace(b",", b", "), "reserialized", "signed is compact JSON. Verify"),
        (b'{\n  "a": 1.50\n}', b'{"a":1.50}', "reserialized", "signed is JSON over several lines. Verify"),
        (written(separators=(",", ":")), WORDED, "reserialized", "signed is compact JSON. Verify"),
        (written(), WORDED, "reserialized", "signed is JSON with blanks behind commas and colons. Verify"),
        (written(indent=2), WORDED, "reserialized", "signed is JSON over several lines. Verify"),
        (written(separators=(",", ":"), sort_keys=True), WORDED, "reserialized",
         "signed is compact JSON with its keys sorted. Verify"),
        (written(ascii_only=True, separators=(",", ":")), WORDED, "reserialized",
         "signed is compact JSON, with letters escaped. Verify"),
        (written(ascii_only=True), WORDED, "reserialized",
         "signed is JSON with blanks behind commas and colons, with letters escaped. Verify"),
        (b'"\\ud800"', b'"\xed\xa0\x80"', "unknown", "No usual mistake"),
        (b'{"a":"\xed\xa0\x80"}', b'{"a":"\\ud800"}', "reserialized", "signed is compact JSON. Verify"),
        (b'{"b":1,"c":1,"a":1}', b'{"a":1,"b":1,"c":1}', "unknown", "No usual mistake"),
        (b"[1]", b"[" * 100_000, "unknown", "No usual mistake"),
        (b"[1]", b'{"a":' + b"9" * 5000 + b"}", "unknown", "No usual mistake"),
        (b"[1]", b"\xff", "unknown", "No usual mistake"),
    ],
)  # fmt: skip
def test_what_became_of_a_body_is_said(body: bytes, shown: bytes, code: str, words: str) -> None:
    found = look(shown, signed(body))
    assert found is not None
    assert (found.code, words in found.words) == (code, True), found


URL_SAFE = base64.urlsafe_b64encode(b"\xff\xfe" * 12).decode()
SHORT = base64.b64encode(b"0123456789abcdef0123456").decode().rstrip("=")
WHOLE, BARE = "The key is the whole secret as text", "The key is the secret as text, without its prefix;"
BASE64, SAFE = (
    "The key is what the base64 behind the prefix stands for;",
    "with the URL-safe alphabet of base64.",
)
HEX = "The key is written in hexadecimal digits;"


@pytest.mark.parametrize(
    ("secret", "key", "scheme", "words"),
    [
        (SECRET, SECRET.encode(), "standard", WHOLE),
        (SECRET, SECRET.removeprefix("whsec_").encode(), "standard", BARE),
        (f"whsec_{URL_SAFE}", b"\xff\xfe" * 12, "text", SAFE),
        (SECRET, b"0123456789abcdef01234567", "text", BASE64),
        (f"whsec_{SHORT}", b"0123456789abcdef0123456", "text", BASE64),
        (SHORT, b"0123456789abcdef0123456", "text", BASE64),
        # without its one dash it is no base64 at all
        ("whsec_-wAA" + "AAAA" * 7, b"\xfb" + bytes(23), "text", SAFE),
        *[
            (f"whsec_{bytes(range(size)).hex()}", bytes(range(size)), "text", HEX)
            for size in (24, 25, 26, 32)
        ],
        ("whsec_a_b", b"a_b", "text", BARE),
    ],
)
def test_which_key_a_secret_was_taken_for_is_said(secret: str, key: bytes, scheme: str, words: str) -> None:
    if scheme == "standard":
        headers, chosen = raw_key(key), SCHEMES["standard"]
    else:
        chosen = Custom(name=scheme, header="X-Signature")
        headers = {"X-Signature": hmac.new(key, BODY, hashlib.sha256).hexdigest()}
    found = diagnose(BODY, headers, secret, chosen, now=NOW)
    assert found is not None
    assert found.code == "key_decoding"
    assert words in found.words


def test_two_mistakes_at_once_are_both_said() -> None:
    found = look(BODY + b"\n", raw_key(SECRET.encode()))
    assert found is not None
    assert found.code == "trailing_newline"
    assert "has no line end at its end." in found.words
    assert "in another way as well" in found.words


@pytest.mark.parametrize(
    ("signed_by", "looked_at_by"),
    [("standard", "bluma"), ("bluma", "standard"), ("stripe", "github"), ("github", "stripe")],
)
def test_another_scheme_is_named_whichever_it_is(signed_by: str, looked_at_by: str) -> None:
    found = look(BODY, signed(scheme=signed_by), scheme=looked_at_by)
    assert found is not None
    assert (found.code, f"scheme {signed_by}," in found.words) == ("scheme", True)


def test_another_scheme_with_the_same_header_is_tried_after_the_bodies() -> None:
    mine = Custom(name="mine", header="X-Hub-Signature-256", prefix="sha256=", algorithm="sha512")
    found = look(BODY, signed(scheme="github"), scheme=mine)
    assert found is not None
    assert found.code == "scheme"
    assert "the scheme github, not mine" in found.words


def test_an_endpoint_with_the_same_secret_is_no_other() -> None:
    changed = BODY.replace(b"1.5", b"2.5")
    found = look(changed, signed(), others={"https://a.example": SECRET, "https://b.example": OTHER})
    assert found is not None
    assert found.code == "unknown"


def test_an_expired_signature_of_another_secret_is_looked_into() -> None:
    found = look(BODY, signed(secret=OTHER), now=NOW + 3600, others={"https://b.example": OTHER})
    assert found is not None
    assert found.code == "other_secret"


@pytest.mark.parametrize(("apart", "clock"), [(300, False), (301, True), (-300, False), (-301, True)])
def test_the_clock_is_wrong_beyond_the_schemes_tolerance(apart: int, clock: bool) -> None:
    found = look(BODY, signed(), now=NOW + apart)
    assert (found is not None) is clock
    if found is not None:
        when = "past" if apart > 0 else "future"
        assert found.code == "clock"
        assert found.words.startswith(f"The signature is right, but the timestamp is 301 s in the {when};")
        assert found.words.endswith("sides.")


def test_a_header_of_bad_format_is_told_as_verify_does() -> None:
    found = look(BODY, {**signed(), "webhook-timestamp": "soon"})
    assert found == Mistake("bad_format", "the timestamp is not a whole number of seconds")


def test_a_body_that_a_receiver_would_not_take_is_diagnosed_too() -> None:
    body = b'"' + b"x" * (1024 * 1024) + b'"'
    assert look(body, signed(body)) is None
