from __future__ import annotations

import gc

from django.urls import clear_url_caches, get_resolver

from tests.support.web import serve


async def test_pages_and_api_are_loaded_before_the_first_call(transactional_db: None) -> None:
    clear_url_caches()

    async with serve():
        assert "url_patterns" in get_resolver().__dict__


async def test_a_server_that_manage_py_did_not_begin_looks_rarely_for_garbage_too(
    transactional_db: None,
) -> None:
    usual = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    try:
        async with serve():
            assert gc.get_threshold()[0] > 700
    finally:
        gc.set_threshold(*usual)
