"""Text within Markdown that stays text, whoever wrote it. Pure."""

from __future__ import annotations

import re

_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~!&])")
_BEGINS = re.compile(r"^(\d*)([-+=.)])")
# What GitHub and others make links of by themselves.
_LINKS = re.compile(r":(?=/)|(?<=www)\.", re.IGNORECASE)
_WORD_JOINER = "\u2060"


def as_text(said: str) -> str:
    """One line that renders as what was said, by CommonMark and by GitHub's dialect."""
    text = _BEGINS.sub(r"\1\\\2", _MARKS.sub(r"\\\1", " ".join(said.split())))
    # No escape keeps a mention from being one; a character that takes no room does.
    return _LINKS.sub(r"\\\g<0>", text).replace("@", "@" + _WORD_JOINER)
