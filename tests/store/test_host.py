"""The hosts of a database URL."""

from __future__ import annotations

import pytest

from angarium.store.connection import each_host


@pytest.mark.parametrize(
    ("url", "each"),
    [
        ("postgresql://u:p@a/db", ["postgresql://u:p@a/db"]),
        ("postgresql://u:p@a:1,b:2/db", ["postgresql://u:p@a:1/db", "postgresql://u:p@b:2/db"]),
        ("postgres://a,b", ["postgres://a", "postgres://b"]),
        (
            "postgresql://u@[::1]:5,[::2]:6/db?sslmode=require",
            ["postgresql://u@[::1]:5/db?sslmode=require", "postgresql://u@[::2]:6/db?sslmode=require"],
        ),
        (
            "postgresql://u@/db?host=/x%20y,b&port=1,2&sslmode=off",
            [
                "postgresql://u@/db?sslmode=off&host=%2Fx+y&port=1",
                "postgresql://u@/db?sslmode=off&host=b&port=2",
            ],
        ),
        (
            "postgresql:///db?host=a,b&port=7",
            ["postgresql:///db?host=a&port=7", "postgresql:///db?host=b&port=7"],
        ),
        ("postgresql:///db", ["postgresql:///db"]),
    ],
)
def test_each_host_has_a_url(url: str, each: list[str]) -> None:
    assert each_host(url) == each


def test_ports_must_fit_hosts() -> None:
    with pytest.raises(ValueError, match="number of ports"):
        each_host("postgresql:///db?host=a,b&port=1,2,3")
