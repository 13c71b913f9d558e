"""Text from users is shown, and does nothing else to the terminal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from rich.console import Console

from tgtrio.cli._text import (
    MOST,
    clock,
    counted,
    cut,
    day_and_time,
    duration,
    ends_of,
    instant,
    plain,
    short_ids,
    visible,
)


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


def test_text_is_cut_where_it_is_endless() -> None:
    assert cut("x" * MOST) == "x" * MOST
    assert cut("x" * (MOST + 1)) == "x" * (MOST - 3) + "..."
    assert len(plain("\x1b" * 10_000).plain) < 1_000
    assert len(ends_of("x" * 10_000, 1)[0]) < 300


@pytest.mark.usefixtures("utc")
def test_instants_are_local_time() -> None:
    when = datetime(2030, 5, 4, 3, 2, 1, tzinfo=timezone(timedelta(hours=2)))
    assert instant(when) == "2030-05-04 01:02:01"
    assert day_and_time(when, datetime(2030, 12, 31, tzinfo=UTC)) == " 4 May 01:02"
    assert day_and_time(when, datetime(2031, 1, 1, tzinfo=UTC)) == " 4 May  2030"


@pytest.mark.parametrize("hours", [-12, 12])
@pytest.mark.parametrize("when", [datetime.min, datetime.max])
def test_instants_at_the_end_of_time_are_shown(when: datetime, hours: int) -> None:
    aware = when.replace(tzinfo=timezone(timedelta(hours=hours)))
    assert instant(aware)[-6:-3] in (":00", ":59")
    assert len(day_and_time(aware, datetime(2030, 1, 1, tzinfo=UTC))) == 12


def test_ids_that_nobody_chose_are_shortened_as_long_as_they_differ() -> None:
    first, second = "f" * 32, "f" * 9 + "0" * 23
    assert short_ids([first]) == {first: "f" * 8}
    assert short_ids([first, second, "a-name-of-my-own"]) == {
        first: "f" * 10,
        second: "f" * 9 + "0",
        "a-name-of-my-own": "a-name-of-my-own",
    }
