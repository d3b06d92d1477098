from __future__ import annotations

import smtplib
from collections.abc import Sequence
from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

import msgspec
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives
from django.core.validators import validate_email
from django.utils.html import format_html, format_html_join

from alerts.channels import ChannelKind, Failed, Outcome, Parcel, Sent, channel_kinds
from alerts.messages import Message, breaker_url
from alerts.sentences import Told, moment, reach, stands
from alerts.spans import span
from breakers.wire import Summary

_PERMANENT = 500
_WORDS = {
    "incident.firing": "Firing",
    "incident.updated": "Still firing",
    "incident.acknowledged": "Acknowledged",
    "incident.resolved": "Resolved",
    "test": "Test",
}
_OPEN_STILL = ("incident.firing", "incident.updated", "incident.acknowledged")
_SHOWN = 20
_SUBJECT_MOST = 120
"""Characters before what is said of the instances: a telephone shows about so many."""


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
    # Instances that lose one dependency open within a second or two of each other: who is woken reads of all.
    gathers_s = 2.0

    def problems(self) -> list[tuple[str, str]]:
        return [("to", f"{one!r} is not a mail address") for one in self.to if not _is_address(one)]

    def render(self, message: Message, breakers: Sequence[Summary], told: Told) -> str:
        return msgspec.json.encode(_mail(message, breakers[:_SHOWN], told)).decode()

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


_TO_NOBODY = "Written to a file on the server, sent to nobody: EMAIL_URL names no mail server."


def reaches_nobody() -> bool:
    """Whether there is no mail server: what is sent is written to files then."""
    return bool(settings.EMAIL_BACKEND == _TO_FILES)


def has_reached_nobody(detail: str) -> bool:
    """By what a delivery says of its last attempt."""
    return detail == _TO_NOBODY


def _where() -> str:
    """What became of it: without a mail server nobody has got it yet."""
    return _TO_NOBODY if reaches_nobody() else "Handed to the mail server."


def _refused(code: int, *, final: bool) -> Failed:
    return Failed(code, f"The mail server answered {code}.", final=final and code >= _PERMANENT)


def one_line(text: str) -> str:
    """For a header: nothing in it can begin another one."""
    return " ".join(text.split())[:500]


def _short(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= _SUBJECT_MOST else f"{text[: _SUBJECT_MOST - 1]}…"


def _is_address(text: str) -> bool:
    try:
        validate_email(text)
    except ValidationError:
        return False
    return text.isprintable()


def _mail(message: Message, breakers: Sequence[Summary], told: Told) -> _Mail:
    incident = message.incident
    if incident is None:
        title = f"Channel “{message.channel_name}” was switched off"
        facts = [("Channel", message.channel_name), ("Why", message.text)]
        return _letter(title, title, facts, [], [("Channels", f"{settings.PUBLIC_URL}/channels/")])
    title = f"{_WORDS.get(message.type, message.type)}: {incident.summary}"
    subject = _short(f"[{incident.severity}] {title}")
    if message.type == "test":
        return _letter(subject, title, [], [], [("Channels", incident.url)])
    facts = [
        ("Rule", incident.rule.name),
        ("Severity", incident.severity),
        ("Status", incident.status),
        ("Began", moment(incident.started_at)),
    ]
    if message.acknowledged_by:
        facts.append(("Acknowledged by", message.acknowledged_by))
    if incident.resolved_at:
        lasted = int((incident.resolved_at - incident.started_at).total_seconds())
        facts.append(("Resolved", f"{moment(incident.resolved_at)}, after {span(lasted)}"))
    if message.breakers_total > len(breakers):
        facts.append(("Breakers", f"{message.breakers_total}, of which {len(breakers)} stand here"))
    if message.type in _OPEN_STILL and message.breakers_total <= len(breakers) and reach(breakers):
        subject += f", {reach(breakers)}"
    rows = [_row(one, told.each.get(one.id, "")) for one in breakers]
    links = [("Incident", incident.url)]
    if message.runbook_url:
        links.append(("Runbook", message.runbook_url))
    return _letter(subject, title, facts, rows, links)


class _Row(NamedTuple):
    """A breaker: how it stands, what is told of it (where that is known), and where more is to be seen."""

    stands: str
    why: str
    url: str


def _row(one: Summary, why: str) -> _Row:
    name = f"{one.service}/{one.breaker} in {one.environment}"
    return _Row(one_line(f"{name}: {stands(one)}"), one_line(why), breaker_url(one.id))


def _letter(
    subject: str,
    title: str,
    facts: Sequence[tuple[str, str]],
    rows: Sequence[_Row],
    links: Sequence[tuple[str, str]],
) -> _Mail:
    """What happened first, then where to look, then what it hangs on."""
    title = one_line(title)
    text = [title, ""]
    for row in rows:
        text += [*filter(None, [row.stands, row.why]), f"Breaker: {row.url}", ""]
    text += [f"{name}: {one_line(url)}" for name, url in links]
    text += ["", *(f"{name}: {one_line(said)}" for name, said in facts), ""]
    html = format_html(
        '<h1 style="font-size:1.25em">{}</h1>{}{}<table>{}</table>',
        title,
        format_html_join(
            "",
            '<p><b>{}</b>{}<br>Breaker: <a href="{}">{}</a></p>',
            (
                (row.stands, format_html("<br>{}", row.why) if row.why else "", row.url, row.url)
                for row in rows
            ),
        ),
        format_html_join(
            "", '<p>{}: <a href="{}">{}</a></p>', ((name, url, url) for name, url in links)
        ),
        format_html_join("", '<tr><th align="left">{}</th><td>{}</td></tr>', facts),
    )
    return _Mail(subject, "\n".join(text), str.__str__(html))  # SafeString is no str to msgspec
