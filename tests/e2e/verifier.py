"""Outside verifiers asked about requests that came in: a module of the tests, and the script that judges.

`judged(cases)` starts a process for each library with a verifier in Python or Node, and gives what each
said. As a script: cases as JSON on standard input, verdicts as JSON on standard output.
"""

from __future__ import annotations

import asyncio
import base64
import importlib.metadata
import importlib.util
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.kit.receiver import Received

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    """A body, its headers, the secret to verify with; `now` for signatures of another day."""

    body: str  # base64
    headers: dict[str, str]
    secret: str
    now: int | None = None

    @classmethod
    def of(cls, request: Received, secret: str, family: str = "webhook", flip: int | None = None) -> Case:
        """What a receiver got, with one family of headers, perhaps with one bit of one byte changed."""
        names = [f"{family}-{part}" for part in ("id", "timestamp", "signature")]
        body = bytearray(request.body)
        if flip is not None:
            body[flip] ^= 1
        headers = {name: request.header(name) or "" for name in names}
        return cls(base64.b64encode(body).decode(), headers, secret)


# what each judge is called, how it is started, and which families of headers it reads
_SELF = (sys.executable, str(HERE / "verifier.py"))
JUDGES = {
    "svix 2 for Python": (*_SELF, "svix"),
    "svix 1 for Python": (*_SELF, "svix"),
    "standardwebhooks for Python": (*_SELF, "standardwebhooks"),
    "svix for Node": ("node", "svix"),
    "standardwebhooks for Node": ("node", "standardwebhooks"),
}


async def judged(
    cases: Sequence[Case], family: str = "webhook", names: Sequence[str] = tuple(JUDGES)
) -> dict[str, list[bool]]:
    """What each judge that knows the family of headers says of each case."""
    names = [name for name in names if family == "webhook" or name.startswith("svix")]
    verdicts = await asyncio.gather(*(_ask(name, cases) for name in names))
    return dict(zip(names, verdicts, strict=True))


async def _ask(name: str, cases: Sequence[Case]) -> list[bool]:
    from tests.kit.patience import PATIENCE
    from tests.node.npm import BIN

    command = JUDGES[name]
    if command[0] == "node":
        command = (str(BIN / "node"), str(HERE.parent / "node" / "verifier.mjs"), command[1])
    changed = {"PYTHONPATH": str(Path(sys.prefix) / "svix1")} if name.startswith("svix 1") else {}
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=os.environ | changed
    )
    given = json.dumps([asdict(case) for case in cases]).encode()
    out, err = await asyncio.wait_for(process.communicate(given), PATIENCE)
    assert process.returncode == 0, f"{name}: {err.decode()}"
    said = json.loads(out)
    assert "svix 1" not in name or said["version"].startswith("1."), said["version"]
    verdicts: list[bool] = said["verdicts"]
    return verdicts


def _main(library: str) -> None:
    # without what the package itself loads, a client of every operation, which takes longer than the rest
    spec = importlib.util.find_spec(library)
    assert spec is not None
    package = sys.modules[library] = ModuleType(library)
    package.__path__ = list(spec.submodule_search_locations or ())
    webhooks: Any = importlib.import_module(f"{library}.webhooks")
    inner: Any = importlib.import_module("standardwebhooks.webhooks")
    real = inner.datetime

    def verdict(case: dict[str, Any]) -> bool:
        class Then(real):  # type: ignore[misc, valid-type]
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return real.fromtimestamp(case["now"], tz)

        inner.datetime = real if case["now"] is None else Then
        try:
            webhooks.Webhook(case["secret"]).verify(base64.b64decode(case["body"]), case["headers"])
        except (webhooks.WebhookVerificationError, UnicodeDecodeError):
            return False
        return True

    verdicts = [verdict(case) for case in json.load(sys.stdin)]
    version = importlib.metadata.version(library)
    sys.stdout.write(json.dumps({"version": version, "verdicts": verdicts}))


if __name__ == "__main__":
    _main(sys.argv[1])
