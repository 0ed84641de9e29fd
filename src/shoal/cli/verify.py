"""`shoal verify`: which pieces and files of a torrent are on the disk, and right.

Reads, and changes nothing. A file is good when all of its pieces are and it is as long as it should be; a piece that
reaches into a neighbour is only good if the neighbour's part of it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import click

from shoal.cli import options
from shoal.cli.paths import is_folder
from shoal.cli.progress import Progress
from shoal.cli.text import counted, first_of_many, printable
from shoal.cli.torrent_files import load_metainfo
from shoal.disk.check import check_pieces
from shoal.disk.storage import Storage
from shoal.errors import ExitCode, NotFoundError
from shoal.formats.bitfield import all_bits, iter_bits
from shoal.formats.metainfo import Metainfo
from shoal.units import format_size

MAX_LINES_SHOWN = 20  # a screen; --json has them all

Status = Literal["good", "damaged", "missing", "too long"]


@dataclass(frozen=True, slots=True)
class FileResult:
    path: str
    size: int
    status: Status
    pieces_good: int
    pieces_total: int


@dataclass(frozen=True, slots=True)
class Result:
    """What was found. `bad_pieces` are runs, each (first, last)."""

    name: str
    complete: bool
    pieces_good: int
    pieces_total: int
    bad_pieces: tuple[tuple[int, int], ...]
    files: tuple[FileResult, ...]


@click.command("verify")
@click.argument("torrent", type=options.PATH)
@click.option(
    "--dir", "folder", type=options.PATH, metavar="DIR", required=True, help="The folder that holds the data."
)
@options.json_option
@options.quiet_option
def command(torrent: Path, folder: Path, as_json: bool, quiet: bool) -> int:
    """Check the files in DIR against their torrent; the exit code is 0 only if all of it is there and right."""
    metainfo = load_metainfo(torrent)
    result = verify(metainfo, folder, quiet=quiet)
    if as_json:
        click.echo(json.dumps(asdict(result), indent=2, ensure_ascii=False))
    elif not quiet:
        click.echo(render(result, folder))
    return ExitCode.OK if result.complete else ExitCode.CHECKSUM


def verify(metainfo: Metainfo, folder: Path, *, quiet: bool) -> Result:
    """Hash everything that is there. Raises `NotFoundError` if the folder is not, `FileError`."""
    if not is_folder(folder):
        raise NotFoundError(f"{folder}: no such folder")
    layout = metainfo.layout
    with (
        closing(Storage(metainfo, folder, read_only=True)) as storage,
        Progress("checking", layout.total_size, quiet=quiet) as progress,
    ):
        good = check_pieces(metainfo, storage, all_bits(layout.piece_count), on_progress=progress.advance)
        files = tuple(file_results(metainfo, storage, good))
    return Result(
        name=metainfo.name,
        complete=good == all_bits(layout.piece_count) and all(file.status == "good" for file in files),
        pieces_good=good.bit_count(),
        pieces_total=layout.piece_count,
        bad_pieces=tuple(runs(all_bits(layout.piece_count) & ~good)),
        files=files,
    )


def file_results(metainfo: Metainfo, storage: Storage, good: int) -> Iterator[FileResult]:
    stamps = storage.stamps()
    too_long = frozenset(storage.too_long_files())
    for index, file in enumerate(metainfo.files):
        if not file.is_on_disk:
            continue
        bits = metainfo.layout.bits_of_files([index])
        status: Status = "good"
        if stamps[index] is None:
            status = "missing"
        elif bits & ~good:
            status = "damaged"
        elif index in too_long:
            status = "too long"
        path = "/".join(metainfo.disk_path(index))
        yield FileResult(path, file.size, status, (bits & good).bit_count(), bits.bit_count())


def runs(bits: int) -> Iterator[tuple[int, int]]:
    """0b1110001 -> (0, 0), (4, 6)"""
    first = last = None
    for piece in iter_bits(bits):
        if last is not None and first is not None and piece != last + 1:
            yield first, last
            first = None
        first = piece if first is None else first
        last = piece
    if first is not None and last is not None:
        yield first, last


# ---- for people


def render(result: Result, folder: Path) -> str:
    """One line if all is well; else what is not, and what to make of it."""
    name = printable(result.name)
    if result.complete:
        size = format_size(sum(file.size for file in result.files))
        return f"{name} is complete: {counted(len(result.files), 'file')}, {size}, every piece checked"
    bad_files = [
        f"  {file.status:8}  {printable(file.path)}  ({good_of(file.pieces_good, file.pieces_total)})"
        for file in result.files
        if file.status != "good"
    ]
    lines = [
        f"{name} is not complete: {good_of(result.pieces_good, result.pieces_total)}",
        *first_of_many(bad_files, MAX_LINES_SHOWN, "files"),
    ]
    if result.bad_pieces:
        shown = [str(first) if first == last else f"{first}-{last}" for first, last in result.bad_pieces]
        lines.append("bad pieces: " + ", ".join(first_of_many(shown, MAX_LINES_SHOWN, "runs")))
    if all(file.status == "missing" for file in result.files):
        lines.append(f"nothing of it is there: {folder} should be the folder that holds '{name}'")
    return "\n".join(lines)


def good_of(good: int, total: int) -> str:
    return f"{good:,} of {counted(total, 'piece')} good"
