from __future__ import annotations

import smtplib
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives
from django.core.validators import validate_email
from django.utils.html import format_html, format_html_join

from alerts.channels import ChannelKind, Failed, Outcome, Parcel, Sent, channel_kinds
from alerts.messages import Message
from breakers.wire import Summary

_PERMANENT = 500
_WORDS = {
    "incident.firing": "Firing",
    "incident.updated": "Still firing",
    "incident.acknowledged": "Acknowledged",
    "incident.resolved": "Resolved",
    "test": "Test",
}
_SHOWN = 20


class _Mail(msgspec.Struct, frozen=True):
    subject: str
    text: str
    html: str


@channel_kinds.register
class Email(ChannelKind, frozen=True):
    """Sends mail by the server that EMAIL_URL names."""

    to: Annotated[list[str], msgspec.Meta(min_length=1, max_length=20)]

    kind = "email"
    # Each step of SMTP has a time-out of its own (EMAIL_TIMEOUT), and there are several.
    lease_s = 180.0

    def problems(self) -> list[tuple[str, str]]:
        return [("to", f"{one!r} is not a mail address") for one in self.to if not _is_address(one)]

    def render(self, message: Message, breakers: Sequence[Summary]) -> str:
        return msgspec.json.encode(_mail(message, breakers[:_SHOWN])).decode()

    def send(self, parcel: Parcel) -> Outcome:
        mail = msgspec.json.decode(parcel.body, type=_Mail)
        host = urlsplit(settings.PUBLIC_URL).hostname or "localhost"
        headers = {"Message-ID": f"<{parcel.id}@{host}>", "Auto-Submitted": "auto-generated"}
        if parcel.message.incident is not None:
            # A root that need not exist: mail readers thread by it.
            root = f"<incident-{parcel.message.incident.id}@{host}>"
            headers |= {"References": root, "In-Reply-To": root}
        letter = EmailMultiAlternatives(
            subject=one_line(mail.subject), body=mail.text, to=list(self.to), headers=headers
        )
        letter.attach_alternative(mail.html, "text/html")
        try:
            letter.send()
        except smtplib.SMTPResponseException as problem:
            return _refused(problem.smtp_code, final=not isinstance(problem, _RETRIED))
        except smtplib.SMTPRecipientsRefused as problem:
            codes = [code for code, _ in problem.recipients.values()]
            return _refused(min(codes), final=True)
        except (smtplib.SMTPException, OSError) as problem:
            return Failed(None, f"The mail server did not take it ({type(problem).__name__}).")
        return Sent(None, _where())


_RETRIED = (smtplib.SMTPAuthenticationError, smtplib.SMTPConnectError, smtplib.SMTPHeloError)
"""What somebody mends in the settings: refusals of us, not of the mail."""


_TO_FILES = "django.core.mail.backends.filebased.EmailBackend"


def _where() -> str:
    """What became of it: without a mail server nobody has got it yet."""
    if settings.EMAIL_BACKEND == _TO_FILES:
        return "Written to a file on the server, sent to nobody: EMAIL_URL names no mail server."
    return "Handed to the mail server."


def _refused(code: int, *, final: bool) -> Failed:
    return Failed(code, f"The mail server answered {code}.", final=final and code >= _PERMANENT)


def one_line(text: str) -> str:
    """For a header: nothing in it can begin another one."""
    return " ".join(text.split())[:500]


def _is_address(text: str) -> bool:
    try:
        validate_email(text)
    except ValidationError:
        return False
    return text.isprintable()


def _mail(message: Message, breakers: Sequence[Summary]) -> _Mail:
    incident = message.incident
    if incident is None:
        subject = f"Channel “{message.channel_name}” was switched off"
        lines = [("Channel", message.channel_name), ("Why", message.text)]
        return _letter(subject, lines, [], f"{settings.PUBLIC_URL}/channels/")
    word = _WORDS.get(message.type, message.type)
    lines = [
        ("Rule", incident.rule.name),
        ("Severity", incident.severity),
        ("Status", incident.status),
        ("Began", f"{incident.started_at:%Y-%m-%d %H:%M:%S} UTC"),
    ]
    if message.acknowledged_by:
        lines.append(("Acknowledged by", message.acknowledged_by))
    if incident.resolved_at:
        lines.append(("Resolved", f"{incident.resolved_at:%Y-%m-%d %H:%M:%S} UTC"))
    if message.runbook_url:
        lines.append(("Runbook", message.runbook_url))
    rows = [_row(one) for one in breakers]
    if message.breakers_total > len(rows):
        rows.append(f"and {message.breakers_total - len(rows)} more")
    subject = f"[{incident.severity}] {word}: {incident.summary}"
    return _letter(subject, lines, rows, incident.url)


def _row(one: Summary) -> str:
    """How a breaker stands; where an override holds it, by whom and over what."""
    said = f"{one.service}/{one.breaker} in {one.environment}: {one.state.replace('_', ' ')}"
    if one.override is not None:
        until = one.override.expires_at
        said += (
            ""
            if one.state == one.override.mode
            else ", to be " + one.override.mode.replace("_", " ")
        )
        said += f" by {one.override.by} (“{one.override.reason}”)"
        said += f" until {until:%Y-%m-%d %H:%M} UTC" if until else ", without an end"
    if one.naturally_open:
        said += f"; would be open in {one.naturally_open} of {one.instances} instances"
    return said


def _letter(subject: str, lines: Sequence[tuple[str, str]], rows: Sequence[str], url: str) -> _Mail:
    title = one_line(subject)
    text = [title, "", *(f"{name}: {one_line(said)}" for name, said in lines)]
    if rows:
        text += ["", "Breakers now:", *(f"- {one_line(row)}" for row in rows)]
    text += ["", url, ""]
    html = format_html(
        '<h1>{}</h1><table>{}</table>{}<p><a href="{}">{}</a></p>',
        title,
        format_html_join("", '<tr><th align="left">{}</th><td>{}</td></tr>', lines),
        format_html(
            "<p>Breakers now:</p><ul>{}</ul>",
            format_html_join("", "<li>{}</li>", ((r,) for r in rows)),
        )
        if rows
        else "",
        url,
        url,
    )
    return _Mail(title, "\n".join(text), str.__str__(html))  # SafeString is no str to msgspec
