"""Makes the keys of a process from its settings, and reads them from their files again on request."""

from __future__ import annotations

import os
from typing import cast

import structlog

from angarium.clock import Clock, SystemClock
from angarium.core.errors import SettingsError
from angarium.core.keyring import Keyring
from angarium.core.token_key import TokenKeys
from angarium.service.token import Tokens
from angarium.settings import Settings, key_files, reread
from angarium.store.database import Database

log = structlog.get_logger(__name__)


def keyring(settings: Settings) -> Keyring:
    """The keys that encrypt and decrypt secrets. Raises SettingsError if there is none."""
    if settings.secret_key is None:
        raise SettingsError("ANGARIUM_SECRET_KEY is not set; create one with `angarium key create`")
    return Keyring.parse(settings.secret_key.get_secret_value())


def token_keys(settings: Settings) -> TokenKeys:
    """The keys that sign and verify tokens. Raises SettingsError if there is none, or one is not a valid PEM
    key."""
    if settings.jwt_secret is None:
        raise SettingsError("ANGARIUM_JWT_SECRET is not set")
    try:
        return TokenKeys.parse(settings.jwt_secret.get_secret_value(), settings.jwt_algorithm)
    except (ValueError, TypeError) as error:
        raise SettingsError(f"ANGARIUM_JWT_SECRET has a key that is not valid PEM: {error}") from error


def tokens(settings: Settings, database: Database | None = None, clock: Clock | None = None) -> Tokens:
    """The token service. Without a database, tokens can be created and read, but not revoked."""
    return Tokens(cast(Database, database), clock or SystemClock(), os.urandom, token_keys(settings))


class Keys:
    """The keys of a running process. They are read from their files again on request."""

    def __init__(self, settings: Settings, ring: Keyring) -> None:
        self._settings = settings
        self._ring = ring
        self._tokens: Tokens | None = None

    def used_by(self, made: Tokens) -> Tokens:
        """Replace the keys of these tokens, too."""
        self._tokens = made
        return made

    def hung_up(self) -> None:
        """SIGHUP: read the keys again, or say that no file has them."""
        if key_files():
            self.read_again()
        else:
            log.warning(
                "keys.not_in_files",
                advice="Restart to change keys, or set ANGARIUM_JWT_SECRET_FILE, ANGARIUM_SECRET_KEY_FILE.",
            )

    def read_again(self) -> None:
        """Use the keys as they are in the files now. Keys that are not valid change nothing."""
        try:
            settings = reread(self._settings)
            ring, keys = keyring(settings), token_keys(settings)
        except SettingsError as error:
            log.error("keys.refused", error=error.detail)
            return
        if settings == self._settings:
            return
        self._settings = settings
        self._ring.replace(ring)
        if self._tokens is not None:
            self._tokens.use(keys)
        log.info("keys.read")
