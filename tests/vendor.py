"""Renews the copy of Redoc that `/docs` shows: `python -m tests.vendor`.

For another version, change REDOC in `api/static/__init__.py`, and INTEGRITY here to what
`npm view redoc@VERSION dist.integrity` shows. This gets the package with npm, compares its integrity,
replaces the image that it would load from another host, and writes the files that Angarium ships.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from angarium.api.static import REDOC, REDOC_SHA256

INTEGRITY: Final = (
    "sha512-M6jWhG1qoBnH6TFmzJnstyCZ87HmOY/UzDm78mHiYihEdlV/YcS9ogOo1NlElnJMeLsyxHFe2yFc4sNjHTrABQ=="
)
PLACE: Final = Path(__file__).parents[1] / "src/angarium/api/static"
LOGO: Final = b"https://cdn.redoc.ly/redoc/logo-mini.svg"
NO_LOGO: Final = b"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E"


def main() -> int:
    """Write the files; says what to pin."""
    with tempfile.TemporaryDirectory() as folder:
        command = ("npm", "pack", f"redoc@{REDOC}", "--silent", "--pack-destination", folder)
        subprocess.run(command, check=True)
        packed = next(Path(folder).glob("*.tgz")).read_bytes()
        found = "sha512-" + base64.b64encode(hashlib.sha512(packed).digest()).decode()
        if found != INTEGRITY:
            print(f"integrity is {found}, not {INTEGRITY}")
            return 1
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as package:
            script, notices, licence = (
                package.extractfile(f"package/{name}").read()  # type: ignore[union-attr]
                for name in (
                    "bundles/redoc.standalone.js",
                    "bundles/redoc.standalone.js.LICENSE.txt",
                    "LICENSE",
                )
            )
    if script.count(LOGO) != 1:
        print(f"{LOGO.decode()} is in it {script.count(LOGO)} times")
        return 1
    script = script.replace(LOGO, NO_LOGO)
    (PLACE / "redoc.js.gz").write_bytes(gzip.compress(script, 9, mtime=0))
    (PLACE / "redoc.LICENSE.txt").write_bytes(licence + b"\n" + notices)
    digest = hashlib.sha256(script).hexdigest()
    if digest != REDOC_SHA256:
        print(f"set REDOC_SHA256 in {PLACE}/__init__.py to {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
