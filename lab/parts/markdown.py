"""A table as Markdown has it, readable as it stands."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """The first of `rows` is the head."""
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(rows[0]))]
    head, *lines = [
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))} |"
        for cells in rows
    ]
    rule = f"|{'|'.join('-' * (width + 2) for width in widths)}|"
    return "\n".join([head, rule, *lines])


def median_and_span(values: Sequence[float], digits: int = 2) -> str:
    """`"1.08 (1.07-1.11)"`: the median, the least and the most."""
    least, most = min(values), max(values)
    return f"{statistics.median(values):.{digits}f} ({least:.{digits}f}-{most:.{digits}f})"


def verdict(is_so: bool, what: str) -> str:
    return f"{'yes' if is_so else 'NO '}  {what}"
