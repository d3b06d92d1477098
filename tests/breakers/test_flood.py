from __future__ import annotations

from breakers.flood import FRAMES_AT_ONCE, FRAMES_PER_SECOND, Flood


def test_who_keeps_to_the_rate_may_do_so_for_ever() -> None:
    flood = Flood()
    for second in range(1000):
        assert not flood.is_more(FRAMES_PER_SECOND, now=second)


def test_who_does_not_is_told_once_what_may_come_at_once_is_spent() -> None:
    flood = Flood()
    assert not flood.is_more(FRAMES_AT_ONCE, now=50.0)
    assert not flood.is_more(FRAMES_PER_SECOND, now=51.0)

    assert flood.is_more(1, now=51.0)
