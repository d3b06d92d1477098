"""Making, changing, testing and deleting channels; each change is audited, never with a secret."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
from django.conf import settings
from django.db import transaction

from alerts.channels import MASK, ChannelKind, Failed, Outcome, Parcel, channel_kinds, secret_fields
from alerts.channels.webhook import rotated
from alerts.messages import IncidentPart, Message, RuleRef
from alerts.models import Channel
from alerts.ready import kind_of
from alerts.sealing import SecretsUnreadable, seal, unseal
from alerts.sentences import Told
from breakers.access import Actor
from breakers.audit import record
from breakers.errors import Conflict, FieldError, Invalid
from breakers.kinds import UnknownKind
from breakers.models import Scope

BOTH_SIGN = timedelta(hours=24)


def create_channel(
    *, name: str, kind: str, config: Mapping[str, Any], enabled: bool, by: Actor
) -> tuple[Channel, str | None]:
    """The channel and, where it has one, the secret that is shown this once; raises Invalid."""
    made = _class(kind).make_secrets()
    channel = Channel(
        name=name,
        kind=kind,
        enabled=enabled,
        environments=_sorted(by.environments),
        services=_sorted(by.services),
    )
    channel.foreseen = _configure(channel, config, kept={}, made=made).foresee()
    with transaction.atomic():
        channel.save()
        channel.refresh_from_db()
        _record(by, "create_channel", channel, before=None)
    return channel, made.get("secret")


def change_channel(
    channel_id: int,
    *,
    name: str,
    kind: str,
    config: Mapping[str, Any],
    enabled: bool,
    by: Actor,
    now: datetime,
) -> Channel:
    """Stars keep a secret. Switching on forgets earlier failures; raises Invalid."""
    with transaction.atomic():
        channel = Channel.objects.select_for_update(no_key=True).get(pk=channel_id)
        if kind != channel.kind:
            raise Invalid([FieldError(("kind",), "cannot change; make another channel")])
        before = told(channel)
        try:
            sealed = unseal(channel.sealed)
        except SecretsUnreadable as problem:
            raise Conflict(str(problem)) from None
        chosen = _configure(
            channel, config, kept=sealed.get("config", {}), made=sealed.get("made", {})
        )
        channel.name, channel.updated_at = name, now
        if enabled and not channel.enabled:
            channel.failing_since = channel.last_failure = channel.last_took_ms = None
        if enabled:
            channel.disabled_why = None
        channel.enabled = enabled
        channel.save()
        _record(by, "change_channel", channel, before=before)
    # Beside the transaction, for a name is looked up.
    channel.foreseen = chosen.foresee()
    Channel.objects.filter(pk=channel.pk).update(foreseen=channel.foreseen)
    return channel


def delete_channel(channel_id: int, *, by: Actor, now: datetime) -> None:
    """Rules forget it, its secrets go, and what waits for it is dead; its deliveries stay to be read."""
    with transaction.atomic():
        channel = Channel.objects.select_for_update(no_key=True).get(pk=channel_id)
        before = told(channel) | {
            "rules": list(channel.rules.order_by("pk").values_list("name", flat=True))
        }
        channel.rules.clear()
        channel.enabled, channel.sealed = False, ""
        channel.deleted_at = channel.updated_at = now
        channel.save()
        record(
            by, "delete_channel", kind="channel", id=channel.pk, subject=channel.name, before=before
        )


def rotate_secret(channel_id: int, *, by: Actor, now: datetime) -> tuple[Channel, str]:
    """A new secret, shown this once; both sign for 24 hours. Raises Conflict where there is none."""
    with transaction.atomic():
        channel = Channel.objects.select_for_update(no_key=True).get(pk=channel_id)
        try:
            sealed = unseal(channel.sealed)
        except SecretsUnreadable as problem:
            raise Conflict(str(problem)) from None
        if "secret" not in sealed.get("made", {}):
            raise Conflict("A channel of this kind has no secret of its own.")
        made = rotated(sealed["made"], until=now + BOTH_SIGN)
        channel.sealed = seal(sealed | {"made": made})
        channel.updated_at = now
        channel.save(update_fields=["sealed", "updated_at"])
        record(by, "rotate_secret", kind="channel", id=channel.pk, subject=channel.name)
    return channel, str(made["secret"])


class Tested(msgspec.Struct, frozen=True):
    """How a test message went; `detail` names no inner address and no secret."""

    ok: bool
    status: int | None
    detail: str
    took_ms: int


def try_channel(channel: Channel, *, by: Actor, now: datetime) -> Tested:
    """Sends a test message now, whether or not the channel is switched on; no transaction is open.

    The channel remembers a failure until an attempt succeeds. It does not count towards the days after which
    a channel is switched off: what was tried out once says nothing of the time since.
    """
    began = time.monotonic()
    outcome = _test(channel, now)
    took_ms = int((time.monotonic() - began) * 1000)
    ok = not isinstance(outcome, Failed)
    with transaction.atomic():
        row = Channel.objects.filter(pk=channel.pk, deleted_at=None)
        if ok:
            row.update(last_failure=None, failing_since=None, foreseen=None, last_took_ms=took_ms)
        else:
            row.update(last_failure=outcome.detail[:500], foreseen=None)
        record(
            by,
            "test_channel",
            kind="channel",
            id=channel.pk,
            subject=channel.name,
            after={"ok": ok, "status": outcome.status},
        )
    return Tested(ok, outcome.status, outcome.detail, took_ms)


def _test(channel: Channel, now: datetime) -> Outcome:
    kind, problem = kind_of(channel)
    if kind is None:
        return Failed(None, problem)
    message = Message(
        type="test",
        timestamp=now,
        incident=IncidentPart(
            id="test",
            rule=RuleRef("test", "Test"),
            severity="info",
            status="resolved",
            target=None,
            started_at=now,
            resolved_at=now,
            summary=f"A test of the channel “{channel.name}”",
            url=f"{settings.PUBLIC_URL}/channels/",
        ),
    )
    parcel = Parcel(
        id=f"msg_{uuid4().hex}",
        message=message,
        body=kind.render(message, [], Told()),
        now=now,
        secrets=unseal(channel.sealed).get("made", {}),
    )
    return kind.send(parcel)


def told(channel: Channel, to: Actor | None = None) -> dict[str, Any]:
    """A channel as JSON, for an actor or for the audit log; secrets are stars, and what its kind keeps from
    readers is told only to who may change it."""
    config: dict[str, Any] = channel.config
    if to is None or Scope.ADMIN not in to.can:
        config = config_for_readers(channel)
    return {
        "name": channel.name,
        "kind": channel.kind,
        "config": config,
        "enabled": channel.enabled,
        "disabled_why": channel.disabled_why,
    }


def config_for_readers(channel: Channel) -> dict[str, Any]:
    """Nothing where the kind is not known here any more: then nobody can say what of it is secret."""
    try:
        return channel_kinds.get(channel.kind).for_readers(channel.config)
    except UnknownKind:
        return {}


def _class(kind: str) -> type[ChannelKind]:
    try:
        return channel_kinds.get(kind)
    except UnknownKind as unknown:
        raise Invalid([FieldError(("kind",), str(unknown))]) from None


def _configure(
    channel: Channel, said: Mapping[str, Any], *, kept: Mapping[str, Any], made: Mapping[str, Any]
) -> ChannelKind:
    """Takes the config apart: what is secret is sealed and leaves stars behind. Gives it whole."""
    secret = secret_fields(_class(channel.kind))
    starred = {name for name in secret if said.get(name) == MASK}
    lost = [
        FieldError(("config", name), "there is no secret to keep")
        for name in sorted(starred)
        if name not in kept
    ]
    if lost:
        raise Invalid(lost)
    whole = {**said, **{name: kept[name] for name in starred}}
    kind = channel_kinds.read(channel.kind, whole, loc="config")
    wrong = [FieldError(("config", name), words) for name, words in kind.problems()]
    if starred and channel.config and not kind.may_keep_secrets_of(channel.config):
        wrong += [
            FieldError(("config", name), "enter it again, for messages go elsewhere now")
            for name in sorted(starred)
        ]
    if wrong:
        raise Invalid(wrong)
    plain = msgspec.to_builtins(kind)
    hidden = {name: plain[name] for name in secret if plain[name] is not None}
    channel.config = plain | dict.fromkeys(hidden, MASK)
    sealed = {name: part for name, part in (("config", hidden), ("made", dict(made))) if part}
    channel.sealed = seal(sealed)
    return kind


def _sorted(names: frozenset[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)


def _record(by: Actor, action: str, channel: Channel, *, before: dict[str, Any] | None) -> None:
    record(
        by,
        action,
        kind="channel",
        id=channel.pk,
        subject=channel.name,
        before=before,
        after=told(channel),
    )
