"""Mail: handing one message to the server that the settings name."""

from __future__ import annotations

import smtplib
import ssl
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import unquote, urlsplit

from registry.errors import Busy
from registry.settings import Settings

_SECONDS = 10


def send(settings: Settings, to: str, subject: str, text: str) -> None:
    """Send one message to one address.

    :raises Busy: if no server is named, or it does not take the message; the address is never repeated.
    """
    if not settings.smtp_url:
        raise Busy("no mail server: set SOCLE_SMTP_URL")
    try:
        message = _message(settings.sender, to, subject, text)
        with _connected(settings.smtp_url) as server:
            server.send_message(message)
    except (OSError, smtplib.SMTPException, MessageError, ValueError) as error:
        # What the server says may hold the address: only the kind of error is told.
        raise Busy(f"mail was not taken: {type(error).__name__}") from None


def _message(sender: str, to: str, subject: str, text: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = Address("Socle", addr_spec=sender)
    message["To"] = Address(addr_spec=to)
    message["Subject"] = subject
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid("socle", domain=sender.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    return message


def _connected(url: str) -> smtplib.SMTP:
    parts = urlsplit(url)
    host = parts.hostname or ""
    context = ssl.create_default_context()
    if parts.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or 465, timeout=_SECONDS, context=context)
    else:
        server = smtplib.SMTP(host, parts.port or 25, timeout=_SECONDS)
        server.ehlo()
        if server.has_extn("starttls"):
            server.starttls(context=context)
    if parts.username:
        server.login(unquote(parts.username), unquote(parts.password or ""))
    return server
