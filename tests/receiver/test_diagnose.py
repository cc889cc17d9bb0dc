"""Each mistake is found and named; a valid signature has none."""

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
    """Headers of a sender that derives another key from the same secret."""
    content = b"msg_1.%d.%b" % (NOW, BODY)
    signature = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    return {"webhook-id": "msg_1", "webhook-timestamp": str(NOW), "webhook-signature": f"v1,{signature}"}


def test_a_valid_signature_has_no_mistake() -> None:
    assert look(BODY, signed()) is None


@pytest.mark.parametrize(
    ("shown", "word"),
    [
        (json.dumps(json.loads(BODY)).encode(), "compact JSON"),
        (json.dumps(json.loads(BODY), indent=4).encode(), "compact JSON"),
        (json.dumps(json.loads(BODY), sort_keys=True, separators=(",", ":")).encode(), None),
    ],
)
def test_a_body_that_was_parsed_and_serialized_again_is_found(shown: bytes, word: str | None) -> None:
    found = look(shown, signed())
    assert found is not None
    if word is None:  # the order of the keys is lost
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
def test_a_body_that_was_changed_at_its_ends_is_found(shown: bytes, mistake: str) -> None:
    found = look(shown, signed())
    assert found is not None
    assert found.code == mistake


def test_changed_line_ends_are_found() -> None:
    body = b'{\n"a": 1\n}'
    found = look(body.replace(b"\n", b"\r\n"), signed(body))
    assert found is not None
    assert found.code == "line_ends"


@pytest.mark.parametrize(
    "key", [SECRET.encode(), SECRET.removeprefix("whsec_").encode()], ids=["whole text", "without prefix"]
)
def test_a_wrongly_decoded_key_is_found(key: bytes) -> None:
    found = look(BODY, raw_key(key))
    assert found is not None
    assert found.code == "key_decoding"


def test_the_secret_of_another_endpoint_is_found() -> None:
    found = look(BODY, signed(secret=OTHER), others={"https://b.example": OTHER})
    assert found == Mistake("other_secret", "It was signed with the secret of https://b.example.")


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_a_wrong_clock_is_found(seconds: int) -> None:
    found = look(BODY, signed(), now=NOW + seconds)
    assert found is not None
    assert found.code == "clock"
    assert "3600 s" in found.words


def test_another_scheme_is_found() -> None:
    found = look(BODY, signed(scheme="github"))
    assert found is not None
    assert found.code == "scheme"
    assert "github" in found.words


def test_an_unknown_cause_and_a_missing_header_are_reported() -> None:
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
        (BODY + b"\n", BODY, "trailing_newline", "signed body has a newline at its end. Use"),
        (BODY, BODY + b"\r\n\n", "trailing_newline", "body has no newline at its end. Use"),
        (b"  " + BODY, b"  " + BODY + b"\n", "trailing_newline", "body has no newline at its end. Use"),
        (BODY + b" ", BODY + b" \n", "trailing_newline", "body has no newline at its end. Use"),
        (BODY, b" \n" + BODY + b" \n", "trailing_newline", "signed body has no whitespace around it. Use"),
        (LINES, LINES.replace(b"\n", b"\r\n"), "line_ends", "signed body has Unix line ends. Something"),
        (LINES.replace(b"\n", b"\r\n"), LINES, "line_ends", "signed body has Windows line ends. Something"),
        (LINES.replace(b"\n", b"\r\n"), SPREAD, "line_ends", "signed body has Windows line ends. Something"),
        (BODY, b"\xef\xbb\xbf" + BODY, "line_ends", "signed body has no byte order mark. Something"),
        # the digits of a number are kept if only spaces were changed
        (WORDED, WORDED.replace(b",", b", "), "reserialized", "signed one is compact JSON. Verify"),
        (b'{\n  "a": 1.50\n}', b'{"a":1.50}', "reserialized", "one is JSON over several lines. Verify"),
        (written(separators=(",", ":")), WORDED, "reserialized", "signed one is compact JSON. Verify"),
        (written(), WORDED, "reserialized", "signed one is JSON with spaces after commas and colons. Verify"),
        (written(indent=2), WORDED, "reserialized", "one is JSON over several lines. Verify"),
        (written(separators=(",", ":"), sort_keys=True), WORDED, "reserialized",
         "signed one is compact JSON with its keys sorted. Verify"),
        (written(ascii_only=True, separators=(",", ":")), WORDED, "reserialized",
         "signed one is compact JSON, with escaped letters. Verify"),
        (written(ascii_only=True), WORDED, "reserialized",
         "signed one is JSON with spaces after commas and colons, with escaped letters. Verify"),
        (b'"\\ud800"', b'"\xed\xa0\x80"', "unknown", "No common mistake"),
        (b'{"a":"\xed\xa0\x80"}', b'{"a":"\\ud800"}', "reserialized", "signed one is compact JSON. Verify"),
        (b'{"b":1,"c":1,"a":1}', b'{"a":1,"b":1,"c":1}', "unknown", "No common mistake"),
        (b"[1]", b"[" * 100_000, "unknown", "No common mistake"),
        (b"[1]", b'{"a":' + b"9" * 5000 + b"}", "unknown", "No common mistake"),
        (b"[1]", b"\xff", "unknown", "No common mistake"),
    ],
)  # fmt: skip
def test_the_change_of_a_body_is_described(body: bytes, shown: bytes, code: str, words: str) -> None:
    found = look(shown, signed(body))
    assert found is not None
    assert (found.code, words in found.words) == (code, True), found


