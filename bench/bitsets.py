"""Compare ways to hold a set of pieces: an int, a `set`, a bytearray with a byte a piece.

    python bench/bitsets.py

Prints the table of docs/decisions/0001-sets-as-integers.md. The sets are what a picker meets: a peer that has
90 % of the pieces, and half of them still missing here.
"""

from __future__ import annotations

import random
import sys
import timeit
from collections.abc import Callable

PIECE_COUNTS = (1_000, 10_000, 100_000)
SECONDS_A_CELL = 0.05  # each figure is the best of REPEATS runs of about this length
REPEATS = 3


def main() -> None:
    print(f"Python {sys.version.split()[0]}; microseconds a call, best of {REPEATS}\n")
    print("| pieces | operation | int | set | bytearray |")
    print("|---:|---|---:|---:|---:|")
    for piece_count in PIECE_COUNTS:
        for name, calls in operations(piece_count).items():
            cells = " | ".join(f"{measure(call):,.2f}" for call in calls)
            print(f"| {piece_count:,} | {name} | {cells} |")
        print(f"| {piece_count:,} | *memory, KiB* | {' | '.join(memory(piece_count))} |")


def operations(piece_count: int) -> dict[str, tuple[Callable[[], object], ...]]:
    """Operation -> the same thing done with an int, a set and a bytearray."""
    theirs, missing = example_sets(piece_count)
    their_bits, missing_bits = to_int(theirs), to_int(missing)
    their_bytes, missing_bytes = to_bytes(theirs, piece_count), to_bytes(missing, piece_count)
    other, other_bits = theirs - missing, their_bits & ~missing_bits  # of a peer that has nothing for us
    other_bytes = to_bytes(other, piece_count)
    wire = their_bits.to_bytes(-(-piece_count // 8), "little")
    middle = piece_count // 2

    def add_to_set() -> None:
        theirs.add(middle)

    def add_to_bytes() -> None:
        their_bytes[middle] = 1

    return {
        "what can they give us?": (
            lambda: their_bits & missing_bits,
            lambda: theirs & missing,
            lambda: [piece for piece, has in enumerate(their_bytes) if has and missing_bytes[piece]],
        ),
        "anything at all? (no)": (
            lambda: other_bits & missing_bits != 0,
            lambda: not other.isdisjoint(missing),
            lambda: any(has and wanted for has, wanted in zip(other_bytes, missing_bytes, strict=True)),
        ),
        "how many?": (lambda: their_bits.bit_count(), lambda: len(theirs), lambda: their_bytes.count(1)),
        "add piece x (a `have`)": (lambda: their_bits | 1 << middle, add_to_set, add_to_bytes),
        "has it piece x?": (
            lambda: their_bits >> middle & 1,
            lambda: middle in theirs,
            lambda: their_bytes[middle],
        ),
        "read from the wire": (
            lambda: int.from_bytes(wire, "little"),
            lambda: {piece for piece in range(piece_count) if wire[piece >> 3] >> (piece & 7) & 1},
            lambda: bytearray(wire[piece >> 3] >> (piece & 7) & 1 for piece in range(piece_count)),
        ),
    }


def memory(piece_count: int) -> tuple[str, ...]:
    theirs, _ = example_sets(piece_count)
    holders = (to_int(theirs), theirs, to_bytes(theirs, piece_count))
    return tuple(f"{sys.getsizeof(holder) / 1024:,.1f}" for holder in holders)


def example_sets(piece_count: int) -> tuple[set[int], set[int]]:
    rng = random.Random(1)
    pieces = range(piece_count)
    return set(rng.sample(pieces, piece_count * 9 // 10)), set(rng.sample(pieces, piece_count // 2))


def to_int(pieces: set[int]) -> int:
    bits = bytearray(max(pieces) // 8 + 1)
    for piece in pieces:
        bits[piece >> 3] |= 1 << (piece & 7)
    return int.from_bytes(bits, "little")


def to_bytes(pieces: set[int], piece_count: int) -> bytearray:
    return bytearray(piece in pieces for piece in range(piece_count))


def measure(call: Callable[[], object]) -> float:
    """Microseconds of one call."""
    timer = timeit.Timer(call)
    count = max(1, int(SECONDS_A_CELL / max(timer.timeit(1), 1e-7)))
    return min(timer.repeat(REPEATS, count)) / count * 1e6


if __name__ == "__main__":
    main()
