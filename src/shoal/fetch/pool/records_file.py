"""The records of a part file's pieces, in the rows beside it: who answers for its bytes when it is taken up again.

A row is a packed record (`protocol/group/records.py`). It is believed as far as its signature goes and the piece is
here, so it does not matter what becomes of a write, or which run or group it is of; what is no record is absent.
"""

from __future__ import annotations

from collections.abc import Iterable

from shoal.disk.part_file import PartFile
from shoal.protocol.group.messages import PieceRecord, Records
from shoal.protocol.group.records import RECORD_LENGTH, RECORDS_MARK, encode_records, parse_records


class RecordsFile:
    """Of `part`, as long as that is open. One thread at a time."""

    def __init__(self, part: PartFile) -> None:
        self._part = part
        self._saved: dict[int, PieceRecord] = {}

    def load(self) -> dict[int, PieceRecord]:
        """By piece; their signatures are yet to be looked at."""
        for piece, row in self._part.load_rows(RECORD_LENGTH).items():
            (record,) = parse_records(RECORDS_MARK + row).records
            if record.piece == piece:
                self._saved[piece] = record
        return dict(self._saved)

    def save(self, records: Iterable[PieceRecord]) -> None:
        """Those that are new, durable when it returns. Raises `DiskFullError` or `FileError`."""
        fresh = {record.piece: record for record in records if self._saved.get(record.piece) is not record}
        if fresh:
            packed = {piece: encode_records(Records((record,))) for piece, record in fresh.items()}
            self._part.save_rows({piece: row[len(RECORDS_MARK) :] for piece, row in packed.items()})
            self._saved |= fresh
