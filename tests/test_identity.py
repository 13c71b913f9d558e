"""The canonical form and the keys made of it. The digests here must never change."""

from __future__ import annotations

import hashlib
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tgtrio._identity import canonical_json, idempotency_key

SHORT = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda below: st.lists(below) | st.dictionaries(st.text(), below),
    max_leaves=20,
)


def write_float(value: float) -> str:
    """The documented form, by way of the digits that `repr` finds."""
    if value == 0:
        return "-0.0" if math.copysign(1, value) < 0 else "0.0"
    sign, digits, scale = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(scale, int)
    text = "".join(map(str, digits))
    exponent = len(text) - 1 + scale
    minus = "-" if sign else ""
    if not -5 <= exponent < 16:
        point = "." if len(text) > 1 else ""
        return f"{minus}{text[0]}{point}{text[1:]}e{exponent}"
    if exponent < 0:
        return f"{minus}0.{'0' * (-exponent - 1)}{text}"
    text = text.ljust(exponent + 1, "0")
    return f"{minus}{text[: exponent + 1]}.{text[exponent + 1 :] or '0'}"


def write_str(value: str) -> str:
    escaped = (SHORT.get(c, c if c >= " " else f"\\u{ord(c):04x}") for c in value)
    return f'"{"".join(escaped)}"'


def write(value: Any) -> str:
    """The documented form, written to be read."""
    if isinstance(value, dict):
        return f"{{{','.join(f'{write_str(k)}:{write(value[k])}' for k in sorted(value))}}}"
    if isinstance(value, list):
        return f"[{','.join(map(write, value))}]"
    if isinstance(value, str):
        return write_str(value)
    if isinstance(value, float):
        return write_float(value)
    return "null" if value is None else str(value).lower()


@given(JSON)
@example({"\U0001d4b3": 1, "\uffff": 2, "\xe9": 3, "z": 4, "ab": 5, "a": 6, "": 7})
@example('\x00\x1f \x7f\u2028/\\"\b\t\n\f\r')
@settings(max_examples=300)
def test_the_form_is_the_documented_one(value: Any) -> None:
    assert canonical_json(value).decode() == write(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(max_examples=1000)
def test_floats_have_the_documented_form_and_read_back_the_same(value: float) -> None:
    text = canonical_json(value).decode()
    assert text == write_float(value)
    assert float(text).hex() == value.hex()


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (1, "1"),
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (0.0, "0.0"),
        (100.0, "100.0"),
        (0.1, "0.1"),
        (0.00001, "0.00001"),
        (0.000001, "1e-6"),
        (2.5e-7, "2.5e-7"),
        (9999999999999998.0, "9999999999999998.0"),
        (1e16, "1e16"),
        (1.7976931348623157e308, "1.7976931348623157e308"),
        (5e-324, "5e-324"),
        (-(2**63), "-9223372036854775808"),
        (2**63 - 1, "9223372036854775807"),
        ("e\u0301", '"e\u0301"'),
        ("\xe9", '"\xe9"'),
        ([True, None, False], "[true,null,false]"),
    ],
)
def test_examples_of_the_form(value: Any, form: str) -> None:
    assert canonical_json(value).decode() == form


@pytest.mark.parametrize(
    ("args", "resources", "digest"),
    [
        ({}, (), "93ee6900ec8d8956952dfdf7e1bb5729ff17c51450136388ded2e37a4fa8d762"),
        (
            {"b": 1, "a": [1.5, None, True]},
            ("r2", "r1"),
            "ae940419fb2a30dfbb627d11eed1a06a0f217ed915449b3802199d0796a2f39b",
        ),
        ({"n": 1.0}, (), "c08cf2319c933ef410ec881c0fd84c90744ace6395a93efc0ed89df94f11bb6a"),
        ({"n": 1}, (), "cccb7fded0575ca3c208b0edb2d8ae9478c27b0040ec2a8ff6454e3ca9d15760"),
        (
            {"text": "\xe9\U0001f600\x00\n"},
            ("\xe9",),
            "fac7870bcf9918cc76db45cea0d92456d04481f8c0833d20757f6e1315ab92d6",
        ),
        (
            {"n": [1e16, 1e-5, 1e-6, -0.0, 0.1]},
            (),
            "c5d6c90e97804e9deee407a6931d5d8012ca567f92096e1c73eb6eb0b09941e6",
        ),
    ],
)
def test_keys_are_the_same_for_ever(
    args: dict[str, Any], resources: tuple[str, ...], digest: str
) -> None:
    assert idempotency_key("action", args, resources, "1") == digest


def test_a_key_is_the_digest_of_the_documented_document() -> None:
    document = '{"action":"a","args":{"x":1},"resources":["p","q"],"version":"2"}'
    key = idempotency_key("a", {"x": 1}, ["q", "p", "q"], "2")
    assert key == hashlib.sha256(document.encode()).hexdigest()


@pytest.mark.parametrize(
    "other",
    [
        ("b", {"x": 1}, ["r"], "1"),
        ("a", {"x": 2}, ["r"], "1"),
        ("a", {"x": 1.0}, ["r"], "1"),
        ("a", {"x": True}, ["r"], "1"),
        ("a", {"x": "1"}, ["r"], "1"),
        ("a", {"x": 1}, [], "1"),
        ("a", {"x": 1}, ["r"], "1.0"),
    ],
)
def test_other_work_has_another_key(other: tuple[str, dict[str, Any], list[str], str]) -> None:
    assert idempotency_key(*other) != idempotency_key("a", {"x": 1}, ["r"], "1")


def test_the_order_of_keys_and_resources_does_not_matter() -> None:
    one = idempotency_key("a", {"x": {"p": 1, "q": 2}, "y": 3}, ["r", "s"], "1")
    two = idempotency_key("a", {"y": 3, "x": {"q": 2, "p": 1}}, ["s", "r"], "1")
    assert one == two
