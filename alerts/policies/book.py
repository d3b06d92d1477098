"""The enabled policies, ready to judge. Compiled matchers are kept by policy and version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import structlog

from alerts.matchers import BadMatcher, Matcher, all_hold, parse_matchers
from alerts.models import Policy
from alerts.policies.fleet import Terms
from alerts.verdicts import BreakerView
from breakers.access import Actor

MATCHED = ("environment", "service", "breaker", "target")
"""What a policy's matchers may name: it acts on whole breakers, so labels of instances say nothing to it."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy as the evaluator needs it."""

    id: int
    name: str
    mode: str
    terms: Terms
    max_breakers: int
    matchers: tuple[Matcher, ...]
    environments: frozenset[str] | None
    services: frozenset[str] | None

    @property
    def author(self) -> Actor:
        return author_of(self.id, self.name)

    def covers(self, seen: BreakerView) -> bool:
        """Whether the breaker is within its limits, and matches."""
        if self.environments is not None and seen.environment not in self.environments:
            return False
        if self.services is not None and seen.service not in self.services:
            return False
        labels = dict(
            zip(
                MATCHED,
                (seen.environment, seen.service, seen.breaker, seen.target or ""),
                strict=True,
            )
        )
        return all_hold(self.matchers, labels)


def author_of(policy_id: int, name: str) -> Actor:
    """As which a policy acts."""
    return Actor(kind="policy", id=policy_id, name=name, can=frozenset())


def enabled_policies() -> list[LoadedPolicy]:
    """In id order. One whose matchers cannot be read any more is left out and logged."""
    rows = Policy.objects.filter(enabled=True).order_by("id")
    return [one for row in rows if (one := loaded(row)) is not None]


def loaded(row: Policy) -> LoadedPolicy | None:
    matchers = _matchers(row.pk, row.version, tuple(row.matchers))
    if matchers is None:
        return None
    return LoadedPolicy(
        id=row.pk,
        name=row.name,
        mode=row.mode,
        terms=terms_of(row),
        max_breakers=row.max_breakers,
        matchers=matchers,
        environments=None if row.environments is None else frozenset(row.environments),
        services=None if row.services is None else frozenset(row.services),
    )


def terms_of(row: Policy) -> Terms:
    return Terms(
        count=row.trip_count,
        percent=row.trip_percent,
        min_instances=row.min_instances,
        window=row.window,
        hold=row.hold,
        probes=row.probe_instances,
        successes=row.probe_successes,
    )


@lru_cache(maxsize=1024)
def _matchers(policy_id: int, version: int, texts: Sequence[str]) -> tuple[Matcher, ...] | None:
    try:
        return parse_matchers(texts)
    except BadMatcher as problem:
        _log.error("policy cannot be read", policy=policy_id, version=version, error=str(problem))
        return None
