"""Lengths of time as people write them."""

from __future__ import annotations

import pytest

from shoal.errors import UsageError
from shoal.units import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("600", 600), ("0", 0), ("0.5", 0.5), ("90s", 90), ("30m", 1800), ("30 min", 1800), ("1.5h", 5400),
        ("1H", 3600), (" 2d ", 172_800),
    ],
)  # fmt: skip
def test_a_length_of_time_is_read_with_any_suffix(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "soon", "-1", "1e3", "inf", "nan", "1w", "1m30s", "9" * 13, "1,5h", "²"]
)
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a length of time") as caught:
        parse_duration(text)
    assert caught.value.hint == "write seconds, or like 90s, 30m, 1.5h or 1d"
