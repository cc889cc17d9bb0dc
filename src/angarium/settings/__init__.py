"""The settings: `ANGARIUM_*` environment variables, checked once at start.

Only `cli`, `server` and `build` import this package; other modules get values as arguments.
"""

from angarium.settings.declaration import PREFIX
from angarium.settings.environment import key_files, load, reread, secret_names, unknown
from angarium.settings.page import markdown
from angarium.settings.rule import Settings
from angarium.settings.value import host_and_port

__all__ = [
    "PREFIX",
    "Settings",
    "host_and_port",
    "key_files",
    "load",
    "markdown",
    "reread",
    "secret_names",
    "unknown",
]
