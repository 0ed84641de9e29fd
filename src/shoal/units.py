"""Sizes and times as people write them; inside the program everything is bytes and seconds.

Knows nothing of files, peers or terminals. What `parse_*` accept and what `format_*` print are told to users in
the command reference.
"""

from __future__ import annotations

import re

from shoal.errors import UsageError

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

_FACTORS = {
    "": 1,
    "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4,
    "ki": KIB, "mi": MIB, "gi": GIB, "ti": 1024 * GIB,
}  # fmt: skip
_SIZE = re.compile(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([kmgt]i?)?b?\s*", re.IGNORECASE)
_RATE = re.compile(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([kmgt]i?)?b?\s*(?:/s)?\s*", re.IGNORECASE)
_DURATION = re.compile(r"\s*(\d{1,12}(?:\.\d{1,6})?)\s*(s|m|min|h|d)?\s*", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
LEAST_RATE = 1000  # bytes a second; below it a block takes longer than other clients wait for one


def parse_size(text: str) -> int:
    """`"64KiB"`, `"1.5M"`, `"262144"` -> bytes. Raises `UsageError` for anything else."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UsageError(f"'{text}' is not a size", hint="write it like 262144, 256KiB or 1MiB")
    number, suffix = match.groups()
    return int(float(number) * _FACTORS[(suffix or "").lower()])


def parse_rate(text: str) -> int:
    """`"500k"`, `"2MB/s"`, `"1.5MiB/s"`, `"262144"` -> bytes a second. Raises `UsageError` for anything else."""
    match = _RATE.fullmatch(text)
    if match is None:
        raise UsageError(f"'{text}' is not a rate", hint="write bytes a second, like 500k, 2MB/s or 1.5MiB/s")
    number, suffix = match.groups()
    rate = int(float(number) * _FACTORS[(suffix or "").lower()])
    if rate < LEAST_RATE:
        raise UsageError(
            f"'{text}': {rate} bytes a second is less than {LEAST_RATE}",
            hint="a rate without a suffix is in bytes a second; without the option there is no limit",
        )
    return rate


def parse_duration(text: str) -> float:
    """`"600"`, `"90s"`, `"30m"`, `"1.5h"`, `"1d"` -> seconds. Raises `UsageError` for anything else."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise UsageError(
            f"'{text}' is not a length of time", hint="write seconds, or like 90s, 30m, 1.5h or 1d"
        )
    number, suffix = match.groups()
    return float(number) * _SECONDS[(suffix or "s").lower()]


def format_size(size: float) -> str:
    """Bytes -> three significant digits with a binary suffix: `"1.50 GiB"`, `"512 B"`."""
    for suffix, factor in (("TiB", 1024 * GIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if size >= factor:
            value = size / factor
            digits = 2 if value < 10 else 1 if value < 100 else 0
            return f"{value:.{digits}f} {suffix}"
    return f"{size:.0f} B"


def format_rate(rate: float) -> str:
    """Bytes a second -> `"1.50 MiB/s"`."""
    return f"{format_size(rate)}/s"


def format_duration(seconds: float) -> str:
    """Seconds -> `"0.4 s"`, `"12 s"`, `"3 min 05 s"`, `"2 h 10 min"`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
