from __future__ import annotations

import json
import smtplib
import socket
from email.message import EmailMessage

import msgspec
import pytest
from aiosmtpd.controller import Controller
from django.core import mail

from alerts.channels import Failed, Parcel, Sent
from alerts.channels.email import Email
from alerts.messages import IncidentPart, Message, RuleRef
from alerts.sentences import Told
from breakers.wire import OverrideSummary
from tests.alerts.channels.test_webhook import NOW, message, summary


def parcel(said: Message | None = None, *, id: str = "msg_1") -> Parcel:
    said = said or message()
    return Parcel(id, said, Email(to=["a@example.com"]).render(said, [summary()], Told()), NOW, {})


def titled(text: str) -> Message:
    part = message().incident
    assert part is not None
    fields = {name: getattr(part, name) for name in IncidentPart.__struct_fields__}
    return message(incident=IncidentPart(**{**fields, "summary": text, "rule": RuleRef("1", text)}))


def test_a_mail_says_what_fires_and_links_to_it():
    outcome = Email(to=["a@example.com", "b@example.com"]).send(parcel())

    assert isinstance(outcome, Sent)
    (letter,) = mail.outbox
    assert letter.subject == "[critical] Firing: orders/catalog opened in prod"
    assert letter.to == ["a@example.com", "b@example.com"]
    assert "http://panel/incidents/7/" in letter.body
    assert f"orders/catalog in prod: open on 1 of 1 instance since {NOW:%Y-%m-%d %H:%M:%S} UTC" in (
        letter.body
    )
    assert "http://testserver/breakers/1/" in letter.body
    html, kind = letter.alternatives[0]
    assert kind == "text/html"
    assert 'href="http://panel/incidents/7/"' in html


def test_a_mail_says_what_is_naturally_open_and_who_holds_it():
    override = OverrideSummary(
        mode="forced_closed",
        reason="the probe lies",
        by="ana",
        expires_at=NOW,
        instances=None,
        applied=3,
        pending=0,
    )
    held = msgspec.structs.replace(
        summary(),
        state="forced_closed",
        states={"forced_closed": 3},
        instances=3,
        naturally_open=2,
        override=override,
    )
    said = message()

    body = Email(to=["a@example.com"]).render(said, [held], Told())
    Email(to=["a@example.com"]).send(Parcel("msg_1", said, body, NOW, {}))

    (letter,) = mail.outbox
    assert (
        f"orders/catalog in prod: forced closed on 3 of 3 instances since {NOW:%Y-%m-%d %H:%M:%S} UTC"
        f" by ana (“the probe lies”) until {NOW:%Y-%m-%d %H:%M:%S} UTC; would be open on 2 of 3 instances"
    ) in letter.body


def test_a_mail_of_several_breakers_says_all_that_of_each_and_how_many_it_leaves_out():
    shown = [
        msgspec.structs.replace(summary(n), states={"open": 2, "closed": 1}, instances=3)
        for n in range(1, 24)
    ]
    why = Told({"2": "First on orders-1: 3 failures in a row"})

    few = json.loads(Email(to=["a@example.com"]).render(message(breakers_total=2), shown[:2], why))
    many = json.loads(Email(to=["a@example.com"]).render(message(breakers_total=23), shown, why))

    assert few["subject"].endswith(", open on 4 of 6 instances")
    assert few["text"].count("open on 2 of 3 instances since") == 2
    assert "http://testserver/breakers/1/" in few["text"]
    assert (
        "First on orders-1: 3 failures in a row\nBreaker: http://testserver/breakers/2/"
        in (few["text"])
    )
    assert "instances" not in many["subject"]
    assert many["text"].count("Breaker: ") == 20
    assert "Breakers: 23, of which 20 stand here" in many["text"]


def test_a_runbook_is_a_link():
    said = message(runbook_url="https://wiki.example/catalog?a=1&b=2")

    letter = json.loads(Email(to=["a@example.com"]).render(said, [summary()], Told()))

    assert "\nRunbook: https://wiki.example/catalog?a=1&b=2\n" in letter["text"]
    assert '<a href="https://wiki.example/catalog?a=1&amp;b=2">' in letter["html"]


