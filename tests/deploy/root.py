"""Carries out the stages of a Dockerfile in roots of Debian, and starts programs in them.

No container engine is needed. A root comes from Debian's mmdebstrap. Every program runs by chroot in a mount
namespace of its own, so no mount is left behind, however it ends. Needs root.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.deploy.dockerfile import Stage, context, expanded
from tests.kit.debian import ensure
from tests.kit.helm import CACHE

SUITES: Final = {"12": "bookworm", "13": "trixie"}
AUTHORITIES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
# in a mount namespace: $1 is the root, $2 what else to mount; then the program
SCRIPT: Final = """
inside=$PATH; PATH=/usr/sbin:/usr/bin:/sbin:/bin
root=$1; extra=$2; shift 2
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
eval "$extra"
PATH=$inside exec "$@"
"""
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DEADLINE: Final = 1200.0


@dataclass(frozen=True, slots=True)
class Root:
    """A directory that is the root of a Debian, and the settings of the image it stands for."""

    place: Path
    environment: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    directory: str = "/"

    def command(
        self,
        *arguments: str,
        user: str | None = None,
        binds: Mapping[Path, str] | None = None,
        read_only: bool = True,
        **variables: str,
    ) -> tuple[list[str], dict[str, str]]:
        """What to start, and its whole environment, to run a program in the root as a container engine does.

        `binds` are files and directories of this machine, which the program may read, at paths of the root.
        If the root is read-only, only /tmp is writable.
        """
        extra = []
        for source, path in (binds or {}).items():
            target = shlex.quote(str(self.place) + path)
            make = "mkdir -p" if source.is_dir() else f"mkdir -p $(dirname {target}); touch"
            extra.append(f"{make} {target}; mount --bind {shlex.quote(str(source))} {target}")
            extra.append(f"mount -o remount,bind,ro {target}")
        if read_only:
            extra.append('mount -t tmpfs -o mode=1777,size=64m tmpfs "$root/tmp"')
            extra.append('mount -o remount,bind,ro "$root"')
        uid, _, gid = (user or self.user).partition(":")
        inside = [
            _of_this_machine("chroot"),
            f"--userspec={uid}:{gid or '0'}",
            f"--groups={gid or '0'}",
            str(self.place),
        ]
        go = f'cd {shlex.quote(self.directory)} && exec "$@"'
        command = [
            *(_of_this_machine("unshare"), "--mount", "--propagation", "private"),
            *("/bin/sh", "-euc", SCRIPT, "sh"),
            *(str(self.place), "; ".join(extra) or ":"),
            *(_of_this_machine("setpriv"), "--no-new-privs", "--inh-caps=-all"),
            *(*inside, "sh", "-c", go, "sh", *arguments),
        ]  # fmt: skip
        return command, {"PATH": _PATH, "HOME": "/"} | self.environment | variables


def mirror() -> str:
    """The archive of Debian that this machine uses."""
    form = ("--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian")
    told = subprocess.run(("apt-get", "indextargets", *form), capture_output=True, text=True, check=True)
    found = told.stdout.split()
    assert found, "apt-get knows no archive of Debian"
    return found[0]


def base(image: str, place: Path) -> None:
    """Makes a root that is like an image of Debian, such as debian:13-slim. Its archive is kept."""
    number = re.fullmatch(r"debian:(\d+)-slim(@sha256:\w+)?", image)
    assert number is not None, f"{image} is not debian:NUMBER-slim, so no root like it can be made"
    suite = SUITES[number[1]]
    archive = CACHE / f"debian-{suite}.tar"
    if not archive.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        part = archive.with_suffix(".part.tar")
        program = str(ensure("mmdebstrap"))
        left_out = [f"--dpkgopt=path-exclude=/usr/share/{one}/*" for one in ("doc", "info", "locale", "man")]
        _run(
            (program, "--quiet", "--variant=minbase", *left_out, suite, str(part), mirror()), dict(os.environ)
        )
        part.rename(archive)
    place.mkdir(parents=True)
    _run(("tar", "-xf", str(archive), "-C", str(place), "--exclude=./dev/*"), dict(os.environ))


def build(stages: Sequence[Stage], source: Path, place: Path) -> Root:
    """The last stage's root, below `place`. `source` is the build context."""
    roots: dict[str, Root] = {}
    assert os.geteuid() == 0, "a root can be made and entered by root only; run it with sudo"
    for number, stage in enumerate(stages):
        root = Root(place / str(number))
        base(stage.base, root.place)
        roots[stage.name or str(number)] = _carried_out(stage, root, source, roots)
    return list(roots.values())[-1]


def _carried_out(stage: Stage, root: Root, source: Path, roots: Mapping[str, Root]) -> Root:
    arguments: dict[str, str] = {}
    for one in stage.instructions:
        here = Root(root.place, root.environment, root.user, root.directory)
        print(f"  {one.name} {one.text[:100]}", file=sys.stderr)  # noqa: T201
        if one.name == "ENV":
            added = dict(word.split("=", 1) for word in one.words())
            root = Root(here.place, here.environment | added, here.user, here.directory)
        elif one.name == "ARG":
            name, _, value = one.text.partition("=")
            arguments[name] = value
        elif one.name == "USER":
            root = Root(here.place, here.environment, one.text, here.directory)
        elif one.name == "WORKDIR":
            (here.place / one.text.lstrip("/")).mkdir(parents=True, exist_ok=True)
            root = Root(here.place, here.environment, here.user, one.text)
        elif one.name == "RUN":
            binds = {path: str(path) for path in map(Path, ("/etc/resolv.conf", "/etc/hosts"))}
            binds[AUTHORITIES] = "/run/authorities.crt"
            outside = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
            command, variables = here.command(
                "/bin/sh", "-c", one.text, binds=binds, read_only=False,
                **outside, **arguments, PIP_CERT="/run/authorities.crt", PIP_DEFAULT_TIMEOUT="180",
            )  # fmt: skip
            _run(command, variables)
            (here.place / "run/authorities.crt").unlink()
        elif one.name == "COPY":
            _copy(one.flags().get("from"), one.words(), here, source, roots)
        elif one.name == "LABEL":
            expanded(one.text, arguments)
    return root


def _copy(
    stage: str | None, words: Sequence[str], root: Root, source: Path, roots: Mapping[str, Root]
) -> None:
    *sources, target = words
    into = root.place / os.path.join(root.directory, target).lstrip("/")  # noqa: PTH118 (an absolute target wins)
    if stage is not None:
        (only,) = sources
        shutil.copytree(roots[stage].place / only.lstrip("/"), into, symlinks=True, dirs_exist_ok=True)
        return
    inside = context(source)
    for one in map(Path, sources):
        for path in inside:
            if path == one or one in path.parents:
                there = into / path.relative_to(one) if path != one else into / one.name
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source / path, there)
        assert any(path == one or one in path.parents for path in inside), f"{one} is not in the context"


def _of_this_machine(program: str) -> str:
    """The path of a program, whatever PATH the image has."""
    found = shutil.which(program, path=_PATH)
    assert found is not None, f"{program} is missing; Debian's util-linux and coreutils have it"
    return found


def _run(command: Sequence[str], variables: Mapping[str, str]) -> None:
    subprocess.run(command, env=variables, check=True, timeout=_DEADLINE, stdout=sys.stderr)
