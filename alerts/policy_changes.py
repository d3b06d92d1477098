"""Making, changing and deleting policies, stopping them all, and doing what one suggests; each is audited and
waits until nobody evaluates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from django.db import connection, transaction

from alerts.evaluate import lock_rulebook
from alerts.incidents import end_incident, locked
from alerts.matchers import Matcher
from alerts.models import Incident, Policy, PolicyCase, PolicyLever
from alerts.policies.acts import go_on, let_go, lock_desired, standing_overrides, why_not_hold
from alerts.policies.book import MATCHED, loaded
from alerts.policies.fleet import Case, Terms, hold
from alerts.rule_changes import read_matchers
from breakers.access import Actor
from breakers.audit import record
from breakers.errors import Conflict, FieldError, GuardForbids, Invalid
from breakers.guards.judge import Asked, Forbidden, judge
from breakers.guards.look import look
from breakers.guards.words import forbidden_words
from breakers.wake import wake_evaluation


class PolicyWish(msgspec.Struct, frozen=True, kw_only=True):
    """A policy as somebody wants it."""

    name: str
    enabled: bool
    mode: str
    matchers: tuple[Matcher, ...]
    terms: Terms
    max_breakers: int


def read_breaker_matchers(texts: Sequence[str]) -> tuple[Matcher, ...]:
    """Raises Invalid with the place of each that is wrong, or that is about instances."""
    matchers = read_matchers(texts)
    wrong = [
        FieldError(
            ("matchers", place),
            f"a policy acts on whole breakers: only {', '.join(MATCHED)} can be named",
        )
        for place, one in enumerate(matchers)
        if one.label not in MATCHED
    ]
    if wrong:
        raise Invalid(wrong)
    return matchers


def create_policy(wish: PolicyWish, *, by: Actor, now: datetime) -> Policy:
    """An enabled policy judges at once what is open already."""
    with transaction.atomic():
        lock_rulebook()
        policy = Policy(
            environments=_sorted(by.environments), services=_sorted(by.services), created_at=now
        )
        _fill(policy, wish, now)
        policy.save()
        _record(by, "create_policy", policy, before=None, after=told(policy))
        if policy.enabled:
            _look_again(policy, now)
    return policy


def change_policy(policy_id: int, wish: PolicyWish, *, by: Actor, now: datetime) -> Policy:
    """What it holds by other terms than the new ones is released; by those it judges at once."""
    with transaction.atomic():
        lock_rulebook()
        policy = Policy.objects.get(pk=policy_id)
        before = told(policy)
        _fill(policy, wish, now)
        policy.version += 1
        _record(by, "change_policy", policy, before=before, after=told(policy))
        is_other = {**told(policy), "name": None} != {**before, "name": None}
        if is_other:
            said = "was changed" if policy.enabled else "was switched off"
            _end_all(policy, f"The policy {said} by {by.name}.", by=by, now=now)
        # Its row comes after those of what it held; its limits may have followed a renamed service meanwhile.
        policy.save(update_fields=_WISHED)
        policy.refresh_from_db(fields=["services"])
        if is_other and policy.enabled:
            _look_again(policy, now)
    return policy


def delete_policy(policy_id: int, *, by: Actor, now: datetime) -> None:
    """Releases what it holds; what it did stays to be read."""
    with transaction.atomic():
        lock_rulebook()
        policy = Policy.objects.get(pk=policy_id)
        _record(by, "delete_policy", policy, before=told(policy), after=None)
        _end_all(policy, f"The policy was deleted by {by.name}.", by=by, now=now)
        policy.enabled, policy.deleted_at, policy.updated_at = False, now, now
        policy.save(update_fields=["enabled", "deleted_at", "updated_at"])


def pull_lever(*, stopped: bool, reason: str, by: Actor, now: datetime) -> PolicyLever:
    """Stops all policies and releases what they hold, or lets them act again."""
    with transaction.atomic():
        lock_rulebook()
        was = PolicyLever.objects.filter(pk=1).first()
        said = {"stopped": stopped, "reason": reason, "by_name": by.name, "at": now}
        lever, _ = PolicyLever.objects.update_or_create(pk=1, defaults=said)
        record(
            by,
            "stop_policies" if stopped else "resume_policies",
            kind="policy",
            id="lever",
            subject="all policies",
            reason=reason,
            before={"stopped": was is not None and was.stopped},
            after={"stopped": stopped},
        )
        if stopped:
            policies = Policy.objects.filter(enabled=True).order_by("pk")
            why = f"All policies were stopped by {by.name}: {reason}"[:2000]
            let_go(list(policies), why=why, now=now)
            PolicyCase.objects.exclude(phase="watching").delete()
        else:
            PolicyCase.objects.update(check_at=now)
            transaction.on_commit(wake_evaluation)
    return lever


def hold_as_suggested(incident_id: int, *, reason: str, by: Actor, now: datetime) -> Incident:
    """Does what a policy suggests, from where on the policy goes on by itself: it probes, and releases or holds
    again. Raises Conflict where that cannot be done (any more)."""
    with transaction.atomic():
        lock_rulebook()
        incident = locked(incident_id)
        if incident.policy_id is None:
            raise Conflict("This incident suggests nothing.")
        if incident.resolved_at is not None:
            raise Conflict("The incident is resolved.")
        breaker_id = incident.members.values_list("breaker_id", flat=True).first()
        if breaker_id is None:
            raise Conflict("The breaker was removed.")
        row = PolicyCase.objects.filter(policy=incident.policy_id, breaker=breaker_id).first()
        policy = loaded(Policy.objects.get(pk=incident.policy_id))
        if row is None or policy is None:
            raise Conflict("The breaker has closed meanwhile.")
        lock_desired([breaker_id], policies=[policy.id])
        refused = why_not_hold(policy, standing_overrides([breaker_id]).get(breaker_id))
        if refused is not None:
            raise Conflict(refused)
        _no_way_around_limits(breaker_id, by=by, now=now)
        why = f"{incident.condition} ({by.name}: {reason})"[:1900]
        case = Case(began_at=row.began_at)
        go_on(policy, row, case, hold(policy.terms, why, now), now=now)
        row.suggested, row.blocked = False, None
        row.save()
        record(
            by,
            "hold_as_suggested",
            kind="incident",
            id=incident.pk,
            subject=incident.summary,
            reason=reason,
            environment=incident.environment,
            service=incident.services[0],
        )
        end_incident(incident, text=f"Held open: {reason}", by_name=by.name, now=now)
    return incident


def _no_way_around_limits(breaker_id: int, *, by: Actor, now: datetime) -> None:
    """A person does it, though the policy writes it: whatever the environment asks of a person's call, it asks here.
    What needs a name typed or a second person is for the breaker's own page. Raises Conflict or GuardForbids."""
    sight = look([breaker_id], by=by, now=now)
    limits = sight.breakers[0].limits
    if limits.confirm or limits.four_eyes_above is not None:
        raise Conflict(
            "Its environment has calls confirmed or approved: force it on the breaker's page."
        )
    verdict = judge(Asked(forces=True), sight.grounds)
    if isinstance(verdict, Forbidden):
        raise GuardForbids(forbidden_words(verdict), guard=verdict.guard)


