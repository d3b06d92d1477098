"""How numbers, spans of time and a breaker's standing are said, for the first paint.

The browser says the same from `frontend/src/model/`; `frontend/test/cases/words.json` holds both to it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil, floor
from urllib.parse import quote

from breakers.live.past import SummaryThen
from breakers.wire import OverrideSummary, Summary
from dashboard.pages.gravity import is_failing, is_gone, lost

MINUTE, HOUR, DAY = 60, 3_600, 86_400

Shown = Summary | SummaryThen
"""A breaker as it is now, or as it was at a past instant: then without rates, and without what was applied."""

GRAVITY = ("open", "forced_open", "half_open", "unknown", "forced_closed", "closed")
"""Gravest first, as the instances of a breaker are listed; breakers have an order of their own in `gravity`."""

_SAID = (
    ("open", "open"),
    ("forced_open", "forced open"),
    ("half_open", "probing"),
    ("unknown", "lost"),
    ("forced_closed", "held closed"),
)
_GRAVE = [state for state, _ in _SAID[:-1]]
"""What is held closed works, unless it would be open: see `_covered`."""


def state_word(state: str) -> str:
    """`half_open` -> "half open"."""
    return state.replace("_", " ")


def state_title(state: str) -> str:
    """`half_open` -> "Half open"."""
    return state_word(state).capitalize()


def standing_title(summary: Shown) -> str:
    """The word for how a breaker stands, at the head of a row."""
    return "No longer running" if is_gone(summary) else state_title(summary.state)


def lasting(seconds: float) -> str:
    """How long something has lasted: "4 s", "2 min 14 s", "3 h 05 min", "9 d 4 h"."""
    s = max(0, floor(seconds))
    if s < MINUTE:
        return f"{s} s"
    if s < HOUR:
        return f"{s // MINUTE} min {s % MINUTE:02} s"
    if s < DAY:
        return f"{s // HOUR} h {s % HOUR // MINUTE:02} min"
    return f"{s // DAY} d {s % DAY // HOUR} h"


def ago(seconds: float) -> str:
    """How long ago: "just now", "40 s ago", "6 min ago"; ahead of now: "in a moment", "in 6 min", "in 2 h 37 min"."""
    s = floor(abs(seconds))
    if seconds < 0 and s >= HOUR:
        return f"in {lasting(s)}"
    if s < 5:
        return "in a moment" if seconds < 0 else "just now"
    if s < MINUTE:
        span = f"{s} s"
    elif s < HOUR:
        span = f"{s // MINUTE} min"
    elif s < DAY:
        span = f"{s // HOUR} h"
    else:
        span = f"{s // DAY} d"
    return f"in {span}" if seconds < 0 else f"{span} ago"


def left(seconds: float) -> str:
    """What is left of a countdown: "0:09", "11:58", "1:02:03", "2 d 4 h"."""
    s = max(0, ceil(seconds))
    if s < HOUR:
        return f"{s // MINUTE}:{s % MINUTE:02}"
    if s < DAY:
        return f"{s // HOUR}:{s % HOUR // MINUTE:02}:{s % MINUTE:02}"
    return lasting(s)


_CALLS_APART_S = 15


def probe_due(seconds: float, clock: str) -> str:
    """When an open breaker probes: "probe due in 12 s"; past that, which was at `clock`, only the next call moves it.
    Calls may be some seconds apart: that there are none is said no sooner."""
    if seconds < 0:
        return f"probe due in {lasting(ceil(-seconds))}"
    if seconds < _CALLS_APART_S:
        return "probe due now"
    return f"probe due since {clock}, no traffic"


def _rounded(value: float) -> str:
    """Half away from zero, as browsers round; one digit after the point below ten."""
    if 0 < value < 10:
        tenths = floor(value * 10 + 0.5)
        return str(tenths // 10) if tenths % 10 == 0 else f"{tenths / 10}"
    return str(floor(value + 0.5))


def percent(rate: float) -> str:
    """ "71%", "0.4%"."""
    return f"{_rounded(rate)}%"


def per_second(calls: float) -> str:
    """Calls a second, short."""
    return _rounded(calls)


def standing_since(
    state: str, since: datetime | None, not_closed_since: datetime | None
) -> tuple[str, datetime | None]:
    """Since when it has been so, as people mean it, and the words before it.

    A breaker that probes and opens again has been open all the while, whichever of the two it is in now.
    """
    if state not in ("open", "half_open") or since is None or not_closed_since is None:
        return "", since
    return (
        "open for " if state == "half_open" and not_closed_since < since else ""
    ), not_closed_since


def rate_words(summary: Summary) -> str:
    """The failure rate, or what stands in its place."""
    if summary.failure_rate is not None:
        return percent(summary.failure_rate)
    return "no calls" if summary.calls_per_second == 0 else "no rate"


def rate_tail(summary: Summary) -> str:
    """What stands after a rate: of which calls it is."""
    return {"trials": "of trials failing", "before": "before it closed"}.get(
        summary.rate_of or "", "failing"
    )


_JOINTS = re.compile(r"(?<=[./_-])(?=[^./_\s-])")
_NAMED_MOST = 3

CLOCK_OFF_S = 5
"""Less is the network's doing, and harms nothing."""


