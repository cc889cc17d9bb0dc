"""The login of an endpoint's URL: shown hidden, and kept when it comes back as it was shown."""

from __future__ import annotations

from angarium.core.nouns import Endpoint
from angarium.core.url import hide_login, is_hidden, same_door


def kept_login(url: str, before: Endpoint | None) -> tuple[str, str | None]:
    """A checked URL as it is kept, and its login: the one that there is, where it came back as it is shown.

    Raises ValueError when there is none, or when it would go to another host than it was given for.
    """
    shown, login = hide_login(url)
    if not is_hidden(login):
        return shown, login
    if before is None or before.login is None or hide_login(before.url)[1] != login:
        raise ValueError("the URL has *** where its password was not shown; write the password")
    if not same_door(before.url, url):
        raise ValueError("the URL leads to another host; write the password that is hidden as *** again")
    return shown, before.login
