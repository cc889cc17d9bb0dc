"""Which Chromium the tests take, and how one is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.kit.chromium import NAMES, SETTING, NoChromiumError, ensure, find, install


def program(path: Path, says: str = "Chromium 150.0", status: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\nexit {status}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """An environment without any Chromium."""
    (tmp_path / "bin").mkdir()
    return {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path / "home")}


def test_the_one_that_was_named_comes_first(tmp_path: Path, bare: dict[str, str]) -> None:
    program(tmp_path / "bin/chromium")
    named = program(tmp_path / "mine/browser")
    assert find(bare | {SETTING: str(named)}) == named


def test_a_named_one_that_does_not_run_is_an_error_and_nothing_is_installed(
    tmp_path: Path, bare: dict[str, str]
) -> None:
    program(tmp_path / "bin/chromium")
    with pytest.raises(NoChromiumError, match=SETTING):
        ensure(bare | {SETTING: str(tmp_path / "nowhere")})


def test_the_usual_names_are_looked_for_on_the_path_in_order(tmp_path: Path, bare: dict[str, str]) -> None:
    for name in reversed(NAMES):
        made = program(tmp_path / "bin" / name, says="Google Chrome 150.0")
        assert find(bare) == made


def test_a_stub_that_tells_no_version_is_passed_over(tmp_path: Path, bare: dict[str, str]) -> None:
    program(tmp_path / "bin/chromium-browser", says="requires the chromium snap to be installed", status=10)
    chrome = program(tmp_path / "bin/google-chrome", says="Google Chrome 150.0")
    assert find(bare) == chrome


def test_what_playwright_kept_is_found_the_newest_first(tmp_path: Path, bare: dict[str, str]) -> None:
    cache = tmp_path / "home/.cache/ms-playwright"
    program(cache / "chromium-1200/chrome-linux/chrome")
    newest = program(cache / "chromium-1300/chrome-linux64/chrome")
    assert find(bare) == newest
    shell = program(cache / "chromium_headless_shell-1200/chrome-linux/headless_shell")
    assert find(bare) == shell
    elsewhere = program(tmp_path / "kept/chromium-1100/chrome-linux/chrome")
    assert find(bare | {"PLAYWRIGHT_BROWSERS_PATH": str(tmp_path / "kept")}) == elsewhere


def test_without_any_the_error_says_what_to_do(bare: dict[str, str]) -> None:
    with pytest.raises(NoChromiumError, match=f"install Chromium .*{SETTING}="):
        find(bare)


@pytest.mark.parametrize("there", [["chromium-headless-shell"], ["chromium-headless-shell", "chromium"]])
@pytest.mark.parametrize("root", [True, False], ids=["root", "through sudo"])
def test_it_is_installed_with_apt_get(
    tmp_path: Path, bare: dict[str, str], root: bool, there: list[str]
) -> None:
    """`there`: what is asked for until there is such a package."""
    said: list[str] = []

    def run(command: Sequence[str]) -> bool:
        said.append(" ".join(command))
        return command[-1] in ("update", there[-1])

    for name in ("apt-get", "sudo"):
        program(tmp_path / "bin" / name)
    install(bare, root=root, run=run)
    prefix = "" if root else "sudo -n "
    apt = f"{prefix}env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300"
    asked = [f"{apt} -qq -y --no-install-recommends install {name}" for name in there]
    assert said == [f"{apt} -qq update", *asked]


def test_a_failed_installation_is_an_error(tmp_path: Path, bare: dict[str, str]) -> None:
    program(tmp_path / "bin/apt-get")
    with pytest.raises(NoChromiumError, match="apt-get did not manage it"):
        install(bare, root=True, run=lambda command: False)


@pytest.mark.parametrize("missing", ["apt-get", "sudo"])
def test_a_machine_without_what_installs_it_is_told_so(
    tmp_path: Path, bare: dict[str, str], missing: str
) -> None:
    for name in {"apt-get", "sudo"} - {missing}:
        program(tmp_path / "bin" / name)
    with pytest.raises(NoChromiumError, match=f"no {missing}"):
        install(bare, root=False, run=lambda command: True)
