"""Other texts that a careless decoder takes for the same credential."""

from __future__ import annotations

from collections.abc import Iterator

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_STANDARD = _ALPHABET.translate(str.maketrans("-_", "+/"))


def base64_spellings(text: str) -> Iterator[str]:
    """Of base64 in either alphabet: unused bits, padding, the other alphabet, characters to skip."""
    bare = text.rstrip("=")
    alphabet = _STANDARD if set(bare) & set("+/") else _ALPHABET
    unused = {2: 4, 3: 2}.get(len(bare) % 4, 0)
    last = alphabet.index(bare[-1])
    yield from (bare[:-1] + alphabet[last ^ bits] + text[len(bare) :] for bits in range(1, 1 << unused))
    yield from (bare + padding for padding in ("", "=", "==", "===", "====") if bare + padding != text)
    for other in (text.translate(str.maketrans("-_", "+/")), text.translate(str.maketrans("+/", "-_"))):
        if other != text:
            yield other
    middle = len(text) // 2
    for skipped in (" ", "\t", "!", ".", "=", "\x00", "%20"):
        yield text[:middle] + skipped + text[middle:]
    yield from digits(text)


def jwt_spellings(token: str) -> Iterator[str]:
    """Of each part of a token, and of the whole."""
    parts = token.split(".")
    for place, part in enumerate(parts):
        for other in base64_spellings(part):
            yield ".".join([*parts[:place], other, *parts[place + 1 :]])
    yield token.swapcase()
    yield from (token + ".", "." + token, token + "." + parts[2])


def letters(text: str) -> Iterator[str]:
    """Letters in the other case, and digits of other scripts."""
    yield text.swapcase()
    yield from digits(text)


def digits(text: str) -> Iterator[str]:
    """A digit of another script in the place of the first one."""
    place = next((place for place, one in enumerate(text) if one in "0123456789"), None)
    if place is not None:
        for zero in (0x0660, 0xFF10):  # Arabic-Indic, full width
            yield text[:place] + chr(zero + int(text[place])) + text[place + 1 :]
