"""What holds tasks back, in few words."""

from __future__ import annotations

from .. import _explanation as why
from .._wording import cut, visible

WORDS = {
    why.PAUSED: "the pause",
    why.ENDING: "the end of the run",
    why.MAX_PARALLEL: "max_parallel",
    why.CAP: "cap of {}",
    why.RESOURCE: "resource {}",
    why.LIMITER: "limiter of {}",
    why.BREAKER: "breaker of {}",
    why.COOLING: "cooling of {}",
    why.BACK_OFF: "back-off",
    why.LEADER: "equal work",
    why.STORE: "the store",
    why.TURN: "its turn",
}


def in_words(kind: str, subject: str) -> str:
    """`cap of fetch`, `back-off`: a cause and what it is about."""
    return WORDS.get(kind, kind).format(shown(subject) or "the run")


def shown(text: str) -> str:
    """A text from a user: on one line, not endless, and it moves no cursor."""
    return visible(cut(text))
