"""What a run that ended with exceptions is taken for."""

from __future__ import annotations

from tgtrio.cli._execute import _cause_in


def test_ctrl_c_comes_before_all_else() -> None:
    nested = BaseExceptionGroup("inner", [KeyboardInterrupt()])
    group = BaseExceptionGroup("outer", [SystemExit(3), ValueError(), nested])
    assert isinstance(_cause_in(group), KeyboardInterrupt)


def test_an_exit_counts_where_nothing_worse_happened() -> None:
    first = SystemExit(3)
    assert _cause_in(BaseExceptionGroup("", [first, SystemExit(4)])) is first
    both = BaseExceptionGroup("", [first, ValueError()])
    assert _cause_in(both) is both


def test_a_lone_error_comes_out_of_its_group() -> None:
    error = ValueError()
    assert _cause_in(BaseExceptionGroup("", [error])) is error
