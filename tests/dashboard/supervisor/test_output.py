"""What `up` prints: whole lines, each with its part's name."""

from __future__ import annotations

import asyncio
import io

from dashboard.supervisor.output import Output


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_has_its_parts_name_and_no_colour_in_a_file() -> None:
    file = io.StringIO()

    Output(file).line("web", "hello")

    assert file.getvalue() == "web      | hello\n"


def test_on_a_terminal_each_part_has_its_own_colour() -> None:
    terminal = Terminal()
    output = Output(terminal)

    output.line("web", "hello")
    output.line("worker", "hello")

    first, second = terminal.getvalue().splitlines()
    assert first.startswith("\x1b[")
    assert first.endswith("\x1b[0m hello")
    assert first.partition("m")[0] != second.partition("m")[0]


async def test_relayed_lines_are_whole_whatever_the_chunks() -> None:
    file = io.StringIO()
    stream = asyncio.StreamReader()
    for chunk in (b"fir", b"st\nsec", b"ond \xff\n\nlast"):
        stream.feed_data(chunk)
    stream.feed_eof()

    await Output(file).relay("web", stream)

    assert file.getvalue().splitlines() == [
        "web      | first",
        "web      | second �",
        "web      | last",
    ]


async def test_a_line_without_end_does_not_fill_the_memory() -> None:
    file = io.StringIO()
    stream = asyncio.StreamReader(limit=2**24)
    stream.feed_data(b"x" * 300_000)
    stream.feed_eof()

    await Output(file).relay("web", stream)

    assert max(len(line) for line in file.getvalue().splitlines()) < 200_000
    assert file.getvalue().count("x") == 300_000


def test_a_closed_terminal_stops_nothing() -> None:
    file = io.StringIO()
    output = Output(file)
    file.close()

    output.line("web", "nobody reads this")
