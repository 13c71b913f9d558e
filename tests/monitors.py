"""Safety monitors, and what happens under them."""

from __future__ import annotations

from tgtrio._safety import AbortConditionMonitor
from tgtrio._safety_rules import Rule


def watching(*rules: Rule) -> AbortConditionMonitor:
    monitor = AbortConditionMonitor(rules=rules)
    monitor.begin(0.0)
    return monitor


def observe(monitor: AbortConditionMonitor, counts: dict[str, int], now: float = 0.0) -> None:
    for event, count in counts.items():
        for _ in range(count):
            monitor.observe(event, now)
