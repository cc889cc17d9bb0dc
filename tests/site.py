"""Builds the documentation as a site: `python -m tests.site DIRECTORY`.

The pages are those of `docs/`, those of the repository that they link to, and the README as the first. They
are copied to one tree, with links that fit it. `docs/llms.txt` says in which group and order they are listed.
Zensical builds the site. It reads `mkdocs.yml`, as MkDocs does.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import yaml

ROOT: Final = Path(__file__).parent.parent
DOCS: Final = ROOT / "docs"
OTHERS: Final = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CODE_OF_CONDUCT.md",
    "LICENSE",
)
_BADGE: Final = re.compile(r"^!\[[^\]]*\]\(https://[^)]*\)\n", re.MULTILINE)
_LINK: Final = re.compile(r"(\]\()([^)#\s]+)((?:#[^)]*)?\))")
_SHIM: Final = "https://unpkg.com/iframe-worker/shim"
"""The offline plugin takes this script from another host, so that search works on pages opened as files."""
_OWN_SHIM: Final = ROOT / "tests/node/node_modules/iframe-worker/shim/index.js"
_GROUP: Final = re.compile(r"^## (.+)$|^- \[(.+)\]\(([^)]+)\)", re.MULTILINE)


def stage(directory: Path) -> None:
    """Copy all pages below `directory`, and what Zensical reads."""
    pages = directory / "pages"
    for source in sources():
        target = pages / place(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".md":
            target.write_text(moved(source))
        else:
            shutil.copyfile(source, target)
    configuration = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    configuration["nav"] = navigation()
    (directory / "mkdocs.yml").write_text(yaml.safe_dump(configuration, sort_keys=False))


def sources() -> list[Path]:
    """What the site is made of."""
    found = [path for path in DOCS.rglob("*") if path.is_file()]
    found += [ROOT / name for name in OTHERS]
    found += [path for path in (ROOT / "examples").rglob("README.md") if "node_modules" not in path.parts]
    return sorted(found)


def place(source: Path) -> str:
    """Where a file of the repository is in the site."""
    if source == ROOT / "README.md":
        return "index.md"
    return str(source.relative_to(DOCS if source.is_relative_to(DOCS) else ROOT))


def moved(source: Path) -> str:
    """The page, with links that lead to the same pages from its place in the site."""
    here = posixpath.dirname(place(source))
    known = set(sources())

    def link(found: re.Match[str]) -> str:
        before, target, after = found.groups()
        if urlsplit(target).scheme:
            return found[0]
        path = Path(os.path.normpath(source.parent / target))
        if path.is_dir() and path / "README.md" in known:
            path = path / "README.md"
        if path not in known:
            raise ValueError(f"{source.relative_to(ROOT)} links to {target}, which is not in the site")
        return f"{before}{posixpath.relpath(place(path), here or '.')}{after}"

    return _LINK.sub(link, _BADGE.sub("", source.read_text()))


def navigation() -> list[dict[str, Any]]:
    """The groups of `docs/llms.txt` with their pages."""
    groups: list[dict[str, Any]] = [{"Home": "index.md"}]
    for group, title, page in _GROUP.findall((DOCS / "llms.txt").read_text()):
        if group:
            groups.append({group: []})
        else:
            next(iter(groups[-1].values())).append({title: page})
    return [*groups, {"Changes": "CHANGELOG.md"}]


def build(directory: Path) -> Path:
    """Build the site below `directory`. Returns its root. A page or link that is wrong ends it."""
    stage(directory)
    subprocess.run(
        [Path(sys.executable).with_name("zensical"), "build", "--strict", "--clean"],
        cwd=directory, env={**os.environ, "NO_COLOR": "1"}, check=True,
    )  # fmt: skip
    site = directory / "site"
    own = site / "assets/javascripts/iframe-worker.js"
    shutil.copyfile(_OWN_SHIM, own)
    for page in site.rglob("*.html"):
        page.write_text(page.read_text().replace(_SHIM, os.path.relpath(own, page.parent)))
    return site


class Page(HTMLParser):
    """The links, resources and anchors of a page of the site."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.resources: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attributes}
        self.anchors.update(value for name, value in named.items() if name in ("id", "name"))
        if tag == "a" and "href" in named:
            self.links.append(named["href"])
        elif "src" in named or (tag == "link" and named.get("rel") in ("stylesheet", "icon", "preload")):
            self.resources.append(named.get("src") or named["href"])


def broken(site: Path) -> Iterator[str]:
    """Links that lead nowhere, and resources that other hosts would serve."""
    pages = {path: Page(path.read_text()) for path in site.rglob("*.html")}
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if parts.scheme or link.startswith("//") or path.name == "404.html":
                continue
            if not target.exists():
                yield f"{path.relative_to(site)}: {link} leads nowhere"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{path.relative_to(site)}: {link} names no heading"
        for resource in page.resources:
            if urlsplit(resource).netloc:
                yield f"{path.relative_to(site)}: {resource} is on another host"


def main(target: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        site = build(Path(name))
        if found := list(broken(site)):
            sys.exit("\n".join(found))
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(site, target)
    print(f"{target / 'index.html'}")  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
