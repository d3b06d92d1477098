from __future__ import annotations

from django.urls import clear_url_caches, get_resolver

from tests.support.web import serve


async def test_pages_and_api_are_loaded_before_the_first_call(transactional_db: None) -> None:
    clear_url_caches()

    async with serve():
        assert "url_patterns" in get_resolver().__dict__
