"""Files that browsers load from this server; nothing is ever loaded from another."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from starlette.responses import Response


@cache
def _content(name: str) -> bytes:
    return (Path(__file__).parent / name).read_bytes()


def asset(name: str, media_type: str) -> Response:
    """One of the files of this directory; `name` is never a caller's."""
    return Response(_content(name), media_type=media_type, headers={"cache-control": "max-age=300"})
