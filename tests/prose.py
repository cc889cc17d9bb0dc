"""Finds words and phrases that Angarium's texts avoid, with what to write instead.

    python -m tests.prose [FILE …]

It reads Markdown (without code), strings and comments of Python (of tests and bench only docstrings and
comments), comments of SQL, and page templates.
"""

from __future__ import annotations

import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CODE_OF_CONDUCT.md",
    "examples/**/*.md",
    "docs/**/*.md",
    "src/**/*.py",
    "src/**/*.sql",
    "src/**/*.html",
    "src/angarium/portal/text/*.toml",
    "bench/**/*.py",
    "tests/**/*.py",
)
# of these only docstrings and comments: other strings are data
PROGRAMS = ("bench/", "tests/")
STARTS = (tokenize.STRING, tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT)

# what to avoid (a regular expression over whole words) and what to write
AVOID = {
    # translated or archaic
    r"owe[ds]?|owing": "pending; to deliver",
    r"whoever|somebody|nobody|anybody|everybody": "who exactly: the caller, no client, another process",
    r"of (ours|yours|theirs)": "our own, your own",
    r"in hand": "pending, queued, in memory",
    r"(may|can|is) (not )?(to )?be had": "is (not) available",
    r"comes? to nothing": "fails, has no effect",
    r"comes? about": "happens, is made",
    r"goes? (its|their) ways?": "continues",
    r"(has|had|have) (it|them) from": "gets it from",
    r"(has|have|had) (its|their) (time|way)": "expires; is applied",
    r"doors?": "the route, the way in; before authentication",
    r"nobody tells|is told of|tells? of": "reports",
    r"for ever|for good": "permanently, without limit",
    r"mend(s|ed|ing)?": "fix",
    r"lest|thereby|hence|thrice|ere|alas|nought|hitherto|henceforth|whence|whither": "an ordinary word",
    r"anew": "again",
    r"ought": "should",
    r"shall": "must, will",
    r"in (no )?trouble": "failing",
    r"need do": "need to do",
    r"(is|are|was|were) told": "gets an error, is notified",
    r"a while": "some time; say how long",
    r"all the same": "still",
    r"of late": "recently",
    r"some [0-9][0-9,]*": "about",
    r"gives? (how many|where|whether|back)": "returns",
    r"go(es|ing)? on|went on|gone on": "continue",
    r"(at most|up to|after|every) so many": "the limit: at most `limit`, every `seconds`",
    r"what (has|had|have)(?! to)": "name it: expired rows, the finished part",
    r"one who": "who exactly: a caller, a client",
    r"lets? go( of)?": "release",
    r"pass(es|ed|ing)? (it |them |these )?over": "skip",
    r"tells? nothing|(some|no)thing came of": "does not show; has no effect",
    r"(lane|process|server|dispatcher|cache)s? (forgets?|thinks?|believes?|wants?)": "drops, expects, needs",
    r"spares? (the|a|us|other|others)": "avoids, is not read",
    r"fares?": "performs; its results",
    r"now and then|by and by|seldom": "from time to time, rarely; say how often",
    r"without a word": "silently",
    r"at last|as yet": "finally; yet",
    r"liv(es?|ed|ing) on": "continues to exist",
    # names that are gone
    r"heralds?": "notifier",
    r"settle[ds]?|settl(ing|ers?)|settlements?": "complete, completer, completion",
    r"lookouts?": "backlog poller",
    r"parcels?": "fetched delivery",
    r"deeds?": "audit event",
    r"upkeep": "maintenance",
    r"tally|tallies": "hourly statistics",
    r"scouts?": "URL check",
    r"bookkeepers?": "stats recorder",
    r"oust(s|ed|ing)?": "evict",
}

# written by others: quoted word for word, or generated from a file that is checked itself
QUOTED = ("tests/prose.py", "tests/test_prose.py", "docs/settings.md", "docs/products/")

RULES = [(re.compile(rf"(?<![\w-])(?:{one})(?![\w-])", re.IGNORECASE), write) for one, write in AVOID.items()]
CODE = re.compile(r"`[^`\n]*`")
TAG = re.compile(r"\{[{%#].*?[}%#]\}|<[^>]*>")


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """The prose of a file: the number of its first line, and the text."""
    source = path.read_text()
    if path.suffix == ".py":
        program = str(path.relative_to(ROOT)).startswith(PROGRAMS)
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
        for before, token, after in zip([tokens[0], *tokens], tokens, tokens[1:], strict=False):
            alone = before.type in STARTS and after.type == tokenize.NEWLINE
            if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and (alone or not program)):
                yield token.start[0], token.string
    elif path.suffix == ".sql":
        for number, line in enumerate(source.split("\n"), 1):
            _, dashes, comment = line.partition("--")
            if dashes:
                yield number, comment
    elif path.suffix == ".md":
        yield (
            1,
            re.sub(
                r"^```.*?^```",
                lambda found: "\n" * found[0].count("\n"),
                source,
                flags=re.DOTALL | re.MULTILINE,
            ),
        )
    else:
        yield 1, source


def found(path: Path) -> Iterator[str]:
    """A line for each phrase of a file that is to be avoided."""
    for first, text in texts(path):
        plain = re.sub(r"\]\([^)]*\)", "]", CODE.sub("", text))
        plain = TAG.sub(" ", plain) if path.suffix in (".html", ".toml") else plain
        for number, line in enumerate(plain.split("\n"), first):
            for rule, write in RULES:
                for phrase in rule.finditer(line):
                    yield f"{path.relative_to(ROOT)}:{number}: “{phrase[0]}”: write {write}"


def files() -> list[Path]:
    """All files whose prose has to be plain."""
    every = sorted({path for pattern in SOURCES for path in ROOT.glob(pattern)})
    return [path for path in every if not str(path.relative_to(ROOT)).startswith(QUOTED)]


def main() -> int:
    """Print what is found; 1 if there is any."""
    chosen = [Path(name).resolve() for name in sys.argv[1:]]
    lines = [line for path in chosen or files() for line in found(path)]
    print(*lines, sep="\n", end="\n" if lines else "")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
