"""The cases are those of `frontend/test/filter.test.ts`."""

from __future__ import annotations

import pytest

from dashboard.pages.filtering import filter_of
from tests.dashboard.pages.test_words import summary

ORDERS = summary(state="open")
FEED = summary(service="feed", target=None, breaker="pool", environment="staging")


@pytest.mark.parametrize(
    ("text", "orders", "feed"),
    [
        ("", True, True),
        ('service="orders"', True, False),
        ('service="orders", state="open"', True, False),
        ("service=orders", True, False),
        ('service!="orders"', False, True),
        ('target=~"cat.*"', True, False),
        ('target=~"cat"', False, False),  # anchored, as in rules
        ('target!~"cat.*"', False, True),
        ('target=""', False, True),
        ("CATA", True, False),
        ("orders catalog", True, False),
        ("orders pool", False, False),
        ("staging", False, True),
        ('environment="staging" pool', False, True),
        ('nonsense="x"', False, False),  # not a field: plain words
        ('target=~"("', False, False),  # not an expression: plain words
        ('service="a\\b"', False, False),
        ("service=\0", False, False),
    ],
)
def test_what_a_filter_lets_through(text: str, orders: bool, feed: bool) -> None:
    chosen = filter_of(text)

    assert (chosen(ORDERS), chosen(FEED)) == (orders, feed)