URL_SAFE = base64.urlsafe_b64encode(b"\xff\xfe" * 12).decode()
SHORT = base64.b64encode(b"0123456789abcdef0123456").decode().rstrip("=")
WHOLE, BARE = "The key is the whole secret as text", "The key is the secret as text, without its prefix."
BASE64, SAFE = "The key is the base64 after the prefix.", "The key is URL-safe base64."
HEX = "The key is written in hexadecimal digits."


@pytest.mark.parametrize(
    ("secret", "key", "scheme", "words"),
    [
        (SECRET, SECRET.encode(), "standard", WHOLE),
        (SECRET, SECRET.removeprefix("whsec_").encode(), "standard", BARE),
        (f"whsec_{URL_SAFE}", b"\xff\xfe" * 12, "text", SAFE),
        (SECRET, b"0123456789abcdef01234567", "text", BASE64),
        (f"whsec_{SHORT}", b"0123456789abcdef0123456", "text", BASE64),
        (SHORT, b"0123456789abcdef0123456", "text", BASE64),
        # without its dash it is not valid base64
        ("whsec_-wAA" + "AAAA" * 7, b"\xfb" + bytes(23), "text", SAFE),
        *[
            (f"whsec_{bytes(range(size)).hex()}", bytes(range(size)), "text", HEX)
            for size in (24, 25, 26, 32)
        ],
        ("whsec_a_b", b"a_b", "text", BARE),
    ],
)
def test_the_key_that_was_derived_is_described(secret: str, key: bytes, scheme: str, words: str) -> None:
    if scheme == "standard":
        headers, chosen = raw_key(key), SCHEMES["standard"]
    else:
        chosen = Custom(name=scheme, header="X-Signature")
        headers = {"X-Signature": hmac.new(key, BODY, hashlib.sha256).hexdigest()}
    found = diagnose(BODY, headers, secret, chosen, now=NOW)
    assert found is not None
    assert found.code == "key_decoding"
    assert words in found.words


def test_two_mistakes_at_once_are_both_described() -> None:
    found = look(BODY + b"\n", raw_key(SECRET.encode()))
    assert found is not None
    assert found.code == "trailing_newline"
    assert "has no newline at its end." in found.words
    assert "derived from the secret in another way" in found.words


@pytest.mark.parametrize(
    ("signed_by", "looked_at_by"),
    [("standard", "stripe"), ("github", "standard"), ("stripe", "github"), ("github", "stripe")],
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


def test_an_endpoint_with_the_same_secret_is_not_reported_as_another() -> None:
    changed = BODY.replace(b"1.5", b"2.5")
    found = look(changed, signed(), others={"https://a.example": SECRET, "https://b.example": OTHER})
    assert found is not None
    assert found.code == "unknown"


def test_an_expired_signature_with_another_secret_is_diagnosed() -> None:
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
        assert found.words.startswith(f"The signature is valid, but the timestamp is 301 s in the {when};")
        assert found.words.endswith("sides.")


def test_a_malformed_header_is_reported_as_verify_does() -> None:
    found = look(BODY, {**signed(), "webhook-timestamp": "soon"})
    assert found == Mistake("bad_format", "the timestamp is not a whole number of seconds")


def test_a_body_above_the_receivers_limit_is_diagnosed() -> None:
    body = b'"' + b"x" * (1024 * 1024) + b'"'
    assert look(body, signed(body)) is None
