"""The servers of the tests themselves: real ones, and the rights that the program has in production."""

from __future__ import annotations

import psycopg
import pytest
import redis
from django.conf import settings
from django.db import ProgrammingError, connection

from breakers.models import Environment


def test_redis_is_a_real_one() -> None:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        assert client.ping()


@pytest.mark.django_db
def test_the_program_connects_as_a_role_that_owns_nothing() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_class WHERE relowner = current_user::regrole")
        assert cursor.fetchone() == (0,)
        with pytest.raises(ProgrammingError, match="must be owner"):
            cursor.execute("DROP TABLE environment")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("_", ["once", "again"])
def test_what_a_test_commits_is_gone_in_the_next(_: str) -> None:
    assert not Environment.objects.exists()
    Environment.objects.create(name="prod")
    with psycopg.connect(settings.DATABASE_URL) as other:
        assert other.execute("SELECT name FROM environment").fetchall() == [("prod",)]
