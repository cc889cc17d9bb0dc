"""Headers in every form in which people have them are the same headers."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from angarium.cli.header_text import read_headers
from angarium.cli.main import app as cli
from angarium.receiver import verify
from angarium.testing import sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = '{"type":"a.b","data":{}}'


def forms() -> dict[str, str | bytes]:
    """The same headers in every form, signed now."""
    made = {
        name: value for name, value in sign(BODY, SECRET, id="msg_1").items() if name.startswith("webhook-")
    }
    lines = "\n".join(f"{name}: {value}" for name, value in made.items())
    curl = (
        "* Connected to example.com (127.0.0.1) port 443\n> POST /hook?a=b:c HTTP/2\n> Host: example.com\n"
        + "".join(f"> {name}: {value}\n" for name, value in made.items())
        + "> \n< HTTP/2 200\n< content-type: text/plain\n< webhook-id: other\n< \n* Connection left intact\n"
    )
    flags = " \\\n  ".join(f"-H '{name}: {value}'" for name, value in made.items())
    entries = [{"name": name, "value": value} for name, value in made.items()]
    lists = {name: [value] for name, value in made.items()}
    postman = [{"key": name, "value": value} for name, value in made.items()]
    environ = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in made.items()}
    both = ["v1,b3RoZXI=", made["webhook-signature"]]
    return {
        "lines": lines,
        "lines of Windows": lines.replace("\n", "\r\n") + "\r\n",
        "capitals": "\n".join(f"{name.upper()}: {value}" for name, value in made.items()),
        "titles": "\n".join(f"{name.title()}: {value}" for name, value in made.items()),
        "no blank behind the colon": lines.replace(": ", ":"),
        "indented": "\n".join(f"    {line}" for line in lines.splitlines()),
        "lines with blank ones between": lines.replace("\n", "\n\n"),
        "curl -v": curl,
        "answers of curl -v": "".join(f"< {line}\n" for line in lines.splitlines()),
        "curl -v without blanks": "".join(f">{line}\n" for line in lines.splitlines()),
        "a whole request": f"POST /hook HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\nwebhook-id: other\r\n{BODY}",
        "pseudo headers": f":method: POST\n:path: /hook\n:authority: a\n{lines}",
        "a folded value": lines.replace("signature: ", "signature: v0,eA==\n "),
        "names and values on lines of their own": lines.replace(": ", ":\n"),
        "a table, copied": lines.replace(": ", "\t"),
        "a curl command": f"curl -X POST https://example.com \\\n  {flags} -d '{BODY}'",
        "a curl command with --header": f"curl {flags} x".replace("-H", "--header").replace("\\\n", ""),
        "flags of curl": flags,
        "JSON": json.dumps(made),
        "JSON, indented": json.dumps(made, indent=2),
        "JSON with lists (Go, Laravel)": json.dumps({k.title(): v for k, v in lists.items()}),
        "JSON with a number": json.dumps({**made, "webhook-timestamp": int(made["webhook-timestamp"])}),
        "JSON with null": json.dumps({**made, "x-note": None}),
        "JSON pairs": json.dumps(list(made.items())),
        "JSON of HAR": json.dumps(entries),
        "JSON of Postman": json.dumps({"header": 1, "headers": postman}),
        "an entry of HAR": json.dumps({"request": {"method": "POST", "headers": entries}}),
        "an event of Lambda": json.dumps({"body": BODY, "multiValueHeaders": lists}),
        "Node's rawHeaders": json.dumps([part for pair in made.items() for part in pair]),
        "JSON, a list of lines": json.dumps(lines.split("\n")),
        "WSGI's environ": json.dumps(environ),
        "a dict of Python": repr(made),
        "ASGI's headers": repr([(k.encode(), v.encode()) for k, v in made.items()]),
        "a second signature": f"{lines}\nwebhook-signature: v1,b3RoZXI=",
        "two signatures in JSON": json.dumps({**made, "webhook-signature": both}),
        "UTF-16 (PowerShell)": lines.encode("utf-16"),
        "UTF-16 without a mark": lines.encode("utf-16-le"),
        "a byte order mark": lines.encode("utf-8-sig"),
        "another header in Latin-1": b"x-name: J\xfcrgen\n" + lines.encode(),
    }  # fmt: skip


NONE = [
    "",
    " \n",
    "nothing here",
    "{",
    "[1, 2]",
    "{}",
    "[]",
    '"text"',
    "null",
    "POST / HTTP/1.1\n",
    "curl 'x",
    "> \n",
]


@pytest.mark.parametrize("name", forms())
def test_every_form_verifies(name: str) -> None:
    form = forms()[name]
    found = read_headers(form.encode() if isinstance(form, str) else form)
    assert verify(BODY, found, SECRET).id == "msg_1"


@pytest.mark.parametrize("text", NONE, ids=repr)
def test_what_has_no_headers_is_an_error_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"webhook-id|quote"):
        read_headers(text.encode())
    done = CliRunner().invoke(cli, ["verify", "--secret", SECRET, "--headers", text, "--body", BODY])
    assert done.exit_code == 2
    assert "Traceback" not in done.output


def test_headers_come_from_a_file_standard_input_or_the_option(tmp_path: Path) -> None:
    curl = forms()["curl -v"]
    assert isinstance(curl, str)
    file = tmp_path / "headers.txt"
    file.write_text(curl)
    asked = ["verify", "--secret", SECRET, "--body", BODY, "--headers"]
    for given, piped in ((f"@{file}", None), ("-", curl), (curl, None)):
        done = CliRunner().invoke(cli, [*asked, given], input=piped)
        assert done.exit_code == 0, done.output
    forgotten = CliRunner().invoke(cli, [*asked, str(file)])
    assert forgotten.exit_code == 2
    assert "To read the file, write" in re.sub(r"[\s│]+", " ", forgotten.output)
    both = CliRunner().invoke(
        cli, ["verify", "--secret", SECRET, "--body", "-", "--headers", "-"], input=curl
    )
    assert both.exit_code == 2


def test_what_sign_prints_verify_reads() -> None:
    for form in ([], ["--json"]):
        signed = CliRunner().invoke(cli, ["sign", "--secret", SECRET, "--body", BODY, *form])
        done = CliRunner().invoke(
            cli, ["verify", "--secret", SECRET, "--body", BODY, "--headers", signed.output]
        )
        assert done.exit_code == 0, done.output


def test_text_without_headers_takes_no_time() -> None:
    began = time.monotonic()
    for text in ("(" * 100_000, "[" * 100_000, "a" * 1_000_000, "-H '" * 100_000, "{" * 100_000):
        with pytest.raises(ValueError, match=r"\w"):
            read_headers(text.encode())
    assert time.monotonic() - began < 60
