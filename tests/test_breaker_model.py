"""The circuit breaker against a naive model, through random histories."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tgtrio._breaker import CircuitBreaker, Permit
from tgtrio._breaker_policy import BreakerPolicy, BreakerState, Move

from .breakers import Clock, seen

CLOSED, OPEN, HALF_OPEN = BreakerState


# Against a naive model


class Model:
    """The rules, word by word: lists and ifs."""

    def __init__(self) -> None:
        self.state = "CLOSED"
        self.generation = 0
        self.outcomes: list[bool] = []
        self.waiting_since: int | None = None
        self.newest_probe: object = None
        self.failed_probes = 0
        self.give_ups = 0

    def go(self, state: str, now: int) -> None:
        self.state = state
        self.generation += 1
        self.newest_probe = None
        self.waiting_since = now if state == "OPEN" else None
        if state == "CLOSED":
            self.outcomes = []
            self.failed_probes = 0

    def look(self, now: int) -> None:
        if self.waiting_since is None:
            return
        if now < self.waiting_since:
            self.waiting_since = now
        elif now >= self.waiting_since + 30:
            if self.state == "OPEN":
                self.go("HALF_OPEN", now)
            else:
                self.newest_probe = self.waiting_since = None

    def record(self, generation: int, success: bool, now: int) -> None:
        if self.state == "CLOSED" and generation == self.generation:
            self.outcomes.append(success)
            if self.outcomes[-6:].count(False) >= 3:
                self.go("OPEN", now)

    def probe_ended(self, probe: object, generation: int, success: bool | None, now: int) -> None:
        if generation != self.generation:
            return
        if success is None and self.newest_probe is probe:
            self.newest_probe = self.waiting_since = None
        elif success is True:
            self.go("CLOSED", now)
        elif success is False:
            self.go("OPEN", now)
            self.failed_probes += 1
            if self.failed_probes == 3:
                self.failed_probes = 0
                self.give_ups += 1

    def admits(self) -> bool:
        return self.state == "CLOSED" or (self.state == "HALF_OPEN" and not self.newest_probe)

    def next_change(self) -> int | None:
        return None if self.waiting_since is None else self.waiting_since + 30


class BreakerMachine(RuleBasedStateMachine):
    """Any calls in any order, while the clock goes forward and is set back."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock(1_000)
        policy = BreakerPolicy(window=6, threshold=0.5, open_for=30, give_up_after=3)
        self.breaker = CircuitBreaker("api", policy, clock=self.clock, on_move=self.on_move)
        self.breaker.subscribe(self.listen)
        self.model = Model()
        self.permits: list[tuple[Permit, int]] = []
        self.generation = 0
        self.give_ups = 0
        self.told = seen(self.breaker)
        # Seconds since it opened, or saw that the clock was set back; None: not seen yet.
        self.forward: int | None = 0
        self.fresh: list[tuple[Permit, int]] = []  # probes out, not overdue, the clock not set back

    @property
    def now(self) -> int:
        return int(self.clock.now)

    def on_move(self, breaker: CircuitBreaker, move: Move) -> None:
        self.give_ups += move.gave_up
        self.fresh.clear()
        if move.after is OPEN:
            self.forward = 0

    def listen(self, breaker: CircuitBreaker) -> None:
        self.told = seen(breaker)

    @rule(seconds=st.sampled_from([1, 29, 30, 30, 31, 1_000]))
    def time_passes(self, seconds: int) -> None:
        self.clock.now += seconds
        if self.forward is not None:
            self.forward += seconds

    @rule(seconds=st.sampled_from([1, 29, 100, 5_000]))
    def the_clock_is_set_back(self, seconds: int) -> None:
        self.clock.now -= seconds
        self.forward = None
        self.fresh.clear()

    @rule(past=st.sampled_from([0, 0, 0, 1]), outcomes=st.text("x.", max_size=4))
    def record(self, past: int, outcomes: str) -> None:
        for outcome in outcomes:
            generation = self.breaker.generation - past
            self.breaker.record(generation, outcome == ".")
            self.model.record(generation, outcome == ".", self.now)

    @rule()
    def ask(self) -> None:
        self.model.look(self.now)
        permit = self.breaker.try_acquire()
        self.forward = self.forward or 0
        assert self.told == seen(self.breaker)
        assert (permit is not None) == self.model.admits()
        if permit is None:
            return
        self.permits.append((permit, self.model.generation))
        assert permit.is_probe == (self.model.state == "HALF_OPEN")
        if permit.is_probe:
            assert not [at for _, at in self.fresh if self.now < at + 30]
            self.fresh.append((permit, self.now))
            self.model.newest_probe, self.model.waiting_since = permit, self.now

    @precondition(lambda self: self.permits)
    @rule(data=st.data(), success=st.sampled_from([True, False, False, None]))
    def settle(self, data: st.DataObject, success: bool | None) -> None:
        at = data.draw(st.integers(0, len(self.permits) - 1), "permit")
        permit, generation = self.permits.pop(at)
        self.fresh = [item for item in self.fresh if item[0] is not permit]
        for _ in range(2):
            {True: permit.succeeded, False: permit.failed, None: permit.released}[success]()
        if permit.is_probe:
            self.model.probe_ended(permit, generation, success, self.now)
        elif success is not None:
            self.model.record(generation, success, self.now)

    @rule(state=st.sampled_from(["ISOLATED", "CLOSED", "CLOSED", "CLOSED"]))
    def move_by_hand(self, state: str) -> None:
        self.breaker.close() if state == "CLOSED" else self.breaker.isolate()
        if self.model.state != state:
            self.model.go(state, self.now)
        if state == "CLOSED":
            self.model.outcomes = []

    @rule()
    def look(self) -> None:
        self.model.look(self.now)
        assert seen(self.breaker) == (
            OPEN if self.model.state == "ISOLATED" else BreakerState[self.model.state],
            self.model.state == "CLOSED" and all(self.model.outcomes[-6:]),
            self.model.admits(),
            self.model.next_change(),
        )
        assert self.told == seen(self.breaker)
        self.forward = self.forward or 0
        if self.breaker.state is OPEN and not self.breaker.isolated:
            assert self.forward < 30

    @invariant()
    def agrees_with_the_model(self) -> None:
        assert self.breaker.generation == self.model.generation
        assert self.breaker.isolated == (self.model.state == "ISOLATED")
        assert self.breaker.give_ups == self.model.give_ups == self.give_ups
        assert self.breaker.probes_failed == self.model.failed_probes

    @invariant()
    def generations_rise(self) -> None:
        assert self.breaker.generation >= self.generation
        self.generation = self.breaker.generation


TestBreakerMachine = BreakerMachine.TestCase
