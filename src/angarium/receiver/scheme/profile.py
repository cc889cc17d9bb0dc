"""Reads the schemes of products from the profiles that ship with Angarium.

The files are read as data, with a copy of the server's defaults: the receiver imports nothing of the server.
A profile that signs with a header of its own becomes a `Custom` scheme, any other a `Standard` one.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Final

from angarium.receiver.scheme.base import Scheme
from angarium.receiver.scheme.custom import Custom
from angarium.receiver.scheme.standard import Standard
from angarium.receiver.secret import SYMMETRIC

_FOLDER: Final = Path(__file__).parents[2] / "profiles"


def names() -> list[str]:
    """The names of the profiles."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def read(name: str) -> Scheme:
    """The scheme of a profile."""
    profile = tomllib.loads((_FOLDER / f"{name}.toml").read_text("utf-8"))
    parts = ",".join(f"{json.dumps(key)}:{part}" for key, part in profile.get("envelope", {}).items())
    envelope = f"{{{parts}}}" if parts else "{data}"
    signing = profile["signing"]
    for own in signing:
        if "header" in own:
            return Custom(
                name=name,
                header=own["header"],
                algorithm=own.get("algorithm", "hmac-sha256").removeprefix("hmac-"),
                signed=own.get("signed", "{body}"),
                key=own.get("key", "base64"),
                key_prefix="" if own.get("key") == "text" else SYMMETRIC,
                encoding=own.get("encoding", "hex"),
                prefix=own.get("format", "").removesuffix("{signature}"),
                envelope=envelope,
            )
    return Standard(name, tuple(one["family"] for one in signing), envelope=envelope)
