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


def _print(*words: object) -> None:
    """A line in one write: the built-in one takes a write for each word, and other threads write too."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


Flask.run = _run  # type: ignore[method-assign, assignment]

if __name__ == "__main__":
    path = Path(sys.argv[1])
    exec(compile(path.read_text("utf-8"), str(path), "exec"), {"__name__": "__main__", "print": _print})
