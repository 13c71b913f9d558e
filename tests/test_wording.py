"""How errors are told apart from one another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgtrio._errors import TaskTimeoutError, shorten
from tgtrio._wording import nameless


@pytest.mark.parametrize(
    ("error", "task_id", "alike"),
    [
        ("task 'fetch-1': late", "fetch-1", "task ...: late"),
        ("task 'a': a thing is late", "a", "task ...: a thing is late"),  # a word like others
        ("no fetch-1, only fetch-12", "fetch-1", "no ..., only fetch-12"),
        ("page 3 of 33", "3", "page 3 of 33"),
        ("it broke", "", "it broke"),
        ("x.y or xzy", "x.y", "... or xzy"),
    ],
)
def test_an_error_without_the_id_of_its_task(error: str, task_id: str, alike: str) -> None:
    assert nameless(error, task_id) == alike


@given(one=st.text(min_size=1), other=st.text(min_size=1))
def test_what_this_library_says_of_two_tasks_is_alike(one: str, other: str) -> None:
    errors = [TaskTimeoutError(f"task {shorten(name)}: timed out") for name in (one, other)]
    first, second = (nameless(str(e), name) for e, name in zip(errors, (one, other), strict=True))
    assert first == second == "task ...: timed out"
