"""What we write in PostgreSQL's own forms is what PostgreSQL reads."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from breakers.ingest.pgtext import array, lines

pytestmark = pytest.mark.django_db

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
ODD = st.sampled_from(
    ["", '"', "\\", '\\"', "NULL", "null", "None", "{}", "a,b", '","', " a ", "\n"]
)
FIRST, LAST = datetime(1000, 1, 1), datetime(9000, 1, 1)  # noqa: DTZ001 - Hypothesis wants them bare
TIMES = st.datetimes(min_value=FIRST, max_value=LAST, timezones=st.just(UTC))
NUMBERS = st.integers(min_value=-(2**63), max_value=2**63 - 1)


def read(kind: str, literal: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT %s::{kind}[]", [literal])
        return cursor.fetchone()[0]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.none() | TEXTS | ODD, max_size=6))
def test_texts_are_read_as_they_were(values: list[str | None]) -> None:
    assert read("text", array(values)) == values


@settings(max_examples=50, deadline=None)
@given(st.lists(st.none() | NUMBERS, max_size=6))
def test_whole_numbers_are_read_as_they_were(values: list[int | None]) -> None:
    assert read("bigint", array(values)) == values


@settings(max_examples=50, deadline=None)
@given(st.lists(st.none() | st.booleans(), max_size=6))
def test_truth_values_are_read_as_they_were(values: list[bool | None]) -> None:
    assert read("boolean", array(values)) == values


@settings(max_examples=50, deadline=None)
@given(st.lists(st.none() | TIMES, max_size=6))
def test_times_are_read_as_they_were(values: list[datetime | None]) -> None:
    found = read("timestamptz", array(values))

    assert [value and value.astimezone(UTC) for value in found] == values  # type: ignore[attr-defined]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.none() | TEXTS | ODD, st.none() | NUMBERS, st.none() | TIMES),
        min_size=1,
        max_size=6,
    )
)
def test_lines_are_copied_as_the_rows_they_were(
    rows: list[tuple[str | None, int | None, datetime | None]],
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMPORARY TABLE said (place int GENERATED ALWAYS AS IDENTITY, a text, b bigint, c timestamptz)"
        )
        with cursor.copy("COPY said (a, b, c) FROM STDIN") as copy:
            copy.write("".join(lines(zip(*rows, strict=True))))
        cursor.execute("SELECT a, b, c FROM said ORDER BY place")
        found = cursor.fetchall()
        cursor.execute("DROP TABLE said")

    assert [(a, b, c and c.astimezone(UTC)) for a, b, c in found] == rows