def clock_off(behind_s: float | None) -> str:
    """ "clock 12 s behind", "clock 3 min 05 s ahead", or nothing where it is right or not known."""
    if behind_s is None or abs(behind_s) <= CLOCK_OFF_S:
        return ""
    return f"clock {lasting(abs(behind_s))} {'behind' if behind_s > 0 else 'ahead'}"


def counted(count: int, one: str, many: str | None = None) -> str:
    """ "1 breaker", "1,204 breakers"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def scope(instances: Sequence[str] | None, excepted: Sequence[str] = ()) -> str:
    """ "on a, b and 2 more", "on all except c"; nothing where it is all."""
    if instances is None and not excepted:
        return ""
    on = "all" if instances is None else _some(instances) or "none"
    return f"on {on}" + (f" except {_some(excepted)}" if excepted else "")


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED_MOST
    return ", ".join(names[:_NAMED_MOST]) + (f" and {more} more" if more > 0 else "")


def not_known(names: Sequence[str]) -> str:
    """ "not known yet: a, b, c and 2 more"; nothing where there is none."""
    return f"not known yet: {_some(names)}" if names else ""


def breakable(name: str) -> list[str]:
    """The pieces between which a long name may go on in the next line: "com.", "example.", "Client_", "fetch"."""
    return _JOINTS.split(name)


def title(summary: Shown) -> str:
    """ "orders → catalog", or by its own name where no target is known."""
    if summary.target is None:
        return f"{summary.service} · {summary.breaker}"
    return f"{summary.service} → {summary.target}"


def small_line(summary: Shown) -> str:
    """The quiet line under a name."""
    words = [summary.environment]
    if summary.override:
        words.append(f"by {summary.override.author}: {summary.override.reason}")
    else:
        if summary.target is not None:
            words.append(f"breaker {summary.breaker}")
        if isinstance(summary, Summary) and summary.calls_per_second is not None:
            words.append(f"{per_second(summary.calls_per_second)} calls/s")
    return " · ".join(words)


def instance_words(summary: Shown) -> str:
    """The instances in a sentence: "3 of 3 open", "3 of 4 applied, 1 would be open, 1 lost"."""
    total, gone = summary.instances, lost(summary)
    if total == 0:
        return f"no instances{_not_known_yet(summary)}"
    if isinstance(summary.override, OverrideSummary):
        applied = summary.override.applied
        concerned = applied + summary.override.pending
        # A policy's last probe leaves out all there are.
        words = f"{applied} of {concerned} applied" if concerned else "on no live instance"
        if is_partial(summary):
            words += f" on {concerned} of {total - gone} instances"
        if summary.override.refused:
            words += f", {summary.override.refused} refused"
        if summary.override.unreachable:
            words += f", {summary.override.unreachable} cannot obey"
        words += _not_known_yet(summary)
        if isinstance(summary, Summary) and summary.naturally_open:
            words += f", {summary.naturally_open} would be open"
    elif summary.state == "unknown":
        return f"{gone} of {total} lost" if gone else f"{total} told no state yet"
    else:
        words = f"{summary.states.get(summary.state, 0)} of {total} {state_word(summary.state)}"
    if isinstance(summary, Summary) and summary.not_connected:
        words += f", {summary.not_connected} not connected"
    return f"{words}, {gone} lost" if gone else words


def _not_known_yet(summary: Shown) -> str:
    """How many of the names that the override is for are nobody's."""
    override = summary.override
    if not isinstance(override, OverrideSummary) or not override.not_known:
        return ""
    return f", {override.not_known} not known yet"


def is_partial(summary: Shown) -> bool:
    """Whether the override that stands concerns some of the live instances, and leaves the others alone."""
    if not isinstance(summary.override, OverrideSummary):
        return False
    concerned = summary.override.applied + summary.override.pending
    return 0 < concerned < summary.instances - lost(summary)


def nobody_obeys(override: OverrideSummary) -> bool:
    """Whether all that is live in its scope is known by events alone: then it stands, and changes nothing."""
    return override.applied == 0 and 0 < override.pending == override.unreachable


def instance_marks(summary: Shown, most: int = 10) -> tuple[list[str], int]:
    """One mark an instance, gravest first and lost ones last, and how many were left out."""
    order = [state for state in GRAVITY if state != "unknown"] + ["unknown"]
    marks = [state for state in order for _ in range(summary.states.get(state, 0))]
    return (marks, 0) if len(marks) <= most else (marks[: most - 1], len(marks) - most + 1)


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the headline: plain, in a state's colour, or a link that filters."""

    text: str
    state: str | None = None
    filter: str | None = None

    @property
    def url(self) -> str:
        return f"/?q={quote(self.filter or '', safe='')}"


