from __future__ import annotations

import threading

from panelboard_client.buffer import Buffer
from panelboard_client.wire import Event


def event(number: int, breaker: str = "catalog") -> Event:
    return Event(id=str(number), breaker=breaker, type="state_change", seq=number, at=0.0)


def test_a_batch_is_handed_out_again_until_it_is_settled() -> None:
    buffer = Buffer()
    for number in range(5):
        buffer.add(event(number))

    first = buffer.batch(3)
    buffer.add(event(5))

    assert [e.seq for e in buffer.batch(100)] == [e.seq for e in first] == [0, 1, 2]
    buffer.settle()
    assert [e.seq for e in buffer.batch(100)] == [3, 4, 5]


def test_a_full_buffer_drops_the_oldest_and_counts_them_by_breaker() -> None:
    buffer = Buffer(bound=4)
    buffer.add(event(0, "users"))
    for number in range(1, 7):
        buffer.add(event(number))

    assert len(buffer) == 4
    assert buffer.take_losses() == {"users": 1, "catalog": 2}
    assert buffer.take_losses() == {}
    assert [e.seq for e in buffer.batch(10)] == [3, 4, 5, 6]


def test_waiting_ends_when_all_that_was_there_is_settled_or_dropped() -> None:
    buffer = Buffer(bound=2)
    buffer.add(event(0))
    assert buffer.wait(0) is False

    waiting = threading.Thread(target=buffer.wait, args=(30,))
    waiting.start()
    buffer.batch(10)
    buffer.add(event(1))
    buffer.settle()
    waiting.join(10)

    assert not waiting.is_alive()
    assert buffer.wait(0) is False
