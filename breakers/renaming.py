"""Renaming services, breakers and instances: the row stays, and the former name leads to it.

What reports under a former name goes on where it was; see docs/decisions/0016-renaming.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.db import IntegrityError, connection, transaction

from breakers.access import Actor, services_for
from breakers.audit import record
from breakers.errors import Conflict, FieldError, Invalid, NotFound
from breakers.live.publish import announce_changed
from breakers.models import Breaker, FormerName, Instance, Named, Service
from breakers.models.registry import NAME_MAX
from breakers.sql import statements
from breakers.transactions import unless_deadlocked

_SQL = statements("names")
_Row = TypeVar("_Row", Service, Breaker, Instance)
Follower = Callable[[Service, str, str], None]
_followers: list[Follower] = []


def follow_services(follower: Follower) -> None:
    """Calls it with the service, its old and its new name, in the transaction of each renaming."""
    _followers.append(follower)


def rename_service(service: Service, name: str, *, reason: str, by: Actor) -> Service:
    """Keys and rules that are limited to it are so by both names. Raises Invalid and Conflict."""
    name = _valid(name)
    if by.services is not None and name not in by.services:
        raise Invalid([FieldError(("name",), "lies outside your services")])

    def act() -> Service:
        held = Service.objects.select_related("environment").select_for_update(of=("self",))
        held_service = _there(held.filter(pk=service.pk).first())
        old = _take_name(held_service, Named.SERVICE, held_service.environment_id, name)
        if old == name:
            return held_service
        breakers = list(
            Breaker.objects.filter(service=held_service).order_by("pk").values_list("pk", flat=True)
        )
        _touch(breakers)
        more = {"old": old, "new": name, "environment": held_service.environment_id}
        for key, called, services in _fetch("follow_service_in_keys", **more):
            record(
                by,
                "change_key",
                kind="key",
                id=key,
                subject=called,
                reason=f"{old} is called {name} now",
                before={"services": services[:-1]},
                after={"services": services},
                environment=held_service.environment.name,
            )
        for follower in _followers:
            follower(held_service, old, name)
        _record(by, Named.SERVICE, held_service, held_service, old=old, reason=reason)
        return held_service

    return unless_deadlocked(act)


def rename_breaker(breaker: Breaker, name: str, *, reason: str, by: Actor) -> Breaker:
    """Agents go on hearing of it by the name that they know. Raises Invalid and Conflict."""
    name = _valid(name)

    def act() -> Breaker:
        rows = Breaker.objects.select_related("service__environment")
        held = _there(rows.select_for_update(of=("self",)).filter(pk=breaker.pk).first())
        old = _take_name(held, Named.BREAKER, held.service_id, name)
        if old != name:
            _touch([held.pk])
            _run("keep_words", breaker=held.pk, old=old)
            _record(by, Named.BREAKER, held, held.service, old=old, reason=reason)
        return held

    return unless_deadlocked(act)


def rename_instance(instance: Instance, name: str, *, reason: str, by: Actor) -> Instance:
    """Its agent says hello again within seconds, and stays. Raises Invalid and Conflict."""
    name = _valid(name)

    def act() -> Instance:
        breakers = [id for (id,) in _fetch("breakers_of_instance", instance=instance.pk)]
        _fetch("lock_breakers", breakers=breakers)
        rows = Instance.objects.select_related("service__environment")
        held = _there(rows.select_for_update(of=("self",)).filter(pk=instance.pk).first())
        old = _take_name(held, Named.INSTANCE, held.service_id, name)
        if old != name:
            _run("follow_instance", service=held.service_id, old=old, new=name)
            _run("let_go", instances=[held.pk])
            _touch(breakers)
            _record(by, Named.INSTANCE, held, held.service, old=old, reason=reason)
        return held

    return unless_deadlocked(act)


def current_service(actor: Actor, name: str, *, environment: str = "") -> str:
    """What a service of this former name is called now, within the actor's limits; the name itself where it is no
    former one, or where one of that name is there."""
    seen = services_for(actor)
    if not name or seen.filter(name=name).exists():
        return name
    former = FormerName.objects.filter(kind=Named.SERVICE, name=name)
    services = seen.filter(pk__in=former.values("target_id")).order_by("pk")
    if environment:
        services = services.filter(environment__name=environment)
    found = services.first()
    return name if found is None else found.name


def _take_name(row: Service | Breaker | Instance, kind: Named, parent: int, name: str) -> str:
    """Gives the row its new name, and leaves the old one behind; the old one. Raises Conflict."""
    old = row.name
    if old == name:
        return old
    former = FormerName.objects.filter(kind=kind, parent_id=parent, name=name)
    if former.exclude(target_id=row.pk).exists():
        raise Conflict(f"“{name}” is the former name of another one, which still reports under it.")
    former.delete()
    row.name = name
    try:
        with transaction.atomic():
            row.save(update_fields=["name"])
    except IntegrityError:
        raise Conflict(f"There is one named “{name}” already.") from None
    FormerName.objects.create(kind=kind, parent_id=parent, name=old, target_id=row.pk)
    return old


def _valid(name: str) -> str:
    if not (0 < len(name) <= NAME_MAX and name.isprintable()):
        text = f"must be 1 to {NAME_MAX} printable characters"
        raise Invalid([FieldError(("name",), text)])
    return name


def _there(row: _Row | None) -> _Row:
    if row is None:
        raise NotFound("It is gone.")
    return row


def _touch(breakers: list[int]) -> None:
    if breakers:
        _fetch("lock_breakers", breakers=breakers)
        _run("touch_breakers", breakers=breakers)
        transaction.on_commit(lambda: announce_changed(breakers))


def _record(
    by: Actor,
    kind: Named,
    row: Service | Breaker | Instance,
    service: Service,
    *,
    old: str,
    reason: str,
) -> None:
    environment = service.environment.name
    inside = f"{environment} / " if row is service else f"{environment} / {service.name} / "
    record(
        by,
        f"rename_{kind}",
        kind=kind,
        id=row.pk,
        subject=f"{inside}{row.name}",
        reason=reason,
        before={"name": old},
        after={"name": row.name},
        environment=environment,
        service=service.name,
    )


def _run(name: str, **parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_SQL[name], parameters)


def _fetch(name: str, **parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(_SQL[name], parameters)
        return list(cursor.fetchall())
