from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from django.conf import settings
from standardwebhooks import Webhook as Signer

from alerts import outbound
from alerts.channels import MASK, ChannelKind, Failed, Outcome, Parcel, Secret, Sent, channel_kinds
from alerts.messages import IncidentPart, Message
from alerts.sentences import Told, stands
from breakers.wire import Summary

BREAKERS_MAX = 20
BODY_MAX = 20_000
SUMMARY_MAX = 2000
GONE = 410


class _Data(msgspec.Struct, frozen=True):
    incident: IncidentPart
    breakers: Sequence[Summary]
    breakers_total: int


class _ChannelRef(msgspec.Struct, frozen=True):
    id: str
    name: str
    kind: str


class _ChannelData(msgspec.Struct, frozen=True):
    channel: _ChannelRef
    reason: str


class _Body(msgspec.Struct, frozen=True):
    type: str
    timestamp: datetime
    data: _Data | _ChannelData


@channel_kinds.register
class Webhook(ChannelKind, frozen=True):
    """Posts JSON to a URL, signed as Standard Webhooks prescribes."""

    url: Annotated[str, msgspec.Meta(min_length=1, max_length=2000, title="URL")]
    authorization: Secret | None = None
    """Sent as the Authorization header, where the receiver wants one."""

    kind = "webhook"

    @classmethod
    def make_secrets(cls) -> dict[str, Any]:
        return {"secret": new_secret()}

    def problems(self) -> list[tuple[str, str]]:
        found = []
        problem = outbound.url_problem(self.url)
        if problem:
            found.append(("url", problem))
        elif urlsplit(self.url).path == f"/{MASK}":
            found.append(("url", "is shown only in part; enter it whole"))
        if self.authorization and not (
            self.authorization.isascii() and self.authorization.isprintable()
        ):
            found.append(("authorization", "must be printable ASCII"))
        return found

    def foresee(self) -> str | None:
        return outbound.refusal(
            self.url, allowed=outbound.Allowed.of(settings.PANELBOARD_WEBHOOK_ALLOW)
        )

    def may_keep_secrets_of(self, before: Mapping[str, Any]) -> bool:
        was, now = urlsplit(before["url"]), urlsplit(self.url)
        return (was.scheme, was.netloc) == (now.scheme, now.netloc)

    @classmethod
    def for_readers(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        """Of the URL scheme and host alone: chat services put the secret into its path."""
        url = urlsplit(str(config.get("url", "")))
        if url.path in ("", "/") and not url.query and not url.fragment:
            return dict(config)
        return {**config, "url": f"{url.scheme}://{url.netloc}/{MASK}"}

    def render(self, message: Message, breakers: Sequence[Summary], told: Told) -> str:
        """Under 20 kB: breakers are left out from the end until it fits, and the total tells."""
        shown = list(breakers[:BREAKERS_MAX])
        message = _told_whole(message, shown, told)
        while True:
            body = msgspec.json.encode(_body(message, shown))
            if len(body) < BODY_MAX or not shown:
                return body.decode()
            shown.pop()

    def send(self, parcel: Parcel) -> Outcome:
        headers = {
            "content-type": "application/json",
            "user-agent": "Panelboard",
            "webhook-id": parcel.id,
            "webhook-timestamp": str(int(parcel.now.timestamp())),
            "webhook-signature": " ".join(
                Signer(secret).sign(parcel.id, parcel.now.astimezone(UTC), parcel.body)
                for secret in signing_secrets(parcel)
            ),
        }
        if self.authorization:
            headers["authorization"] = self.authorization
        try:
            reply = outbound.post(
                self.url,
                body=parcel.body.encode(),
                headers=headers,
                allowed=outbound.Allowed.of(settings.PANELBOARD_WEBHOOK_ALLOW),
            )
        except outbound.OutboundFailed as failed:
            return Failed(None, str(failed))
        if 200 <= reply.status < 300:
            return Sent(reply.status, f"Answered {reply.status}.")
        why = f"Answered {reply.status}."
        if 300 <= reply.status < 400:
            why += " Redirects are not followed."
        return Failed(reply.status, why, retry_after=reply.retry_after, gone=reply.status == GONE)


def _told_whole(message: Message, breakers: Sequence[Summary], told: Told) -> Message:
    """With a summary that says all to whoever is shown nothing else: of a lone breaker how it stands, and why."""
    incident = message.incident
    if incident is None or incident.resolved_at is not None:
        return message
    lone = map(stands, breakers) if len(breakers) == 1 else ()
    standing = ": ".join([incident.summary, *lone])
    summary = ". ".join(filter(None, [standing, told.together]))[:SUMMARY_MAX]
    return msgspec.structs.replace(
        message, incident=msgspec.structs.replace(incident, summary=summary)
    )


def _body(message: Message, breakers: Sequence[Summary]) -> _Body:
    data: _Data | _ChannelData
    if message.incident is None:
        about = _ChannelRef(message.channel_id, message.channel_name, message.channel_kind)
        data = _ChannelData(about, message.text)
    else:
        data = _Data(message.incident, breakers, message.breakers_total)
    return _Body(message.type, message.timestamp, data)


def new_secret() -> str:
    """A secret of Standard Webhooks: 32 random bytes."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def rotated(made: dict[str, Any], *, until: datetime) -> dict[str, Any]:
    """New secrets of which the old one goes on signing for a while."""
    return {"secret": new_secret(), "previous": made["secret"], "previous_until": until.isoformat()}


def signing_secrets(parcel: Parcel) -> list[str]:
    """The secret, and the one before it for as long as both sign."""
    made = parcel.secrets
    signing = [made["secret"]]
    if made.get("previous") and datetime.fromisoformat(made["previous_until"]) > parcel.now:
        signing.append(made["previous"])
    return signing
