"""From the outbox to incidents, deliveries and what policies do, each claim in one transaction (I3).

A row is deleted in the transaction that writes what follows from it: a worker killed at any point leaves
either both or neither, and of two workers one holds the breaker's lock.

Locks are taken in one order everywhere: the rulebook (shared), breakers (skipping those that are held),
incidents by rule and group, then channels, then deliveries. New incidents are inserted last, in the same
order; where another worker was first, the claim is made again. What policies do comes last of all, so that
the rows of desired state are held for no longer than the commit takes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Count, Q

from alerts.announce import announce
from alerts.background import with_background
from alerts.claim import BATCH, Claim, claim, delete_judged, drop_orphans, waiting_breakers
from alerts.clock import database_now
from alerts.fold import Fold, Held
from alerts.incidents import Post, post, told_channels
from alerts.judging import Finding, findings_of
from alerts.messages import message_about
from alerts.models import (
    EntryKind,
    Incident,
    IncidentBreaker,
    IncidentEntry,
    MessageType,
    Standing,
)
from alerts.policies.judge import judge_policies
from alerts.rulebook import LoadedRule, enabled_rules
from alerts.updating import update_rows
from alerts.verdicts import Firing

RULEBOOK_LOCK = 0x70620001
"""Advisory: evaluation holds it shared, a change of rules alone."""
_TRIES = 5
_log = structlog.get_logger(__name__)


class AnotherWasFirst(Exception):
    """Another worker began the same incident after this one had looked."""


def evaluate_pending(*, budget_s: float = 10.0) -> int:
    """Judges all that waits, or as much as the time allows; gives the number of breakers judged."""
    deadline = time.monotonic() + budget_s
    judged = 0
    for page in waiting_breakers(database_now()):
        for start in range(0, len(page), BATCH):
            judged += _evaluate(page[start : start + BATCH])
            if time.monotonic() > deadline:
                return judged
        if judged == 0:
            drop_orphans()
    return judged


def _evaluate(breaker_ids: Sequence[int]) -> int:
    """These breakers in one transaction; if that fails, by halves, so that one bad breaker stands alone."""
    for _ in range(_TRIES):
        try:
            return evaluate_breakers(breaker_ids)
        except AnotherWasFirst:
            continue
        except Exception as problem:
            if _lost_database(problem):
                raise
            if len(breaker_ids) == 1:
                _log.exception("breaker not evaluated", breaker=breaker_ids[0])
                return 0
            break
    half = len(breaker_ids) // 2
    return _evaluate(breaker_ids[:half]) + _evaluate(breaker_ids[half:]) if half else 0


def _lost_database(problem: Exception) -> bool:
    """PostgreSQL is away or going: no smaller portion helps, and the next tick tries again."""
    if not isinstance(problem, OperationalError | InterfaceError):
        return False
    state: str | None = getattr(problem.__cause__, "sqlstate", None)
    return state is None or state.startswith(("08", "57P"))


@transaction.atomic
def evaluate_breakers(breaker_ids: Sequence[int]) -> int:
    """One claim: judge, write what follows, delete the outbox rows. Raises AnotherWasFirst."""
    lock_rulebook_shared()
    now = database_now()
    claimed = claim(breaker_ids, now=now)
    if claimed is None:
        return 0
    rules = enabled_rules()
    replays = with_background(claimed.replays, rules, now=now)
    findings = [one for replay in replays for one in findings_of(rules, replay, now=now)]
    findings.sort(key=lambda one: (one.order, one.breaker.id, one.rule.id, one.instance_id))
    standings = _standings(claimed)
    if findings or standings:
        _apply(claimed, rules, findings, standings, now=now)
    judge_policies(claimed.replays, now=now)
    delete_judged(claimed)
    return len(claimed.replays)


def lock_rulebook_shared() -> None:
    """Until the end of the transaction the rules stay as they are."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [RULEBOOK_LOCK])


