"""Carrying out what a policy decided: through the verbs that people use, and never over a person's hand.

Rows are locked before they are looked at again: services, then breakers, then policies, each by id, which is
the order of people (service, breaker), of writers of events (breakers by id), and of whoever renames a service
(and then has policies follow).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import structlog
from django.db.models import QuerySet

from alerts.models import Policy, PolicyCase, PolicyLever
from alerts.policies import fleet
from alerts.policies.book import LoadedPolicy, author_of
from alerts.policies.cases import fill
from alerts.policies.fleet import Act, Case, Probe, Release
from breakers.desired.override import OverrideWish, override_breaker, release, release_breaker
from breakers.desired.revise import hold_all
from breakers.models import AuditEntry, Breaker, Override, Service
from breakers.states import Mode

MARGIN = timedelta(seconds=10)
"""By how much an override outlives the time at which the policy means to go on. Should no worker be there, it
ends by itself, also where the panel cannot be reached, and every instance follows its own breaker."""
OFF_FOR = timedelta(minutes=10)
"""For so long a person's release keeps policies off, unless the breaker has closed meanwhile."""

_log = structlog.get_logger(__name__)


def lock_desired(breakers: Collection[int], *, policies: Collection[int] = ()) -> None:
    """Until the end of the transaction nobody else wishes anything of these breakers, and these policies
    begin no other hold."""
    for rows in (
        Service.objects.filter(pk__in=Breaker.objects.filter(pk__in=breakers).values("service")),
        Breaker.objects.filter(pk__in=breakers),
        Policy.objects.filter(pk__in=policies),
    ):
        list(rows.order_by("pk").select_for_update(no_key=True).values_list("pk"))


def standing_overrides(breakers: Collection[int]) -> dict[int, Override]:
    """By breaker."""
    rows = Override.objects.filter(breaker__in=breakers, ended_at=None)
    return {row.breaker_id: row for row in rows}


def is_its_own(standing: Override | None, policy_id: int, revision: int | None) -> bool:
    return (
        standing is not None
        and (standing.by_kind, standing.by_id) == ("policy", policy_id)
        and standing.revision == revision
    )


def is_stopped() -> bool:
    """Whether the lever is pulled; under the rulebook's lock it stays as it is."""
    return PolicyLever.objects.filter(stopped=True).exists()


def holds_of(policy_id: int) -> QuerySet[Override]:
    """The overrides by which it holds breakers now."""
    return Override.objects.filter(by_kind="policy", by_id=policy_id, ended_at=None)


def why_not_hold(policy: LoadedPolicy, standing: Override | None) -> str | None:
    """What forbids a hold whoever asks for it, if anything does; the rows are locked."""
    if is_stopped():
        return "All policies are stopped."
    if standing is not None:
        return f"{standing.by_name} holds it already."
    holds = holds_of(policy.id).count()
    if holds >= policy.max_breakers:
        return f"It holds {holds} of at most {policy.max_breakers} breakers already."
    return None


def why_left_alone(breaker_id: int, case: Case, now: datetime) -> str | None:
    """Whose release keeps policies off this breaker, if anybody's does."""
    released = (
        AuditEntry.objects.filter(
            subject_kind="breaker",
            subject_id=str(breaker_id),
            action="release",
            actor_kind__in=["person", "key"],
            at__gt=max(now - OFF_FOR, case.began_at),
        )
        .order_by("-at")
        .first()
    )
    if released is None:
        return None
    until = released.at + OFF_FOR
    return (
        f"{released.actor_name} released it: left alone until it closes, or {until:%H:%M:%S} UTC."
    )


def go_on(policy: LoadedPolicy, row: PolicyCase, case: Case, act: Act, *, now: datetime) -> Case:
    """Does it under the locks and has the row say so, unsaved; the case from then on. Raises CallError."""
    breaker, revision = Breaker(pk=row.breaker_id), None
    if isinstance(act, Release):
        release_breaker(breaker, reason=act.text, by=policy.author, now=now)
    else:
        wish = OverrideWish(
            mode=Mode.FORCED_OPEN,
            reason=act.text,
            expires_at=act.until + MARGIN,
            excepted=case.recovered + act.probes if isinstance(act, Probe) else (),
        )
        revision = override_breaker(breaker, wish=wish, by=policy.author, now=now).revision
    case = fleet.after(case, act, now)
    fill(row, case)
    row.revision, row.check_at = revision, case.until
    _log.info("policy acted", policy=policy.id, breaker=row.breaker_id, act=act.text)
    return case


def let_go(policies: Sequence[Policy], *, why: str, now: datetime) -> int:
    """Releases all that these hold; how many. The caller has the rulebook to itself, so that nobody judges."""
    standing = Override.objects.filter(
        by_kind="policy", by_id__in=[one.pk for one in policies], ended_at=None
    )
    held = hold_all(standing.values_list("breaker_id", flat=True))
    released = 0
    for policy in policies:
        # A person's may have taken the place of one before the lock was there.
        mine = [
            one
            for one in held
            if one.standing and (one.standing.by_kind, one.standing.by_id) == ("policy", policy.pk)
        ]
        if mine:
            release(mine, reason=why, by=author_of(policy.pk, policy.name), now=now)
            released += len(mine)
    return released
