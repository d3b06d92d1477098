"""The filter box, as `frontend/src/model/filter.ts` reads it: `service="orders" state!="closed" plain words`. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

from alerts.matchers import BadMatcher, Matcher, all_hold, parse_matcher
from breakers.live.match import Matchable
from dashboard.pages.words import state_word

FIELDS = ("environment", "service", "breaker", "target", "state")
_MATCHER = re.compile(r'([a-z]+)(=~|!~|!=|=)(?:"([^"]*)"|([^\s,"]+)),?')


def filter_of(text: str) -> Callable[[Matchable], bool]:
    """A test for one text; an unknown field or a broken expression is taken as plain words."""
    matchers: list[Matcher] = []

    def taken(found: re.Match[str]) -> str:
        field, operator, quoted, bare = found.groups()
        if field not in FIELDS:
            return found[0]
        value = (bare if quoted is None else quoted).replace('"', '\\"')
        if not operator.endswith("~"):
            value = value.replace("\\", "\\\\")
        try:
            matchers.append(parse_matcher(f'{field}{operator}"{value}"'))
        except BadMatcher:
            return found[0]
        return " "

    rest = _MATCHER.sub(taken, text)
    plain = [word for word in re.split(r"[\s,]+", rest.lower()) if word]

    def holds(summary: Matchable) -> bool:
        labels = {name: getattr(summary, name) or "" for name in FIELDS}
        said = (
            f"{' '.join(labels[name] for name in FIELDS[:-1])} {state_word(summary.state)}".lower()
        )
        return all_hold(matchers, labels) and all(word in said for word in plain)

    return holds
