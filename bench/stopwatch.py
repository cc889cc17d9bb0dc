"""Runs a receiver that measures how long each message took: `python -m bench.stopwatch PORT`.

It is plain asyncio, so that it costs little. Messages contain the time at which they were due to be sent, by
the clock that all processes of this machine share. `GET` returns the delays since the last one, in
milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from typing import Any, Final, cast

import uvloop

_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_STAMP: Final = b'"t":"'


class Stopwatch(asyncio.Protocol):
    def __init__(self, delays: list[float]) -> None:
        self._delays: Final = delays
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (head := self._buffer.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(self._buffer, 0, head)
            end = head + 4 + (int(found[1]) if found else 0)
            if len(self._buffer) < end:
                return
            request, self._buffer = self._buffer[:end], self._buffer[end:]
            if request.startswith(b"GET"):
                self._report()
            else:
                at = request.index(_STAMP, head) + len(_STAMP)
                stamp = float(request[at : request.index(b'"', at)])
                self._delays.append((time.monotonic() - stamp) * 1000)
                self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    def _report(self) -> None:
        body = json.dumps(self._delays).encode()
        self._delays.clear()
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


async def main(port: int) -> None:
    delays: list[float] = []
    made: Any = lambda: Stopwatch(delays)  # noqa: E731
    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
