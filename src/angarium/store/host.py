"""Splits a database URL with several hosts into one URL for each.

The hosts are written as for libpq: `postgresql://user@a:5432,b:5433/name`, or in the query
`?host=a,b&port=5432,5433`.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, urlencode

_URL: Final = re.compile(r"(?P<scheme>\w+://)(?P<place>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?")


def each_host(url: str) -> list[str]:
    """The URL of each host, in their order. Raises ValueError if the numbers of hosts and ports differ."""
    found = _URL.fullmatch(url)
    if found is None:
        return [url]
    query = parse_qsl(found["query"] or "", keep_blank_values=True)
    given = dict(query)
    login, at, places = found["place"].rpartition("@")
    if "host" in given:
        hosts = given["host"].split(",")
        ports = given.get("port", "").split(",")
        if len(ports) not in (1, len(hosts)):
            raise ValueError("the number of ports in the database URL differs from the number of hosts")
        ports *= len(hosts) if len(ports) == 1 else 1
        rest = [(name, value) for name, value in query if name not in ("host", "port")]
        return [
            f"{found['scheme']}{found['place']}{found['path']}?"
            + urlencode([*rest, ("host", host), *([("port", port)] if port else [])])
            for host, port in zip(hosts, ports, strict=True)
        ]
    tail = found["path"] + ("" if found["query"] is None else f"?{found['query']}")
    return [f"{found['scheme']}{login}{at}{place}{tail}" for place in places.split(",")]
