"""Separates the login from an endpoint's URL. It is shown masked, and kept when the masked URL comes back."""

from __future__ import annotations

from angarium.core.nouns import Endpoint
from angarium.core.url import hide_login, is_hidden, same_door


def kept_login(url: str, before: Endpoint | None) -> tuple[str, str | None]:
    """A checked URL as it is stored, and its login: the current one if the given one is masked.

    Raises ValueError when there is no such login, or when it would be sent to another host.
    """
    shown, login = hide_login(url)
    if not is_hidden(login):
        return shown, login
    if before is None or before.login is None or hide_login(before.url)[1] != login:
        raise ValueError("the URL has *** in place of its password; enter the password")
    if not same_door(before.url, url):
        raise ValueError("the URL has another host; enter the password again in place of ***")
    return shown, before.login
