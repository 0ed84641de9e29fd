"""Sets of pieces (or blocks, or files) as Python ints, and their form on the wire (BEP 3).

Bit *i* of the int is piece *i*. `&`, `|`, `& ~` and `.bit_count()` are the set operations; the rest is
here. On the wire the order within each byte is the other way round: piece 0 is the high bit of the first
byte.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from shoal.errors import FormatError

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # each byte's bits back to front


def bits_from_wire(data: bytes | bytearray | memoryview, count: int) -> int:
    """A bitfield of `count` pieces -> their set. Refuses any other length, and spare bits that are set."""
    length = (count + 7) // 8
    if len(data) != length:
        raise FormatError(f"a bitfield of {len(data)} bytes, where {count} pieces need {length}")
    bits = int.from_bytes(bytes(data).translate(_REVERSED), "little")
    if bits >> count:
        raise FormatError(f"a bitfield of {count} pieces has spare bits set at the end: {data[-1]:08b}")
    return bits


def bits_to_wire(bits: int, count: int) -> bytes:
    """The set -> a bitfield of `count` pieces."""
    return bits.to_bytes((count + 7) // 8, "little").translate(_REVERSED)


def all_bits(count: int) -> int:
    """The set of the first `count` pieces."""
    return (1 << count) - 1


def run_mask(start: int, count: int) -> int:
    """The set of `count` pieces from `start` on."""
    return ((1 << count) - 1) << start


def without(bits: int, others: int) -> int:
    """`bits & ~others`, of large sets in a fifth of the time: Python is slow with negative numbers."""
    return bits ^ (bits & others)


def lowest_bit(bits: int) -> int:
    """The lowest piece of a set that is not empty."""
    return (bits & -bits).bit_length() - 1


def iter_bits(bits: int) -> Iterator[int]:
    """The pieces of the set, lowest first, in time proportional to the highest."""
    digits = f"{bits:b}"[::-1]  # a search in a string stays in C; shifts would copy the int
    found = digits.find("1")
    while found != -1:
        yield found
        found = digits.find("1", found + 1)


def longest_run(bits: int) -> tuple[int, int]:
    """The first piece and the count of the longest row in the set; (0, 0) of an empty one."""
    rows = f"{bits:b}"[::-1].split("0")
    longest = max(range(len(rows)), key=lambda index: len(rows[index]))
    return sum(len(row) + 1 for row in rows[:longest]), len(rows[longest])


def iter_runs(bits: int) -> Iterator[tuple[int, int]]:
    """Each row of pieces in the set, lowest first: its first piece and the one behind its last."""
    digits = f"{bits:b}"[::-1] + "0"
    begin = digits.find("1")
    while begin != -1:
        end = digits.find("0", begin)
        yield begin, end
        begin = digits.find("1", end)


def random_bit(bits: int, rng: random.Random) -> int:
    """Any piece of a set that is not empty, each as likely as the other.

    Halves the set until one piece is left, so it looks at every word about twice and never at single pieces.
    """
    rank = rng.randrange(bits.bit_count())  # the chosen piece has so many below it
    base = 0
    width = bits.bit_length()
    while width > 1:
        half = width // 2
        low = bits & all_bits(half)
        low_count = low.bit_count()
        if rank < low_count:
            bits, width = low, half
        else:
            bits, width = bits >> half, width - half
            rank -= low_count
            base += half
    return base
