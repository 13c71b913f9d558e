"""The options of a run: their names and defaults, and the checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict

import attrs

from ._breaker_policy import DEFAULT_BREAKER, BreakerPolicy
from ._checks import check_bool, check_name, check_number
from ._errors import InvalidTypeError, InvalidValueError, nearest, shorten
from ._instrument import Instrument, check_instruments
from ._limits import Limit, check_limit, check_limits
from ._plan import Order
from ._policies import check_breaker, check_retry
from ._retry import DEFAULT_RETRY, RetryPolicy
from ._store import RawStore
from ._watch import Monitor, check_monitor

WhenOpen = Literal["hold", "fail"]
Reuse = Literal["run", "executor", "store"]


class MoreOptions(TypedDict, total=False):
    """What `TaskScheduler.execute_graph` takes besides; described at `run_graph`."""

    resource_caps: Mapping[str, Limit] | None
    retry: RetryPolicy | None
    breaker: BreakerPolicy | None
    order: Order
    when_open: WhenOpen
    idempotent: bool
    abort_monitor: Monitor | None
    store: RawStore | None
    run_id: str | None
    reuse: Reuse
    reuse_ttl: float | None
    instruments: Sequence[Instrument]
    seed: int | None


class RunOptions(MoreOptions, total=False):
    """What `run_graph` takes besides the graph and the actions; described there."""

    max_parallel: Limit | None
    per_action_caps: Mapping[str, Limit] | None


_NAMES = {*MoreOptions.__annotations__, *RunOptions.__annotations__}


@attrs.frozen(kw_only=True)
class Settings:
    """The options of one run, checked. `None` for `max_parallel` is the graph's own."""

    max_parallel: Limit | None = None
    per_action_caps: dict[str, Limit] = attrs.field(factory=dict)
    resource_caps: dict[str, Limit] = attrs.field(factory=dict)
    retry: RetryPolicy | None = DEFAULT_RETRY
    breaker: BreakerPolicy | None = DEFAULT_BREAKER
    order: Order = "priority"
    fail_when_open: bool = False
    idempotent: bool = True
    abort_monitor: Monitor | None = None
    store: RawStore | None = None
    run_id: str | None = None
    reuse: Reuse = "run"
    reuse_ttl: float | None = None
    instruments: tuple[Instrument, ...] = ()
    seed: int | None = None


def read_settings(options: Mapping[str, Any]) -> Settings:
    """Check the options of a run.

    Raises:
        InvalidTypeError: There is no such option, or it is of a type that it cannot be.
        InvalidValueError: An option has a value that it cannot have.
    """
    for name in options:
        if name not in _NAMES:
            raise InvalidTypeError(f"a run has no option {shorten(name)}{nearest(name, _NAMES)}")
    given = dict(options)
    when_open = given.pop("when_open", "hold")
    _check_choice("when_open", when_open, ("hold", "fail"))
    checks: dict[str, Callable[[Any], Any]] = {
        "max_parallel": lambda v: None if v is None else check_limit("max_parallel", v),
        "per_action_caps": lambda v: check_limits("per_action_caps", v),
        "resource_caps": lambda v: check_limits("resource_caps", v),
        "order": lambda v: _check_choice("order", v, ("priority", "critical_path")),
        "retry": check_retry,
        "breaker": check_breaker,
        "idempotent": lambda v: check_bool(("option", "idempotent"), "value", v),
        "abort_monitor": check_monitor,
        "store": check_store,
        "run_id": lambda v: v if v is None else check_name(("option", "run_id"), "value", v),
        "reuse": lambda v: _check_choice("reuse", v, ("run", "executor", "store")),
        "reuse_ttl": _check_ttl,
        "instruments": check_instruments,
        "seed": check_seed,
    }
    settings = Settings(
        fail_when_open=when_open == "fail",
        **{name: checks[name](value) for name, value in given.items()},
    )
    _check_reuse(settings)
    return settings


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise InvalidValueError(
            f"{name} is {shorten(value)}; it must be one of {', '.join(map(repr, choices))}"
            f"{nearest(value, choices)}"
        )
    return value


def _check_ttl(value: object) -> float | None:
    if value is None:
        return None
    seconds = check_number(("option", "reuse_ttl"), "value", value)
    if seconds <= 0:
        raise InvalidValueError(f"reuse_ttl is {shorten(value)}; it must be above 0 seconds")
    return seconds


def _check_reuse(settings: Settings) -> None:
    if settings.reuse == "store" and settings.store is None:
        raise InvalidValueError("reuse is 'store', but there is no store; give one as store=")
    if settings.reuse_ttl is not None and settings.reuse == "run":
        raise InvalidValueError(
            "reuse_ttl has no meaning with reuse='run', within one run; "
            "add reuse='store' or reuse='executor'"
        )


def check_store(value: object, name: str = "store") -> RawStore | None:
    """The option `store`. Raises InvalidTypeError."""
    if value is None or isinstance(value, RawStore):
        return value
    raise InvalidTypeError(f"{name} is {shorten(value)}; it must be a RawStore or None")


def check_seed(value: object) -> int | None:
    """The option `seed`. Raises InvalidTypeError."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise InvalidTypeError(f"seed is {shorten(value)}; it must be an int or None")
    return value
