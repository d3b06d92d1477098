"""What the templates need beyond Django's own tags."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from breakers.wire import Summary
from dashboard.pages import gravity, words

register = template.Library()

BUILD = Path(__file__).resolve().parents[1] / "static" / "build"
_WORDS = {"lasting": words.lasting, "ago": words.ago}
HUES = 6


class NotBuilt(RuntimeError):
    """The front end has not been built; the message says how."""


@cache
def _manifest(changed: float) -> dict[str, str]:
    """The built files by their plain names; `changed` makes a new build a new entry of the cache."""
    names: dict[str, str] = json.loads((BUILD / "manifest.json").read_text())
    return names


@register.simple_tag
def asset(name: str) -> str:
    """The URL of a built file: `{% asset "board.js" %}`."""
    try:
        return static("build/" + _manifest((BUILD / "manifest.json").stat().st_mtime)[name])
    except (OSError, KeyError) as error:
        raise NotBuilt(
            f"{name} is not built: run `make setup`, or `node build.mjs` in frontend/."
        ) from error


@register.filter
def clock_off(behind_s: float | None) -> str:
    return words.clock_off(behind_s)


@register.simple_tag
def glyph(state: str) -> SafeString:
    """The state as a circuit diagram draws it; its word always stands beside it."""
    return format_html(
        '<svg class="glyph" viewBox="0 0 28 16" aria-hidden="true"><use href="#g-{}"></use></svg>',
        state,
    )


@register.simple_tag
def icon(name: str) -> SafeString:
    """A small picture from the sprite; never the only carrier of a meaning."""
    return format_html(
        '<svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><use href="#i-{}"></use></svg>',
        name,
    )


@register.filter
def exact(moment: datetime) -> str:
    """A time that belongs to no clock on the wall: "9 Nov 2026, 14:05:09 UTC"."""
    return f"{moment.astimezone(UTC):%-d %b %Y, %H:%M:%S} UTC"


@register.simple_tag
def when(moment: datetime | None, how: str = "ago") -> SafeString | str:
    """A time that stays true: relative (`lasting`, `ago`, `left`), a `clock`, or both (`probe`), with the exact one beside it."""
    if moment is None:
        return "–"
    now = timezone.now()
    seconds = (now - moment).total_seconds()
    clock = f"{moment:%H:%M:%S}" if moment.date() == now.date() else f"{moment:%-d %b, %H:%M}"
    if how == "left":
        said = words.left(-seconds)
    elif how == "clock":
        said = clock
    elif how == "probe":
        said = words.probe_due(seconds, clock)
    else:
        said = _WORDS[how](seconds)
    return format_html(
        '<pb-time at="{}" as="{}"><time datetime="{}" title="{}">{}</time></pb-time>',
        moment.isoformat(),
        how,
        moment.isoformat(),
        exact(moment),
        said,
    )


@register.simple_tag
def standing(summary: words.Shown, at: datetime | str = "") -> SafeString | str:
    """How long it has been so, its probes included: until now and counting on, or until `at`."""
    lead, since = words.standing_since(summary.state, summary.since, summary.not_closed_since)
    if since is None:
        return ""
    if not isinstance(at, datetime):  # an undefined name is ""
        return format_html("{}{}", lead, when(since, "lasting"))
    return format_html(
        '{}<time datetime="{}" title="{}">{}</time>',
        lead,
        since.isoformat(),
        exact(since),
        lasted(since, at),
    )


@register.simple_tag
def lasted(start: datetime, end: datetime) -> str:
    """How long something took that is over."""
    return words.lasting((end - start).total_seconds())


@register.simple_tag
def bar(part: float) -> SafeString:
    """A percentage as a bar, in attributes: the policy allows no inline style."""
    return format_html(
        '<svg class="bar" aria-hidden="true"><rect class="track" width="100%" height="4" y="1" rx="2"></rect>'
        '<rect class="fill" width="{}%" height="4" y="1" rx="2"></rect></svg>',
        min(100.0, max(0.0, part)),
    )


@register.simple_tag
def marks(summary: words.Shown) -> dict[str, object]:
    """`{% marks summary as shown %}`: one mark an instance, and how many were left out."""
    states, more = words.instance_marks(summary)
    return {"states": states, "more": more}


@register.filter
def hue(name: str) -> int:
    """A colour for an environment's name, always the same one."""
    return sum(ord(character) * (n + 1) for n, character in enumerate(name)) % HUES


@register.filter
def lost(summary: words.Shown) -> int:
    return gravity.lost(summary)


@register.filter
def of(things: Mapping[str | int, object] | str, key: str | int) -> object | None:
    """`{{ incidents|of:summary.id }}`; nothing where the page has none (an undefined name is "")."""
    return things.get(key) if isinstance(things, Mapping) else None


@register.filter
def plainly(value: object) -> str:
    """A value of the audit log as people read it: "a, b", "yes", "none"; what is nested as JSON."""
    if value is None or value == [] or value == {}:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and not any(isinstance(one, list | dict) for one in value):
        return ", ".join(map(plainly, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)


@register.filter
def code_marked(text: str) -> SafeString:
    """Plain text in which `what stands in backticks` is code."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:  # one without its other
        return format_html("{}", text)
    return format_html_join(
        "",
        "{}",
        ((format_html("<code>{}</code>", one) if n % 2 else one,) for n, one in enumerate(pieces)),
    )


@register.filter
def settings_line(config: Mapping[str, object]) -> str:
    """A kind's settings in a line, without those that are not set: "to: a@b.example, c@d.example"."""
    said = {
        name: ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in config.items()
        if value not in (None, "", [], {})
    }
    return " · ".join(f"{name}: {value}" for name, value in said.items())


@register.filter
def breakable(name: str) -> SafeString:
    """A name that goes on in the next line after a joint of its own, and within a word only where it must."""
    return format_html_join(mark_safe("<wbr>"), "{}", ((one,) for one in words.breakable(name)))


@register.filter
def tile_fill(summary: words.Shown) -> int:
    """The failure rate in whole tenths: how high a tile's foot is amber."""
    rate = _rate(summary)
    if isinstance(summary, Summary) and summary.rate_of == "before":
        return 0
    return 0 if rate is None else int(min(100.0, rate) // 10)


@register.filter
def tile_label(summary: words.Shown) -> str:
    rate = _rate(summary)
    failing = ""
    if rate is not None and isinstance(summary, Summary):
        failing = f", {words.percent(rate)} {words.rate_tail(summary)}"
    return f"{words.title(summary)}: {words.standing_title(summary).lower()}, {words.instance_words(summary)}{failing}"


def _rate(summary: words.Shown) -> float | None:
    return summary.failure_rate if isinstance(summary, Summary) else None


register.filter("state_word", words.state_word)
register.filter("state_title", words.state_title)
register.filter("standing_title", words.standing_title)
register.filter("small_line", words.small_line)
register.filter("instance_words", words.instance_words)
register.filter("rate_words", words.rate_words)
register.filter("rate_tail", words.rate_tail)
register.filter("breaker_title", words.title)
register.filter("counted", words.counted)
