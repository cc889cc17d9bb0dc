"""A store in Redis or Valkey, with the client `redis`.

Entries expire by Redis's clock. If Redis evicts keys or restarts without its data, events can be handled
again.
"""

from __future__ import annotations

from typing import Any, Final

from angarium.receiver.backend import Claim, Key, Store

_CLAIM: Final = """
local value = redis.call('GET', KEYS[1])
if not value then
  redis.call('SET', KEYS[1], 'held ' .. ARGV[1], 'PX', ARGV[2])
  return 'taken'
end
return value == 'done' and 'done' or 'held'
"""
_RELEASE: Final = """
if redis.call('GET', KEYS[1]) == 'held ' .. ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
_ADVANCE: Final = """
local seen = redis.call('GET', KEYS[1])
if seen and tonumber(seen) > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""


class RedisStore(Store):
    """`client` is a synchronous `redis.Redis`. In event loops it is used in threads."""

    def __init__(self, client: Any, prefix: str = "webhook:") -> None:
        self._client = client
        self._prefix = prefix

    def claim(self, key: Key, token: str, *, lease: float, now: float) -> Claim:
        answer = self._client.eval(_CLAIM, 1, self._name("claim", key), token, _milliseconds(lease))
        return Claim(answer.decode() if isinstance(answer, bytes) else answer)

    def done(self, key: Key, token: str, *, ttl: float, now: float) -> None:
        self._client.set(self._name("claim", key), "done", px=_milliseconds(ttl))

    def release(self, key: Key, token: str) -> None:
        self._client.eval(_RELEASE, 1, self._name("claim", key), token)

    def advance(self, key: Key, at: float, *, ttl: float, now: float) -> bool:
        # whole microseconds, which Lua's numbers represent exactly
        microseconds = round(at * 1_000_000)
        return bool(self._client.eval(_ADVANCE, 1, self._name("mark", key), microseconds, _milliseconds(ttl)))

    def _name(self, kind: str, key: Key) -> str:
        # the length keeps ("a", "b:c") and ("a:b", "c") apart
        return f"{self._prefix}{kind}:{len(key.source)}:{key.source}:{key.id}"


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
