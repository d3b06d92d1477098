from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.utils import timezone
from ninja import Router, Schema, Status
from pydantic import Field

from alerts.access import channel_of, channels_for
from alerts.api.forms import Authed, Limit, Name, plain
from alerts.channel_changes import (
    change_channel,
    create_channel,
    delete_channel,
    rotate_secret,
    told,
    try_channel,
)
from alerts.models import Channel
from breakers.access import Actor
from breakers.api.auth import ADMIN, READ
from breakers.api.body import Body
from breakers.cursor import LIMIT_DEFAULT, page
from breakers.models import Scope

router = Router()


class ChannelIn(Body):
    """Where messages go. Secrets in `config` read back as `***`, which a PUT keeps; of a webhook's `url`, whose
    path may hold one, only scheme and host are shown without the scope `admin`."""

    name: Name
    kind: Annotated[str, Field(max_length=40)]
    config: dict[str, Any] = {}
    enabled: bool = True


class ChannelOut(Schema):
    id: str
    name: str
    kind: str
    config: dict[str, Any]
    enabled: bool
    disabled_why: str | None
    """Why Panelboard itself switched it off, where it did."""
    failing_since: datetime | None
    last_failure: str | None
    """Why the last attempt failed, a delivery's or a test's, until one succeeds."""
    foreseen: str | None
    """Why its messages would not be sent, as judged when it is made or changed, and each minute."""
    environments: list[str] | None
    services: list[str] | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def fields_of(cls, channel: Channel, to: Actor) -> dict[str, Any]:
        return {
            "id": str(channel.pk),
            "failing_since": channel.failing_since,
            "last_failure": channel.last_failure,
            "foreseen": channel.foreseen,
            "environments": channel.environments,
            "services": channel.services,
            "created_at": channel.created_at,
            "updated_at": channel.updated_at,
            **told(channel, to),
        }

    @classmethod
    def of(cls, channel: Channel, to: Actor) -> ChannelOut:
        return cls(**cls.fields_of(channel, to))


class ChannelWithSecret(ChannelOut):
    """`secret` signs the webhook's messages and is shown here and nowhere else; null where there is none."""

    secret: str | None


class ChannelPage(Schema):
    items: list[ChannelOut]
    next: str | None


class TestedOut(Schema):
    ok: bool
    status: int | None
    detail: str
    took_ms: int


@router.get("", auth=READ, response=ChannelPage)
def get_channels(request: Authed, limit: Limit = LIMIT_DEFAULT, cursor: str = "") -> ChannelPage:
    """Channels, newest first."""
    found, next_ = page(
        channels_for(request.auth),
        order=[("created_at", datetime), ("id", int)],
        newest_first=True,
        limit=limit,
        cursor=cursor or None,
        query={"list": "channels"},
    )
    return ChannelPage(
        items=[ChannelOut.of(channel, request.auth) for channel in found], next=next_
    )


@router.post("", auth=ADMIN, response={201: ChannelWithSecret}, exclude_unset=True)
def post_channel(request: Authed, body: ChannelIn) -> Status[ChannelWithSecret]:
    """Makes a channel. The answer holds a webhook's secret, this once."""
    channel, secret = create_channel(
        name=body.name,
        kind=body.kind,
        config=body.config,
        enabled=body.enabled,
        by=request.auth,
    )
    return Status(
        201, ChannelWithSecret(**ChannelOut.fields_of(channel, request.auth), secret=secret)
    )


@router.get("/{channel_id}", auth=READ, response=ChannelOut)
def get_channel(request: Authed, channel_id: str) -> ChannelOut:
    """One channel, without its secrets."""
    return ChannelOut.of(channel_of(request.auth, Scope.READ, channel_id), request.auth)


@router.put("/{channel_id}", auth=ADMIN, response=ChannelOut)
def put_channel(request: Authed, channel_id: str, body: ChannelIn) -> ChannelOut:
    """Replaces a channel's name and config; its kind and its signing secret stay."""
    channel = channel_of(request.auth, Scope.ADMIN, channel_id)
    return ChannelOut.of(
        change_channel(
            channel.pk,
            name=body.name,
            kind=body.kind,
            config=body.config,
            enabled=body.enabled,
            by=request.auth,
            now=timezone.now(),
        ),
        request.auth,
    )


@router.delete("/{channel_id}", auth=ADMIN, response={204: None})
def remove_channel(request: Authed, channel_id: str) -> Status[None]:
    """Deletes a channel; rules forget it, and what waits for it is dead."""
    channel = channel_of(request.auth, Scope.ADMIN, channel_id)
    delete_channel(channel.pk, by=request.auth, now=timezone.now())
    return Status(204, None)


@router.post("/{channel_id}/test", auth=ADMIN, response=TestedOut)
def test_channel(request: Authed, channel_id: str) -> TestedOut:
    """Sends a test message now and tells how it went; it may take 15 seconds."""
    channel = channel_of(request.auth, Scope.ADMIN, channel_id)
    return TestedOut(**plain(try_channel(channel, by=request.auth, now=timezone.now())))


@router.post("/{channel_id}/rotate_secret", auth=ADMIN, response=ChannelWithSecret)
def post_rotate_secret(request: Authed, channel_id: str) -> ChannelWithSecret:
    """A new signing secret, shown this once; for 24 hours messages carry both signatures."""
    channel = channel_of(request.auth, Scope.ADMIN, channel_id)
    channel, secret = rotate_secret(channel.pk, by=request.auth, now=timezone.now())
    return ChannelWithSecret(**ChannelOut.fields_of(channel, request.auth), secret=secret)
