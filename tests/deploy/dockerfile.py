"""Reads a Dockerfile and the .dockerignore beside its context, as far as deploy/Dockerfile uses the language.

An instruction that is not known here is an error, so that none goes unchecked.
"""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

KNOWN: Final = frozenset({
    "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN", "USER",
    "WORKDIR",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its name, and what follows it."""

    name: str
    text: str

    def flags(self) -> dict[str, str]:
        """The options before the arguments, such as `from` of COPY."""
        words = self.text.split()
        return dict(one[2:].split("=", 1) for one in words if one.startswith("--") and "=" in one)

    def plain(self) -> str:
        """The text without those options."""
        return re.sub(r"^(\s*--[\w-]+=\S+)+\s*", "", self.text)

    def words(self) -> list[str]:
        """The arguments: a JSON list, or words as a shell splits them."""
        plain = self.plain()
        return list(json.loads(plain)) if plain.startswith("[") else shlex.split(plain)


@dataclass(slots=True)
class Stage:
    """One stage, from its FROM on."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def last(self, name: str) -> Instruction:
        """The instruction of this name that counts, which is the last."""
        return [one for one in self.instructions if one.name == name][-1]

    def environment(self) -> dict[str, str]:
        """The variables of its ENV instructions."""
        found: dict[str, str] = {}
        for one in self.instructions:
            if one.name == "ENV":
                found |= dict(word.split("=", 1) for word in one.words())
        return found


def parse(text: str) -> list[Stage]:
    """The stages of a Dockerfile. Raises ValueError for an unknown instruction."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    before: dict[str, str] = {}
    stages: list[Stage] = []
    for line in filter(str.strip, joined.splitlines()):
        name, _, rest = line.strip().partition(" ")
        if name not in KNOWN:
            raise ValueError(f"{name} is not an instruction that the tests know")
        if name == "FROM":
            base, *alias = re.split(r"\s+AS\s+", rest.strip())
            stages.append(Stage(expanded(base, before), alias[0] if alias else ""))
        elif stages:
            stages[-1].instructions.append(Instruction(name, rest.strip()))
        elif name == "ARG":
            key, _, value = rest.partition("=")
            before[key] = value
        else:
            raise ValueError(f"{name} comes before FROM")
    return stages


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """The text with `${NAME}` and `$NAME` replaced. Raises KeyError for one that is not set."""
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: variables[found[1] or found[2]], text)


def context(root: Path) -> list[Path]:
    """The files of a build context that its .dockerignore lets in, relative to the root."""
    rules = [
        line.strip()
        for line in (root / ".dockerignore").read_text().splitlines()
        if line.strip() and not line.startswith("#")
    ]
    inside: list[Path] = []
    # the first rule keeps everything out, so only what a later rule names has to be looked at
    assert rules[0] == "*"
    for rule in rules:
        if rule.startswith("!"):
            place = root / rule[1:]
            inside += [one for one in (place.rglob("*") if place.is_dir() else (place,)) if one.is_file()]
    relative = {one.relative_to(root) for one in inside}
    return sorted(path for path in relative if _allowed(path, rules))


def _allowed(path: Path, rules: list[str]) -> bool:
    allowed = True
    names = [str(path), *(str(one) for one in path.parents)]
    for rule in rules:
        pattern = rule.removeprefix("!").replace("**/", "*")
        if any(fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(f"/{name}", pattern) for name in names):
            allowed = rule.startswith("!")
    return allowed
