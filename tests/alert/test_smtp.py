"""Mails over a real SMTP server: encryption, login, refusals, and what can be tried again."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from angarium.alert.letter import trial
from angarium.alert.mail import Mail, mail
from angarium.alert.smtp import MailServer, SendResult, Smtp, Verdict
from tests.kit import mail as kit
from tests.kit.authority import Authority
from tests.kit.port import free_port

SENDER = "Acme webhooks <alerts@acme.example>"
NOW = 1_800_000_000.0


def made(to: str = "dev@example.com", number: int = 1) -> Mail:
    return mail(trial(), SENDER, [to], UUID(int=number), NOW)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def send(
    scheme: str, server: kit.MailServer, *mails: Mail, authority: Authority | None = None, login: str = ""
) -> list[SendResult]:
    address = MailServer.of(f"{scheme}://{login}127.0.0.1:{server.port}")
    return await Smtp(address, None if authority is None else authority.trust()).send(mails or (made(),))


@pytest.mark.parametrize("scheme", ["smtp+starttls", "smtps"])
async def test_a_mail_is_sent_encrypted_after_a_login(scheme: str, authority: Authority) -> None:
    context = authority.good()
    starttls, tls = (context, None) if scheme == "smtp+starttls" else (None, context)
    async with kit.MailServer(starttls, tls, login=True) as server:
        login = f"{kit.USER}:{kit.PASSWORD.replace(' ', '%20')}@"
        results = await send(scheme, server, authority=authority, login=login)
    assert results == [SendResult(Verdict.SENT, "accepted")]
    assert server.encrypted == [True]
    assert server.recipients == [["dev@example.com"]]
    assert server.mails[0]["From"] == SENDER


async def test_a_certificate_that_is_not_trusted_ends_the_conversation(authority: Authority) -> None:
    for context in (authority.wrong_name(), authority.expired(), authority.unknown_issuer()):
        async with kit.MailServer(starttls=context) as server:
            (result,) = await send("smtp+starttls", server, authority=authority)
        assert result.verdict is Verdict.LATER
        assert "certificate verify failed" in result.said
        assert server.mails == []


async def test_a_server_without_starttls_gets_neither_password_nor_mail() -> None:
    async with kit.MailServer(login=True) as server:
        (result,) = await send("smtp+starttls", server, login=f"{kit.USER}:secret-word@")
    assert result.verdict is Verdict.LATER
    assert "STARTTLS" in result.said
    assert "secret-word" not in result.said
    assert server.mails == []


async def test_a_wrong_password_is_reported_without_it() -> None:
    async with kit.MailServer(login=True) as server:
        (result,) = await send("smtp", server, login=f"{kit.USER}:secret-word@")
    assert result.verdict is Verdict.LATER
    assert result.said.startswith("535")
    assert "secret-word" not in result.said


async def test_refusals_of_a_recipient_are_permanent_or_not() -> None:
    answers = {"gone@example.com": "550 No such user", "full@example.com": "452 Mailbox full"}
    async with kit.MailServer(answers=answers) as server:
        results = await send("smtp", server, made("gone@example.com"), made("full@example.com"), made())
    assert [one.verdict for one in results] == [Verdict.REFUSED, Verdict.LATER, Verdict.SENT]
    assert results[0].said == "550 No such user"
    assert server.connections == 1
    assert server.recipients == [["dev@example.com"]]


async def test_a_mail_that_one_of_several_recipients_refuses_is_sent_to_the_others() -> None:
    both = mail(trial(), SENDER, ["gone@example.com", "dev@example.com"], UUID(int=1), NOW)
    async with kit.MailServer(answers={"gone@example.com": "550 No such user"}) as server:
        assert await send("smtp", server, both) == [SendResult(Verdict.SENT, "550 No such user")]
    assert server.recipients == [["dev@example.com"]]


async def test_a_refusal_of_the_content_can_be_tried_again() -> None:
    async with kit.MailServer(after_data="554 Looks like spam") as server:
        (result,) = await send("smtp", server)
    assert result == SendResult(Verdict.LATER, "554 Looks like spam")


async def test_a_server_that_is_away_leaves_all_mails_for_later() -> None:
    address = MailServer.of(f"smtp://127.0.0.1:{free_port()}")
    results = await Smtp(address).send([made(number=1), made(number=2)])
    assert [one.verdict for one in results] == [Verdict.LATER, Verdict.LATER]
    place = f"127.0.0.1:{address.port}"
    words = f"{place} refuses connections. Check ANGARIUM_SMTP_URL, and that the server is running."
    assert {one.said for one in results} == {words}


async def test_a_host_that_does_not_exist_is_named() -> None:
    (result,) = await Smtp(MailServer.of("smtp://mail.invalid:25")).send([made()])
    assert result.verdict is Verdict.LATER
    assert result.said.startswith("mail.invalid cannot be resolved (")


async def test_a_server_without_tls_is_named() -> None:
    async with kit.MailServer() as server:
        (result,) = await send("smtps", server)
    assert result.said.startswith(f"127.0.0.1:{server.port} does not speak TLS (")


@pytest.mark.parametrize(
    "url",
    ["http://host", "smtp://", "smtps://host/path", "host:25", "smtp://user:word@mail.example.com"],
)
def test_a_url_of_another_kind_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match="write smtp") as found:
        MailServer.of(url)
    assert "word@" not in str(found.value).replace("password@", "")


def test_ports_and_logins_are_read_from_the_url() -> None:
    assert MailServer.of("smtps://a%40b:c%2Fd@host") == MailServer("smtps", "host", 465, "a@b", "c/d")
    assert MailServer.of("smtp+starttls://host").port == 587
    assert MailServer.of("smtp://host").port == 25
    assert "c/d" not in repr(MailServer.of("smtps://a:c%2Fd@host"))
