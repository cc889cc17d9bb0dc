"""Says where alerts go: the mail server, the operator's channels, and the URLs of links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from angarium.alert.hook import Post, Webhook
from angarium.alert.mail import Mail
from angarium.alert.smtp import MailChannel, SendResult, Verdict
from angarium.core.alert import Audience, Recipient

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Channels:
    """The channels of the settings.

    `base`: the URL at which clients reach the server. Without it mails have no links, so contacts get none.
    """

    mail: MailChannel | None = None
    sender: str = ""
    operator: tuple[str, ...] = ()  # addresses
    webhook: Webhook | None = None
    post: Post | None = None
    base: str | None = None

    @property
    def audience(self) -> Audience:
        """Who gets alerts."""
        operator = []
        if self.mail is not None and self.operator:
            operator.append(Recipient.MAIL)
        if self.webhook is not None:
            operator.append(Recipient.WEBHOOK)
        return Audience(tuple(operator), contacts=self.mail is not None and self.base is not None)


class MailLog:
    """Writes mails to the log instead of sending them, for development."""

    async def send(self, mails: Sequence[Mail]) -> list[SendResult]:
        for one in mails:
            part = one.message.get_body(("plain",))
            log.info(
                "mail.printed",
                to=", ".join(one.recipients),
                subject=str(one.message["Subject"]),
                text="" if part is None else part.get_content(),
            )
        return [SendResult(Verdict.SENT, "printed")] * len(mails)
