"""Text from users is shown, and does nothing else to the terminal."""

from __future__ import annotations

import pytest
from rich.console import Console

from tgtrio.cli._text import clock, counted, duration, ends_of, plain, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain id-1", "plain id-1"),
        ("größe 日本", "größe 日本"),
        ("two\nlines\r", r"two\nlines\r"),
        ("\x1b[2Jgone\x07", r"\x1b[2Jgone\x07"),
        ("turned \u202eround\u200f", r"turned \u202eround\u200f"),
        ("\u200bhidden\xa0", r"\u200bhidden\xa0"),
        ("lone \ud800", r"lone \ud800"),
        ("\x9b31m", r"\x9b31m"),
    ],
)
def test_what_would_move_the_cursor_or_turn_the_writing_is_spelled_out(
    text: str, shown: str
) -> None:
    assert visible(text) == shown


def test_user_text_is_never_markup(capsys: pytest.CaptureFixture[str]) -> None:
    Console(width=60).print(plain("[red]x[/red] [/] :smile:"))
    assert capsys.readouterr().out == "[red]x[/red] [/] :smile:\n"


def test_of_many_lines_the_first_and_the_last_are_shown() -> None:
    text = "\n\n".join(f"line {number}" for number in range(1, 10))
    assert ends_of(text, 6) == [
        "line 1",
        "line 2",
        "line 3",
        "... 4 more lines",
        "line 8",
        "line 9",
    ]
    assert ends_of("a\n\n\tb\n", 6) == ["a", "    b"]
    assert ends_of("", 6) == []


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 µs"),
        (0.00042, "420 µs"),
        (0.0042, "4.2 ms"),
        (0.00997, "10 ms"),
        (0.0123, "12 ms"),
        (0.9999, "1.00 s"),
        (3.2, "3.20 s"),
        (9.999, "10.0 s"),
        (59.99, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3599.9, "1 h 00 min"),
        (7325, "2 h 02 min"),
    ],
)
def test_a_duration_has_the_unit_that_suits_it(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_a_clock_counts_minutes_and_hours() -> None:
    assert [clock(seconds) for seconds in (0, 7.9, 754, 3723)] == [
        "0:00",
        "0:07",
        "12:34",
        "1:02:03",
    ]


def test_nouns_follow_their_number() -> None:
    assert counted(1, "task") == "1 task"
    assert counted(2_000, "task") == "2,000 tasks"
    assert counted(0, "retry") == "0 retries"