def lever_now() -> PolicyLever | None:
    """Who moved it last; None: nobody ever did, and policies act."""
    return PolicyLever.objects.filter(pk=1).first()


def told(policy: Policy) -> dict[str, Any]:
    """A policy as JSON, for the audit log and the API."""
    trip: dict[str, Any] = (
        {"percent": policy.trip_percent}
        if policy.trip_count is None
        else {"count": policy.trip_count}
    )
    return {
        "name": policy.name,
        "enabled": policy.enabled,
        "mode": policy.mode,
        "matchers": policy.matchers,
        "trip": {**trip, "min_instances": policy.min_instances, "window": policy.window},
        "hold": policy.hold,
        "probe": {"instances": policy.probe_instances, "successes": policy.probe_successes},
        "max_breakers": policy.max_breakers,
    }


_WISHED = (
    *("name", "enabled", "mode", "matchers", "trip_count", "trip_percent", "min_instances"),
    *("window", "hold", "probe_instances", "probe_successes", "max_breakers"),
    *("version", "updated_at"),
)


def _fill(policy: Policy, wish: PolicyWish, now: datetime) -> None:
    terms = wish.terms
    policy.name, policy.enabled, policy.mode = wish.name, wish.enabled, wish.mode
    policy.matchers = [str(one) for one in wish.matchers]
    policy.trip_count, policy.trip_percent = terms.count, terms.percent
    policy.min_instances, policy.window, policy.hold = terms.min_instances, terms.window, terms.hold
    policy.probe_instances, policy.probe_successes = terms.probes, terms.successes
    policy.max_breakers, policy.updated_at = wish.max_breakers, now


def _sorted(names: frozenset[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)


def _record(
    by: Actor,
    action: str,
    policy: Policy,
    *,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
) -> None:
    limits = policy.environments
    record(
        by,
        action,
        kind="policy",
        id=policy.pk,
        subject=policy.name,
        before=before,
        after=after,
        environment=limits[0] if limits and len(limits) == 1 else None,
    )


def _end_all(policy: Policy, text: str, *, by: Actor, now: datetime) -> None:
    suggested = Incident.objects.filter(policy=policy, resolved_at=None).order_by("group_key")
    for incident in suggested.select_for_update(no_key=True):
        end_incident(incident, text=text, by_name=by.name, now=now)
    let_go([policy], why=text, now=now)
    PolicyCase.objects.filter(policy=policy).delete()


# `openings` is null: the evaluator takes them from the states that it finds.
_ASK = """
INSERT INTO policy_case (policy_id, breaker_id, began_at, phase, openings, again, probes, recovered,
                         suggested, check_at)
SELECT %(policy)s, b.id, %(now)s, 'watching', NULL, 0, '{}', '{}', false, %(now)s
FROM breaker b JOIN service s ON s.id = b.service_id JOIN environment e ON e.id = s.environment_id
WHERE EXISTS (
        SELECT FROM breaker_instance bi
        WHERE bi.breaker_id = b.id AND (bi.state = 'open' OR bi.natural_state = 'open'))
  AND (%(environments)s::text[] IS NULL OR e.name = ANY(%(environments)s))
  AND (%(services)s::text[] IS NULL OR s.name = ANY(%(services)s))
ORDER BY b.id
"""


def _look_again(policy: Policy, now: datetime) -> None:
    """Has every breaker that is open somewhere judged soon, though nothing new happened to it."""
    with connection.cursor() as cursor:
        cursor.execute(
            _ASK,
            {
                "policy": policy.pk,
                "now": now,
                "environments": policy.environments,
                "services": policy.services,
            },
        )
    transaction.on_commit(wake_evaluation)
