from __future__ import annotations

import asyncio
import uuid

import pytest
from asgiref.sync import sync_to_async

from breakers import keyring
from breakers.errors import Overloaded
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


async def test_keys_that_are_made_up_wait_in_a_bounded_line(web: Web) -> None:
    _, text = await sync_to_async(make.make_key)(scopes=["ingest"], name="k")
    ring, hashed = ring_of(web), key_hash(text)
    assert await ring.actor_of_hash(hashed) is not None

    made_up = [ring.actor_of_hash(key_hash(uuid.uuid4().hex)) for _ in range(1500)]
    found = await asyncio.gather(*made_up, return_exceptions=True)

    assert found[:1000] == [None] * 1000
    assert {type(answer) for answer in found[1000:]} == {Overloaded}
    assert await ring.actor_of_hash(hashed) is not None