def lock_rulebook() -> None:
    """Waits until nobody evaluates; taken before any other lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [RULEBOOK_LOCK])


def _standings(claimed: Claim) -> dict[tuple[int, int, int], Standing]:
    rows = Standing.objects.filter(breaker__in=claimed.breakers)
    return {(row.rule_id, row.breaker_id, row.instance_id): row for row in rows}


def _apply(
    claimed: Claim,
    rules: Sequence[LoadedRule],
    findings: Sequence[Finding],
    standings: dict[tuple[int, int, int], Standing],
    *,
    now: datetime,
) -> None:
    was = {key: (row.firing, row.check_at) for key, row in standings.items()}
    known = {rule.id: rule for rule in rules}
    fold = Fold(_locked_incidents(claimed, known, findings), standings)
    # What was asked is answered: a standing that no finding touches has nothing to wait for.
    for row in fold.standings.values():
        if row.check_at is not None and row.check_at <= now:
            row.check_at = None
    for finding in findings:
        fold.add(finding)
    fold.clear_all(now)
    _write_incidents(fold.all, now=now)
    _write_standings(fold, was)


def _locked_incidents(
    claimed: Claim, rules: dict[int, LoadedRule], findings: Sequence[Finding]
) -> list[Held]:
    """The unresolved incidents that the findings may touch, locked in the order of rule and group."""
    members = IncidentBreaker.objects.filter(
        breaker__in=claimed.breakers, incident__resolved_at=None
    )
    ids = set(members.values_list("incident_id", flat=True))
    firing = {(one.rule.id, one.group.key) for one in findings if isinstance(one.verdict, Firing)}
    if not ids and not firing:
        return []
    wanted = Q(pk__in=ids)
    if firing:
        wanted |= Q(rule__in={rule for rule, _ in firing}, group_key__in={key for _, key in firing})
    rows = list(
        Incident.objects.filter(wanted, resolved_at=None, rule__in=rules)
        .order_by("rule_id", "group_key")
        .select_for_update(no_key=True)
    )
    held = {row.pk: Held(row, rules[row.rule_id]) for row in rows if row.rule_id is not None}
    mine = Q(breaker__in=claimed.breakers)
    for member in IncidentBreaker.objects.filter(mine, incident__in=held):
        held[member.incident_id].members[member.breaker_id, member.instance_id] = member
    others = (
        IncidentBreaker.objects.filter(~mine, incident__in=held, well_at=None)
        .values_list("incident_id")
        .annotate(Count("id"))
    )
    for incident_id, unwell in others:
        held[incident_id].others_unwell = unwell
    return list(held.values())


def _write_incidents(all_held: Sequence[Held], *, now: datetime) -> None:
    touched = [one for one in all_held if one.is_new or one.changed or one.changed_members]
    old = [one for one in touched if not one.is_new]
    new = sorted(
        (one for one in touched if one.is_new),
        key=lambda one: (one.rule.id, one.incident.group_key),
    )
    Incident.objects.bulk_update(
        [one.incident for one in old if one.changed],
        [
            "resolved_at",
            "clear_at",
            "update_at",
            "summary",
            "target",
            "services",
            "breakers_total",
        ],
    )
    if new:
        _insert([one.incident for one in new])
    for one in touched:
        if one.joined and not one.is_new:
            further = "1 further breaker" if one.joined == 1 else f"{one.joined} further breakers"
            one.entries.insert(0, IncidentEntry(at=now, kind=EntryKind.JOINED, text=further))
        for member in one.new_members:
            member.incident_id = one.incident.pk
        for entry in one.entries:
            entry.incident_id = one.incident.pk
    IncidentBreaker.objects.bulk_create([row for one in touched for row in one.new_members])
    update_rows(
        [
            one.members[subject]
            for one in touched
            for subject in one.changed_members
            if one.members[subject] not in one.new_members
        ],
        ["well_at"],
    )
    IncidentEntry.objects.bulk_create([row for one in touched for row in one.entries])
    _post(touched, now=now)
    announce(one.incident for one in touched)


def _insert(incidents: list[Incident]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence('incident', 'id')) FROM generate_series(1, %s)",
            [len(incidents)],
        )
        for incident, (number,) in zip(incidents, cursor.fetchall(), strict=True):
            incident.pk = number
    Incident.objects.bulk_create(incidents, ignore_conflicts=True)
    ids = [incident.pk for incident in incidents]
    if Incident.objects.filter(pk__in=ids).count() < len(ids):
        raise AnotherWasFirst


def _post(touched: Sequence[Held], *, now: datetime) -> None:
    speaking = [one for one in touched if one.messages and not one.incident.muted]
    told = told_channels(one.incident.pk for one in speaking if not one.is_new)
    posts = []
    for one in speaking:
        channels = one.rule.channels if one.is_new else told.get(one.incident.pk, [])
        for kind, at, incident in one.messages:
            incident.pk = one.incident.pk
            assert kind is not MessageType.FIRING or one.is_new
            message = message_about(incident, kind, at=at, runbook_url=one.rule.runbook_url)
            posts.append(Post(incident.pk, message, channels))
    post(posts, now=now)


def _write_standings(
    fold: Fold, was: dict[tuple[int, int, int], tuple[bool, datetime | None]]
) -> None:
    made: list[Standing] = []
    changed: list[Standing] = []
    gone: list[int] = []
    for key, row in fold.standings.items():
        says = row.firing or row.check_at is not None
        if row.pk is None:
            if says:
                made.append(row)
        elif not says:
            gone.append(row.pk)
        elif was.get(key) != (row.firing, row.check_at):
            changed.append(row)
    Standing.objects.bulk_create(made)
    update_rows(changed, ["firing", "check_at"])
    if gone:
        Standing.objects.filter(pk__in=gone).delete()
