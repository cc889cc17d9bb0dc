"""`angarium init`: writes a starter receiver with tests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final

import typer

from angarium.cli.error import Exit, note
from angarium.cli.option import Json


@dataclass(frozen=True, slots=True)
class Skeleton:
    """`parts`: folders below `skeleton/`. Their files end in `.txt` so that tools ignore them."""

    parts: tuple[str, ...]
    test: str

    def files(self) -> dict[str, bytes]:
        """Names and contents."""
        folder = files("angarium.cli") / "skeleton"
        return {
            one.name.removesuffix(".txt"): one.read_bytes()
            for part in self.parts
            for one in sorted((folder / part).iterdir(), key=lambda one: one.name)
            if one.name.endswith(".txt")
        }


SKELETONS: Final = {
    "flask": Skeleton(("python", "flask"), "pip install angarium flask pytest && python -m pytest"),
    "fastapi": Skeleton(
        ("python", "fastapi"), "pip install angarium fastapi uvicorn httpx pytest && python -m pytest"
    ),
    "django": Skeleton(("django",), "pip install angarium django && python manage.py test"),
    "express": Skeleton(("express",), "npm install && npm test"),
}


def init(
    framework: Annotated[str, typer.Argument(help=f"One of {', '.join(SKELETONS)}.")],
    directory: Annotated[Path, typer.Argument(help="Target directory; created if missing.")] = Path(),
    as_json: Json = False,
) -> None:
    """Write a starter receiver with tests. It verifies and deduplicates events. Overwrites nothing.

    $ angarium init fastapi shop
    """
    if framework not in SKELETONS:
        raise typer.BadParameter(f"choose one of {', '.join(SKELETONS)}, not {framework!r}")
    skeleton = SKELETONS[framework]
    wanted = skeleton.files()
    try:
        if there := [name for name in wanted if (directory / name).exists()]:
            note(f"angarium: {', '.join(there)} already exists; nothing was written")
            raise typer.Exit(Exit.FAILED)
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in wanted.items():
            with (directory / name).open("xb") as file:
                file.write(content)
    except OSError as error:
        note(f"angarium: cannot write to {directory}: {error.strerror}")
        raise typer.Exit(Exit.FAILED) from error
    told = {"directory": str(directory), "files": sorted(wanted), "test": skeleton.test}
    text = "\n".join(
        [*sorted(wanted), "", f"See WEBHOOKS.md for how to run it. Run the tests with: {skeleton.test}"]
    )
    print(json.dumps(told) if as_json else text)
