"""The URLs of the project; tests put theirs in."""

from __future__ import annotations

from typing import Any

urlpatterns: list[Any] = []
