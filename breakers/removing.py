"""Removing services, breakers and instances, with their history kept or erased.

The rows go, and with them what is wished and what fires; writers find by their locks that they are gone, so one
that reports again is made anew. History is kept under its ids until it is old, or erased by a task.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Literal

import structlog
from celery import current_app
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import QuerySet

from breakers.access import Actor
from breakers.audit import record
from breakers.desired.override import told as told_override
from breakers.errors import NotFound
from breakers.history.rebuild import rebuild
from breakers.live.publish import announce_changed
from breakers.models import Breaker, FormerName, Instance, Named, Override, Removed, Service
from breakers.outbox import look_at
from breakers.sql import statements
from breakers.transactions import unless_deadlocked

_SQL = statements("names")
_SOME = 5_000
"""Events erased in one transaction."""
_ERASES_FOR_S = 300.0
"""Well below the time after which a worker takes a task for stuck."""
_ERASING = "SELECT {}(hashtext('panelboard.erase_removed'))"
ERASE = "breakers.tasks.erase"
_log = structlog.get_logger(__name__)
History = Literal["keep", "erase"]


def remove_service(
    service: Service, *, history: History, reason: str, by: Actor, now: datetime
) -> None:
    """With all its breakers and instances. Raises NotFound."""

    def act() -> None:
        _fetch("lock_service", service=service.pk)
        rows = Service.objects.select_related("environment")
        held = rows.filter(pk=service.pk).first()
        if held is None:
            raise NotFound("No such service.")
        breakers = _locked_breakers(Breaker.objects.filter(service=held))
        instances = list(Instance.objects.filter(service=held).order_by("pk").select_for_update())
        before = {
            "name": held.name,
            "breakers": len(breakers),
            "instances": len(instances),
            "overrides": _standing(breakers),
        }
        _note(Named.SERVICE, [held], held, history=history, by=by, now=now)
        _note(Named.BREAKER, breakers, held, history=history, by=by, now=now)
        _note(Named.INSTANCE, instances, held, history=history, by=by, now=now)
        _drop(breakers)
        Instance.objects.filter(pk__in=[one.pk for one in instances]).delete()
        FormerName.objects.filter(
            kind__in=[Named.BREAKER, Named.INSTANCE], parent_id=held.pk
        ).delete()
        FormerName.objects.filter(kind=Named.SERVICE, target_id=held.pk).delete()
        id = held.pk
        held.delete()
        _record(by, Named.SERVICE, id, held, held.name, before, history, reason)

    unless_deadlocked(act)
    _wake_erasure(history)


def remove_breaker(
    breaker: Breaker, *, history: History, reason: str, by: Actor, now: datetime
) -> None:
    """From all instances. Raises NotFound."""

    def act() -> None:
        _fetch("lock_service", service=breaker.service_id)
        found = _locked_breakers(Breaker.objects.filter(pk=breaker.pk))
        if not found:
            raise NotFound("No such breaker.")
        held, service = found[0], found[0].service
        before = {"name": held.name, "target": held.target, "overrides": _standing(found)}
        instances = [id for (id,) in _fetch("instances_of_breaker", breaker=held.pk)]
        _fetch("lock_instances", instances=instances)
        _run("let_go", instances=instances)
        _note(Named.BREAKER, found, service, history=history, by=by, now=now)
        FormerName.objects.filter(kind=Named.BREAKER, target_id=held.pk).delete()
        id = held.pk
        _drop(found)
        _record(by, Named.BREAKER, id, service, held.name, before, history, reason)

    unless_deadlocked(act)
    # The lives of its instances may begin later without its events.
    list(rebuild(write=True, services=[breaker.service_id]))
    _wake_erasure(history)


def remove_instance(
    instance: Instance, *, history: History, reason: str, by: Actor, now: datetime
) -> None:
    """From all breakers. Raises NotFound."""

    def act() -> None:
        breakers = [id for (id,) in _fetch("breakers_of_instance", instance=instance.pk)]
        _fetch("lock_breakers", breakers=breakers)
        rows = Instance.objects.select_related("service__environment")
        held = rows.select_for_update(of=("self",)).filter(pk=instance.pk).first()
        if held is None:
            raise NotFound("No such instance.")
        before = {"name": held.name, "breakers": len(breakers)}
        _note(Named.INSTANCE, [held], held.service, history=history, by=by, now=now)
        FormerName.objects.filter(kind=Named.INSTANCE, target_id=held.pk).delete()
        id, service = held.pk, held.service
        held.delete()
        if breakers:
            # What is remembered of these breakers' instances is so no more.
            _run("touch_breakers", breakers=breakers)
            look_at(breakers)
            transaction.on_commit(lambda: announce_changed(breakers))
        _record(by, Named.INSTANCE, id, service, held.name, before, history, reason)

    unless_deadlocked(act)
    _wake_erasure(history)


def erase_removed(*, budget_s: float = _ERASES_FOR_S) -> int:
    """Erases the history of all that was removed so, some events at a time and for about so long, then wakes itself;
    how many were erased whole. Returns where another is at it: that one looks again once it has let go."""
    deadline = time.monotonic() + budget_s
    erased = 0
    while _removed().exists():
        with _alone() as is_alone:
            if not is_alone:
                break
            erased += _erase_until(deadline)
        if time.monotonic() > deadline:
            _wake_erasure("erase")
            break
    return erased


@contextlib.contextmanager
def _alone() -> Iterator[bool]:
    """Whether nobody else erases, nor will until the end of the block."""
    with connection.cursor() as cursor:
        cursor.execute(_ERASING.format("pg_try_advisory_lock"))
        if cursor.fetchone() != (True,):
            yield False
            return
        try:
            yield True
        finally:
            # A connection that was lost has let go of it.
            with contextlib.suppress(OperationalError, InterfaceError):
                cursor.execute(_ERASING.format("pg_advisory_unlock"))


def _removed() -> QuerySet[Removed]:
    return Removed.objects.filter(erase=True).order_by("pk")


def _erase_until(deadline: float) -> int:
    erased = 0
    while (one := _removed().first()) is not None:
        events = 0
        for table in ("event", "snapshot"):
            if one.kind == Named.SERVICE:
                continue  # its breakers have all of it
            while gone := _run(
                f"erase_{table}_of_{one.kind}", id=one.of_id, service=one.service_id, some=_SOME
            ):
                events += gone
                if time.monotonic() > deadline:
                    return erased
        if one.kind == Named.BREAKER:
            _run("erase_sums", id=one.of_id)
        elif one.kind == Named.INSTANCE:
            _run("erase_lives", id=one.of_id)
        one.delete()
        erased += 1
        _log.info("history erased", kind=one.kind, id=one.of_id, events=events)
        if time.monotonic() > deadline:
            break
    return erased


def forget_kept() -> None:
    """Drops what is known of those of which history has nothing any more."""
    _run("forget_kept")


def _locked_breakers(rows: QuerySet[Breaker]) -> list[Breaker]:
    ids = list(rows.order_by("pk").values_list("pk", flat=True))
    _fetch("lock_breakers", breakers=ids)
    return list(
        Breaker.objects.filter(pk__in=ids).select_related("service__environment").order_by("pk")
    )


def _drop(breakers: list[Breaker]) -> None:
    """The rows and all that hangs on them; boards are told, and so are the processes that hear of nothing."""
    ids = [one.pk for one in breakers]
    if ids:
        _run("touch_breakers", breakers=ids)
        Breaker.objects.filter(pk__in=ids).delete()
        transaction.on_commit(lambda: announce_changed(ids))


def _standing(breakers: list[Breaker]) -> list[dict[str, Any]]:
    """The overrides that end with them, for the audit log; at most a hundred."""
    rows = Override.objects.filter(breaker__in=breakers, ended_at=None).select_related("breaker")
    return [{"breaker": row.breaker.name} | told_override(row) for row in rows.order_by("pk")[:100]]


def _note(
    kind: Named,
    rows: Sequence[Service | Breaker | Instance],
    service: Service,
    *,
    history: History,
    by: Actor,
    now: datetime,
) -> None:
    Removed.objects.bulk_create(
        Removed(
            kind=kind,
            of_id=row.pk,
            service_id=service.pk,
            environment=service.environment.name,
            service=service.name,
            name=row.name,
            target=getattr(row, "target", None),
            erase=history == "erase",
            removed_at=now,
            by_name=by.name,
        )
        for row in rows
    )


def _record(
    by: Actor,
    kind: Named,
    id: int,
    service: Service,
    name: str,
    before: dict[str, Any],
    history: History,
    reason: str,
) -> None:
    inside = service.environment.name + ("" if kind == Named.SERVICE else f" / {service.name}")
    record(
        by,
        f"remove_{kind}",
        kind=kind,
        id=id,
        subject=f"{inside} / {name}",
        reason=reason,
        before=before,
        after={"history": history},
        environment=service.environment.name,
        service=service.name,
    )


def _wake_erasure(history: History) -> None:
    """A lost wake costs an hour: what maintains history erases too."""
    if history == "erase":
        try:
            current_app.send_task(ERASE, retry=False, ignore_result=True)
        except Exception as problem:  # Redis is away
            _log.info("wake not sent", error=type(problem).__name__)


def _run(name: str, **parameters: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_SQL[name], parameters)
        return int(cursor.rowcount)


def _fetch(name: str, **parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(_SQL[name], parameters)
        return list(cursor.fetchall())
