"""Reads response heads that the strict parser refuses, as browsers and curl do.

Receivers are often scripts that write their response by hand. The head is rewritten for the strict parser:
lines may end with LF only, a line that starts with a space continues the previous one, a line that is not a
header is dropped, and control characters become spaces. An invalid or contradictory length is ignored, so the
body ends with the connection. Request smuggling is impossible, because the connection is not used again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

MAX_LINES: Final = 1024  # lines beyond these are left out
_STATUS: Final = re.compile(
    rb"HTTP/[12](?:\.[0-9])?[ \t]+([1-9][0-9]{2})(?:[ \t].*)?", re.IGNORECASE | re.DOTALL
)
_START: Final = b"HTTP/"
_END: Final = re.compile(rb"\n\r?\n")
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_NO_CONTROLS: Final = bytes(
    byte if byte in b"\t" or (byte >= 32 and byte != 127) else 32 for byte in range(256)
)
_FRAMING: Final = (b"content-length", b"transfer-encoding")


class LenientHead:
    """Collects bytes until the head is complete."""

    def __init__(self) -> None:
        self._raw = bytearray()
        self._searched = 0

    def feed(self, data: bytes | bytearray) -> bytes | None:
        """The response so far, with a head for the strict parser; None until the head is complete.

        Raises ValueError if this is not HTTP.
        """
        self._raw += data
        return self._answer(ended=False)

    def end(self) -> bytes | None:
        """The same after the receiver closed: the empty line after the last header may be missing."""
        return self._answer(ended=True)

    def _answer(self, *, ended: bool) -> bytes | None:
        while True:
            raw = self._raw
            if raw.startswith((b"\r", b"\n")):
                raw = self._raw = raw.lstrip(b"\r\n")
                self._searched = 0
            found = _END.search(raw, max(0, self._searched - 2))
            self._searched = len(raw)
            end, rest = found.span() if found is not None else (len(raw), len(raw))
            first, newline, _ = raw[: min(end + 1, 512)].partition(b"\n")
            if not newline and len(first) < 512:
                if not _START.startswith(bytes(raw[:5]).upper()):
                    raise ValueError("no status line")
                return None
            status = _STATUS.fullmatch(first.rstrip(b"\r"))
            if status is None:
                raise ValueError("no status line")
            if found is None and not (ended and raw.endswith(b"\n")):
                return None
            if status[1][:1] != b"1" or status[1] == b"101":
                lines = bytes(raw[:end]).split(b"\n", MAX_LINES)[1:MAX_LINES]
                return b"HTTP/1.1 %b \r\n%b\r\n%b" % (bytes(status[1]), _fields(lines), bytes(raw[rest:]))
            # an interim response, such as 103
            del raw[:rest]
            self._searched = 0


def _fields(lines: Iterable[bytes]) -> bytes:
    fields: list[tuple[bytes, list[bytes]]] = []
    for line in lines:
        if line[:1] in (b" ", b"\t"):
            if fields:
                fields[-1][1].append(line)
            continue
        name, colon, value = line.partition(b":")
        name = name.strip()
        if colon and _NAME.fullmatch(name):
            fields.append((name, [value]))
    joined = [
        (name, b" ".join(part.translate(_NO_CONTROLS).strip() for part in parts)) for name, parts in fields
    ]
    kept = [(name, value) for name, value in joined if name.lower() not in _FRAMING]
    kept += _framing(joined)
    return b"".join(b"%b: %b\r\n" % field for field in kept)


def _framing(fields: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The header that says where the body ends, if it is unambiguous."""
    lengths: set[bytes] = set()
    codings: list[bytes] = []
    for name, value in fields:
        if name.lower() == b"content-length":
            lengths.update(part.strip() for part in value.split(b","))
        elif name.lower() == b"transfer-encoding":
            codings += [part.strip().lower() for part in value.split(b",")]
    if codings:
        return [(b"transfer-encoding", b"chunked")] if codings == [b"chunked"] else []
    if len(lengths) == 1 and _LENGTH.fullmatch(length := lengths.pop()):
        return [(b"content-length", length)]
    return []
