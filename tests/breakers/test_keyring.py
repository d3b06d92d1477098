from __future__ import annotations

import asyncio
import uuid

import pytest
from asgiref.sync import sync_to_async
from psycopg_pool import PoolTimeout

from breakers import keyring
from breakers.db import make_pool
from breakers.keyring import Keyring
from breakers.keys import key_hash
from breakers.models import ApiKey
from tests.support import make
from tests.support.web import Web


def ring_of(web: Web) -> Keyring:
    """A keyring of its own that knows nothing yet, on the connections of the web process."""
    return Keyring(web.entrance.runtime.pool)


async def test_of_many_who_come_with_one_key_at_once_none_is_refused(web: Web) -> None:
    _, text = await sync_to_async(make.make_key)(scopes=["ingest"], name="a fleet's")
    ring, hashed = ring_of(web), key_hash(text)

    found = await asyncio.gather(*(ring.actor_of_hash(hashed) for _ in range(1000)))

    assert {actor and actor.name for actor in found} == {"a fleet's"}


async def test_what_anybody_may_send_is_not_kept(web: Web) -> None:
    kept = keyring._remembered_hash.cache_info().currsize

    for number in range(3):
        said = f"Bearer {number}{'x' * 10_000}"
        answer = await web.http.get("/api/v1/agent/desired", headers={"authorization": said})
        assert answer.status_code == 401

    assert keyring._remembered_hash.cache_info().currsize == kept


async def test_a_key_is_looked_up_again_before_it_is_no_longer_believed(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "BELIEVED_S", 3600.0)
    row, text = await sync_to_async(make.make_key)(scopes=["ingest"], name="k")
    ring, hashed = ring_of(web), key_hash(text)
    assert await ring.actor_of_hash(hashed) is not None

    await ApiKey.objects.filter(pk=row.pk).adelete()
    # Nobody waits for the look; with the next ones its answer is known.
    assert await ring.actor_of_hash(hashed) is not None
    async with asyncio.timeout(30):
        while await ring.actor_of_hash(hashed) is not None:
            await asyncio.sleep(0)


async def test_who_goes_away_does_not_end_the_look_of_others(web: Web) -> None:
    _, text = await sync_to_async(make.make_key)(scopes=["ingest"], name="k")
    ring, hashed = ring_of(web), key_hash(text)
    gone, stays = (asyncio.create_task(ring.actor_of_hash(hashed)) for _ in range(2))
    await asyncio.sleep(0)

    gone.cancel()

    assert await stays is not None


async def test_who_makes_keys_up_holds_nobody_up(web: Web) -> None:
    _, text = await sync_to_async(make.make_key)(scopes=["ingest"], name="k")
    ring, answered = ring_of(web), list[int]()

    async def ask(number: int, key: str) -> bool:
        actor = await ring.actor_of_hash(key_hash(key))
        answered.append(number)
        return actor is not None

    keys = [uuid.uuid4().hex for _ in range(20_000)]
    keys.insert(500, text)
    found = await asyncio.gather(*map(ask, range(len(keys)), keys))

    assert [number for number, known in enumerate(found) if known] == [500]
    assert answered.index(500) < 1000
    # And it is believed still, whatever came after it.
    assert key_hash(text) in ring._known


async def test_where_the_database_is_away_all_are_told_together() -> None:
    async with make_pool(size=1) as pool, pool.connection():
        # The only one is taken.
        ring = Keyring(pool)
        asked = [asyncio.create_task(ring.actor_of_hash(bytes([number]))) for number in range(9)]
        await asyncio.sleep(0)
        asked += [asyncio.create_task(ring.actor_of_hash(bytes([n]))) for n in range(9, 18)]

        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        # No other look lies between the first who is told and the last.
        for _ in range(5):
            await asyncio.sleep(0)

        assert {type(task.exception()) for task in asked if task.done()} == {PoolTimeout}
        assert all(task.done() for task in asked)