def test_a_subject_stays_short_and_the_mail_has_it_whole():
    letter = json.loads(Email(to=["a@example.com"]).render(titled("x" * 300), [summary()], Told()))

    assert len(letter["subject"]) <= 120
    assert "x" * 300 in letter["text"]


def test_mails_of_an_incident_thread_and_each_keeps_its_id():
    for number in ("msg_1", "msg_1", "msg_2"):
        Email(to=["a@example.com"]).send(parcel(id=number))

    ids = [letter.message()["Message-ID"] for letter in mail.outbox]
    roots = {letter.message()["References"] for letter in mail.outbox}
    assert ids[0] == ids[1] != ids[2]
    assert roots == {"<incident-7@testserver>"}


def test_names_cannot_begin_another_header():
    Email(to=["a@example.com"]).send(parcel(titled("x\r\nBcc: evil@example.com\r\n\r\nbody")))

    raw = mail.outbox[0].message()
    assert raw["Bcc"] is None
    assert "\n" not in mail.outbox[0].subject


def test_names_are_text_in_html():
    Email(to=["a@example.com"]).send(parcel(titled("<script>alert(1)</script>")))

    assert "<script>" not in mail.outbox[0].alternatives[0][0]


def test_odd_addresses_are_refused():
    wrong = Email(to=["ops@example.com", "no address", "a@b\r\nBcc: c@d.example"]).problems()

    assert [field for field, _ in wrong] == ["to", "to"]


class Server:
    """A real mail server whose answer to RCPT or DATA a test chooses."""

    def __init__(self, rcpt: str = "250 OK", data: str = "250 OK") -> None:
        self.rcpt, self.data, self.received = rcpt, data, list[EmailMessage]()

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.rcpt.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.rcpt

    async def handle_DATA(self, server, session, envelope):
        self.received.append(envelope.content)
        return self.data


@pytest.fixture
def smtp(settings):
    started: list[Controller] = []

    def start(server: Server) -> Server:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        controller = Controller(server, hostname="127.0.0.1", port=port)
        controller.start()
        started.append(controller)
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST = "127.0.0.1"
        settings.EMAIL_PORT = port
        return server

    yield start
    for controller in started:
        controller.stop()


def test_it_goes_through_a_real_mail_server(smtp):
    server = smtp(Server())

    assert isinstance(Email(to=["a@example.com"]).send(parcel()), Sent)
    assert b"Message-ID: <msg_1@testserver>" in server.received[0]


@pytest.mark.parametrize(
    ("server", "final"),
    [
        (Server(rcpt="450 later"), False),
        (Server(rcpt="550 nobody of that name"), True),
        (Server(data="451 later"), False),
        (Server(data="554 spam"), True),
    ],
    ids=["rcpt 450", "rcpt 550", "data 451", "data 554"],
)
def test_what_the_server_refuses_for_good_is_final(smtp, server: Server, final: bool):
    smtp(server)

    outcome = Email(to=["a@example.com"]).send(parcel())

    assert isinstance(outcome, Failed)
    assert outcome.final is final
    assert "nobody" not in outcome.detail


def test_what_is_written_to_a_file_is_not_said_to_be_sent(settings, tmp_path):
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path)

    outcome = Email(to=["a@example.com"]).send(parcel())

    assert isinstance(outcome, Sent)
    assert outcome.detail.startswith("Written to a file")
    assert "EMAIL_URL" in outcome.detail
    assert list(tmp_path.iterdir())


def test_a_server_that_is_away_is_tried_again(settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1

    outcome = Email(to=["a@example.com"]).send(parcel())

    assert isinstance(outcome, Failed)
    assert not outcome.final


def test_a_refused_sign_in_is_tried_again(monkeypatch: pytest.MonkeyPatch):
    def refuse(*args: object, **kwargs: object) -> None:
        raise smtplib.SMTPAuthenticationError(535, b"no")

    monkeypatch.setattr("django.core.mail.EmailMultiAlternatives.send", refuse)

    outcome = Email(to=["a@example.com"]).send(parcel())

    assert isinstance(outcome, Failed)
    assert not outcome.final
