from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.poller import CLOSED, Poller
from tests.support.web import Web, serve


@pytest.fixture
async def web(transactional_db: None) -> AsyncIterator[Web]:
    """A web process on this worker's database, for this test alone."""
    async with serve() as running:
        yield running


@pytest.fixture
async def poller(web: Web) -> Poller:
    """One that has said hello and knows that nothing is wished."""
    made = Poller(web)
    await made.hello(CLOSED)
    assert await made.all() == []
    return made
