"""How the command of a worker finds its Receiver."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from angarium.receiver.worker import located

MODULE = """
from angarium.receiver import Receiver
receiver = Receiver("github", "a secret", source="first")
second = Receiver("github", "a secret", source="second")
wrong = 5
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module in the working directory, which is not on the path yet."""
    name = f"shop_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [part for part in sys.path if part != ""])
    yield name
    sys.modules.pop(name, None)


def test_the_receiver_is_the_named_one_or_the_one_called_receiver(project: str) -> None:
    assert located(f"{project}:second").source == "second"
    assert located(project).source == "first"
    assert located(f"{project}:").source == "first"


def test_the_working_directory_is_added_to_the_path_first_and_once(project: str) -> None:
    for _ in range(2):
        located(project)
    assert sys.path[0] == str(Path.cwd())
    assert sys.path.count(str(Path.cwd())) == 1


def test_a_path_with_the_working_directory_is_not_changed(project: str) -> None:
    sys.path.append("")  # stands for the working directory
    before = list(sys.path)
    assert located(project).source == "first"
    assert sys.path == before


def test_an_object_that_is_not_a_receiver_is_refused(project: str) -> None:
    with pytest.raises(TypeError, match=f"^{project}:wrong is not a Receiver$"):
        located(f"{project}:wrong")
    with pytest.raises(AttributeError):
        located(f"{project}:missing")
    with pytest.raises(ModuleNotFoundError):
        located("no_such_module_anywhere")