def headline(everything: Sequence[Shown], *, filtered: bool = False, look: int = 0) -> list[Part]:
    """The board in one sentence, as a person would say it aloud; `filtered` where it is not all of it, `look` of which
    need a look."""
    if not everything:
        return [Part("No breaker matches the filter." if filtered else "No breakers yet.")]
    summaries = [summary for summary in everything if not is_gone(summary)]
    if not summaries:
        no = "Nothing shown" if filtered else "No breaker"
        return [Part(f"{no} is running any more.")]
    counts = Counter(summary.state for summary in summaries)
    present = [(state, said) for state, said in _said_of(summaries) if counts[state]]
    if not present:
        if len(summaries) == 1:
            yet = ", and needs a look" if look else ""
            return [Part(f"The one breaker{' shown' if filtered else ''} is closed{yet}.")]
        all_of_them = counted(len(summaries), "breaker") + (" shown are" if filtered else "")
        yet = f", {look:,} {'needs' if look == 1 else 'need'} a look" if look else ""
        return [Part(f"All {all_of_them} closed{yet}.")]
    if present == [("forced_closed", "held closed")]:
        held = Part(f"{counts['forced_closed']} held closed", state="forced_closed")
        more = [*_covered(summaries), *_more(look - counts["forced_closed"])]
        if not counts["closed"]:
            return [held, Part("."), *more]
        closed = Part(f"{counted(counts['closed'], 'breaker')} closed, ")
        return [closed, held, Part(" by hand."), *more]
    # What is held closed works: it is only said when nothing graver is.
    (gravest, word), *rest = [(state, said) for state, said in present if state != "forced_closed"]
    parts = [Part(f"{counts[gravest]} {word}", state=gravest)]
    parts += _where([summary for summary in summaries if summary.state == gravest])
    parts.append(Part("."))
    if rest:
        parts.append(Part(f" {', '.join(f'{counts[state]} {said}' for state, said in rest)}."))
    told = sum(counts[state] for state in _GRAVE) + _failing(summaries)
    return parts + _covered(summaries) + _more(look - told)


def _said_of(summaries: Sequence[Shown]) -> list[tuple[str, str]]:
    """A breaker that is unknown because no state was told yet is not lost."""
    untold = any(one.state == "unknown" and not lost(one) for one in summaries)
    return [(state, "unknown" if said == "lost" and untold else said) for state, said in _SAID]


def _more(count: int) -> list[Part]:
    """Those that need a look beside the ones that are told of."""
    one = "1 more needs a look"
    return [Part(f" {one if count == 1 else f'{count:,} more need a look'}.")] * (count > 0)


def _covered(summaries: Sequence[Shown]) -> list[Part]:
    """The outages that are held closed: calls go through, and fail."""
    failing = _failing(summaries)
    return [Part(" "), Part(f"{failing} held closed, yet failing", state="open"), Part(".")] * (
        failing > 0
    )


def _failing(summaries: Sequence[Shown]) -> int:
    return sum(isinstance(one, Summary) and is_failing(one) for one in summaries)


def _where(gravest: Sequence[Shown]) -> list[Part]:
    """Where the gravest ones are, if that can be said shortly."""
    first = gravest[0]
    if len(gravest) == 1:
        return [Part(": "), Part(title(first), filter=f'service="{first.service}"')]
    every = "both" if len(gravest) == 2 else "all"
    if first.target is not None and all(summary.target == first.target for summary in gravest):
        return [Part(f", {every} on "), Part(first.target, filter=f'target="{first.target}"')]
    if all(summary.service == first.service for summary in gravest):
        return [Part(f", {every} in "), Part(first.service, filter=f'service="{first.service}"')]
    return []


def underline(summaries: Sequence[Shown]) -> str:
    """The quiet line below: "570 breakers of 41 services in 2 environments"."""
    if not summaries:
        return "Connect a service and its breakers appear here by themselves."
    services = {(summary.environment, summary.service) for summary in summaries}
    environments = {summary.environment for summary in summaries}
    words = f"{counted(len(summaries), 'breaker')} of {counted(len(services), 'service')}"
    return f"{words} in {len(environments)} environments" if len(environments) > 1 else words


def filtered_underline(shown: Sequence[Shown], hidden: Sequence[Shown]) -> str:
    """The quiet line where not all is shown: nothing grave is hidden unsaid."""
    total = counted(len(shown) + len(hidden), "breaker")
    grave = _grave_counts(hidden)
    rest = f"Hidden: {', '.join(grave)}." if grave else "What is hidden is closed."
    return f"Filtered: {len(shown):,} of {total} shown. {rest}"


def tab_title(summaries: Sequence[Shown]) -> str:
    """The board in a browser's tab: its gravest news."""
    grave = _grave_counts(summaries)
    if failing := _failing(summaries):
        grave.append(f"{failing} held closed, yet failing")
    calm = "All closed" if any(not is_gone(one) for one in summaries) else "Board"
    return f"{grave[0] if grave else calm} · Panelboard"


def _grave_counts(summaries: Sequence[Shown]) -> list[str]:
    """ "2 open", "1 probing", gravest first; without those that are gone."""
    counts = Counter(summary.state for summary in summaries if not is_gone(summary))
    return [
        f"{counts[state]} {said}"
        for state, said in _said_of(summaries)
        if state in _GRAVE and counts[state]
    ]
