"""Files that browsers load from this server; nothing is ever loaded from another.

`redoc.js.gz` is Redoc (MIT, `redoc.LICENSE.txt`), which shows the API reference. `tests/vendor.py` renews it.
"""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

REDOC: Final = "2.5.4"
REDOC_SHA256: Final = "3c7b16a54bf504b55dece8c430c2776f8e979fa2cd0f9ce02e892ecb5bca37cd"
"""Of the script, not compressed."""


@cache
def _content(name: str) -> bytes:
    return (Path(__file__).parent / name).read_bytes()


def asset(name: str, media_type: str) -> Response:
    """One of the files of this directory; `name` is never a caller's."""
    return Response(_content(name), media_type=media_type, headers={"cache-control": "max-age=300"})


def redoc(request: Request) -> Response:
    """Redoc, compressed for those who accept that. Its URL has its version, so it never changes."""
    headers = {"cache-control": "max-age=31536000, immutable", "vary": "accept-encoding"}
    body = _content("redoc.js.gz")
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
    else:
        body = gzip.decompress(body)
    return Response(body, media_type="text/javascript", headers=headers)
