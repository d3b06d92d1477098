from __future__ import annotations

import html
import re

import cmarkgfm
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alerts.markdown import as_text

ALPHABET = st.sampled_from(
    r"\`*_{}[]<>#|~!&=-+.:)(@/ 01ahtpsw'"
    '"'
)


@given(st.text(ALPHABET, max_size=40))
@example("===")
@example("https://evil.example/x and http://a, ftp://b")
@example("www.evil.example, WWW.evil.example")
@example("me@evil.example, @octocat")
@example("1986. A good year")
@example("1) b")
@example("- x")
@example("[a](javascript:x)")
@example("xmpp:a@b.example mailto:a@b.example")
def test_githubs_own_renderer_makes_nothing_of_it_but_the_text(said: str) -> None:
    rendered = cmarkgfm.github_flavored_markdown_to_html(f"Title\n\n> {as_text(said)}\n")

    plain = " ".join(said.split()).replace("@", "@\u2060")
    expected = f"<p>{html.escape(plain, quote=False)}</p>\n" if plain else ""
    assert html.unescape(rendered) == html.unescape(
        f"<p>Title</p>\n<blockquote>\n{expected}</blockquote>\n"
    )
    assert set(re.findall(r"<(\w+)", rendered)) <= {"p", "blockquote"}


@pytest.mark.parametrize("said", ["a\nb", "  a   b ", "a\u2028b"])
def test_it_is_one_line(said: str) -> None:
    assert as_text(said) == "a b"
