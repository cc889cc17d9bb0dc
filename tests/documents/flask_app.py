"""Runs a Flask sample as a script: whatever port it asks for, it gets a free one, and says which."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from flask import Flask
from werkzeug.serving import make_server


def _run(app: Flask, *_: Any, **__: Any) -> None:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    sys.stdout.write(f"listening {server.port}\n")
    sys.stdout.flush()
    server.serve_forever()


Flask.run = _run  # type: ignore[method-assign, assignment]

if __name__ == "__main__":
    # a line at a time: unbuffered, another thread's line may come between the words of one
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    path = Path(sys.argv[1])
    exec(compile(path.read_text("utf-8"), str(path), "exec"), {"__name__": "__main__"})
