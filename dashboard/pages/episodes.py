"""Overrides that are over, in rows: all by which a policy held a breaker in one go, each probe being an override of its
own, are one row. Folding is pure; reading goes on until a page has something to say.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from breakers.access import Actor, breakers_for
from breakers.models import Override
from dashboard.pages import words

_READ_AT_ONCE = 200
READ_MOST = 2_000
"""Overrides folded into one page; a policy that probes each 10 s makes 360 an hour."""


@dataclass(frozen=True, slots=True)
class Episode:
    """Overrides of a breaker of which each took the former's place, newest first; a person's or a key's is alone."""

    overrides: tuple[Override, ...]
    is_whole: bool = True
    """Whether its beginning is among them."""

    @property
    def first(self) -> Override:
        return self.overrides[-1]

    @property
    def last(self) -> Override:
        return self.overrides[0]

    @property
    def folded(self) -> str:
        """ "3 holds, 2 probes"; nothing where it is a single override."""
        if len(self.overrides) == 1:
            return ""
        # A hold leaves nobody out; a probe is a hold with exceptions.
        probes = sum(bool(one.excepted) for one in self.overrides)
        holds = len(self.overrides) - probes
        said = [words.counted(holds, "hold")] * (holds > 0)
        said += [words.counted(probes, "probe")] * (probes > 0)
        return ("" if self.is_whole else "the last of it: ") + ", ".join(said)


def ended_episodes(actor: Actor, *, limit: int) -> list[Episode]:
    """Those that ended last, the newest first. What a policy goes on with has not ended."""
    rows = (
        Override.objects.filter(breaker__in=breakers_for(actor), ended_at__isnull=False)
        .select_related("breaker__service__environment")
        .order_by("-ended_at", "-id")
    )
    standing = {
        (one.breaker_id, one.by_id)
        for one in Override.objects.filter(by_kind="policy", ended_at=None).only(
            "breaker_id", "by_id"
        )
    }
    read: list[Override] = []
    while True:
        found = list(rows[len(read) : len(read) + _READ_AT_ONCE])
        read += found
        all_read = len(found) < _READ_AT_ONCE
        episodes = fold(read, standing=standing, all_read=all_read)
        enough = len(episodes) >= limit and all(one.is_whole for one in episodes[:limit])
        if enough or all_read or len(read) >= READ_MOST:
            return episodes[:limit]


def fold(
    ended: Sequence[Override], *, standing: Container[tuple[int, int]] = (), all_read: bool = True
) -> list[Episode]:
    """Rows of overrides, those that ended last first. `standing`: breaker and policy of what a policy holds now."""
    runs: list[list[Override]] = []
    newest: dict[int, list[Override]] = {}
    """The run of each breaker that what comes next may belong to."""
    for one in ended:
        run = newest.get(one.breaker_id)
        if run is not None and _leads_to(one, run[-1]):
            run.append(one)
        else:
            newest[one.breaker_id] = [one]
            runs.append(newest[one.breaker_id])
    episodes = []
    seen: set[int] = set()
    for run in runs:
        last, breaker = run[0], run[0].breaker_id
        is_newest = breaker not in seen
        seen.add(breaker)
        replaced = last.by_kind == "policy" and last.end == "replaced"
        if is_newest and replaced and (breaker, last.by_id) in standing:
            continue
        may_go_on = last.by_kind == "policy" and run is newest[breaker]
        episodes.append(Episode(tuple(run), is_whole=all_read or not may_go_on))
    return episodes


def _leads_to(one: Override, following: Override) -> bool:
    """Whether the one that followed it took its place by the same policy's doing."""
    return (
        one.end == "replaced"
        and one.by_kind == following.by_kind == "policy"
        and one.by_id == following.by_id
    )
