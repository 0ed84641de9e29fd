"""`shoal create`: make a torrent of a file or a folder.

Always true: the same input gives the same bytes; nothing is overwritten unasked; what can be refused is refused
before anything is hashed. `make_torrent` is the command without its file, for whoever wants the bytes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import click

from shoal.cli import options
from shoal.cli.progress import Progress
from shoal.cli.text import aligned, counted, printable
from shoal.disk.hashing import hash_files
from shoal.disk.new_file import refuse_existing, write_whole
from shoal.disk.parallel import ShouldStop
from shoal.disk.walk import Payload, find_payload
from shoal.errors import UnfinishedError, UsageError
from shoal.formats.layout import BLOCK_LENGTH
from shoal.formats.metainfo import (
    MAX_CREATION_DATE,
    MAX_PIECE_COUNT,
    MAX_PIECE_LENGTH,
    Metainfo,
    parse_metainfo,
)
from shoal.formats.metainfo_build import (
    CREATED_BY,
    FileTree,
    Format,
    arrange_files,
    build_metainfo,
    choose_piece_length,
)
from shoal.units import format_size


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a torrent shall be made; what is not said is chosen."""

    format: Format = "v1"
    piece_length: int | None = None
    trackers: tuple[str, ...] = ()  # each a tier of its own: the next is asked when one fails
    web_seeds: tuple[str, ...] = ()
    is_private: bool = False
    comment: str = ""
    creation_date: int | None = None


def parse_date(text: str) -> int:
    """`"now"`, `"1700000000"`, `"2026-01-31"`, `"2026-01-31T12:00:00+01:00"` -> Unix time."""
    try:
        date = (
            int(time.time())
            if text == "now"
            else int(text)
            if text.isascii() and text.isdecimal()
            else int(_as_utc(datetime.fromisoformat(text)).timestamp())
        )
    except ValueError:
        date = -1
    if not 0 <= date <= MAX_CREATION_DATE:
        raise UsageError(f"'{text}' is not a date", hint="write now, 2026-01-31, or seconds since 1970")
    return date


def _as_utc(date: datetime) -> datetime:
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def parse_piece_length(text: str) -> int:
    """A size that pieces can have. Raises `UsageError`."""
    length = options.SIZE(text)
    if length & (length - 1) or not BLOCK_LENGTH <= length <= MAX_PIECE_LENGTH:
        raise UsageError(
            f"'{text}' is not a piece length",
            hint=f"a power of two from {format_size(BLOCK_LENGTH)} to {format_size(MAX_PIECE_LENGTH)}",
        )
    return length


@click.command("create")
@click.argument("path", type=options.PATH)
@click.option(
    "-o", "--output", type=options.PATH, metavar="FILE", help="Write here. Without it: NAME.torrent."
)
@click.option("--overwrite", is_flag=True, help="Replace FILE if it is there.")
@click.option(
    "--tracker",
    "trackers",
    type=options.TRACKER_URL,
    metavar="URL",
    multiple=True,
    help="A tracker; may be given several times, the next is asked when one fails. Without a path: /announce.",
)
@click.option(
    "--web-seed",
    "web_seeds",
    type=options.WEB_SEED_URL,
    metavar="URL",
    multiple=True,
    help="A web server that has the same files; may be given several times.",
)
@click.option(
    "--piece-length",
    type=parse_piece_length,
    metavar="SIZE",
    help="A power of two, 16KiB or more. Without it: about 1000 to 2000 pieces, of 16 MiB at most.",
)
@click.option("--private", "is_private", is_flag=True, help="Peers are to come from its trackers alone.")
@click.option("--comment", metavar="TEXT", default="", help="A remark for those who look into it.")
@click.option("--name", metavar="NAME", help="What the file or folder is called there. Without it: as here.")
@click.option(
    "--exclude",
    "excludes",
    metavar="GLOB",
    multiple=True,
    help="Leave out files and folders of that name or path; may be given several times.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["v1", "v2", "hybrid"]),
    default="v1",
    show_default=True,
    help="The kind of hashes; hybrid has both.",
)
@click.option(
    "--date", type=parse_date, metavar="DATE", help="Note a creation date: now, or like 2026-01-31."
)
@options.quiet_option
def command(
    path: Path,
    output: Path | None,
    overwrite: bool,
    trackers: tuple[str, ...],
    web_seeds: tuple[str, ...],
    piece_length: int | None,
    is_private: bool,
    comment: str,
    name: str | None,
    excludes: tuple[str, ...],
    format_: Format,
    date: int | None,
    quiet: bool,
) -> None:
    """Make a torrent of a file or a folder. The same input gives the same bytes."""
    wishes = Wishes(format_, piece_length, trackers, web_seeds, is_private, comment, date)
    payload = find_named_payload(path, name, excludes)
    target = output or Path(f"{payload.name}.torrent")
    if not overwrite:
        refuse_existing(target)
    torrent = make_torrent(payload, wishes, quiet=quiet)
    write_whole(target, torrent, overwrite=overwrite)
    if not quiet:
        click.echo(render(parse_metainfo(torrent), target, path))


def find_named_payload(path: Path, name: str | None, excludes: Sequence[str]) -> Payload:
    """The files at `path`, under another name if one is given; says on stderr what is left out."""
    payload = find_payload(
        path, excludes=excludes, on_warning=lambda text: click.echo(f"shoal: {printable(text)}", err=True)
    )
    if not name:
        return payload
    if "/" in name or name in (".", ".."):
        raise UsageError(f"--name '{name}' is a path", hint="give one name, without a folder")
    if payload.is_single_file:
        return replace(payload, name=name, files=(replace(payload.files[0], names=(name,)),))
    return replace(payload, name=name)


def make_torrent(
    payload: Payload, wishes: Wishes, *, quiet: bool = False, should_stop: ShouldStop | None = None
) -> bytes:
    """Hash the payload on all cores; the bytes of its torrent. Raises `ShoalError`."""
    piece_length = wishes.piece_length or choose_piece_length(payload.total_size)
    files = [(file.names, file.size) for file in payload.files]
    refuse_impossible(payload, files, piece_length, wishes.format)
    with Progress("hashing", payload.total_size, quiet=quiet) as progress:
        hashes = hash_files(
            payload.files,
            piece_length,
            v1=wishes.format != "v2",
            v2=wishes.format != "v1",
            on_progress=progress.advance,
            should_stop=should_stop,
        )
    if hashes is None:
        raise UnfinishedError(f"{payload.name}: hashing was stopped")
    trees = {
        file.names: FileTree(tree.pieces_root, tree.piece_layer)
        for file, tree in zip(payload.files, hashes.file_trees, strict=wishes.format != "v1")
    }
    return build_metainfo(
        payload.name,
        files,
        piece_length,
        format=wishes.format,
        is_single_file=payload.is_single_file,
        piece_hashes=hashes.piece_hashes,
        file_trees=trees,
        trackers=[(url,) for url in wishes.trackers],
        web_seeds=wishes.web_seeds,
        private=wishes.is_private,
        comment=wishes.comment,
        created_by=CREATED_BY,
        creation_date=wishes.creation_date,
    )


def refuse_impossible(
    payload: Payload, files: Sequence[tuple[tuple[str, ...], int]], piece_length: int, format_: Format
) -> None:
    """Raise now what `build_metainfo` would raise after an hour of hashing: names, and the count of pieces."""
    arrange_files([((payload.name,), 0)], piece_length, "v1")
    arranged = arrange_files(files, piece_length, format_)
    piece_count = -(-sum(entry.size for entry in arranged) // piece_length)
    if piece_count > MAX_PIECE_COUNT:
        raise UsageError(
            f"{piece_count:,} pieces, where {MAX_PIECE_COUNT:,} is the limit",
            hint="ask for a longer --piece-length",
        )


def render(metainfo: Metainfo, target: Path, path: Path) -> str:
    """What was made, and the command that serves it."""
    count = counted(sum(file.is_on_disk for file in metainfo.files), "file")
    pieces = counted(metainfo.layout.piece_count, "piece")
    rows = [
        ("created", printable(str(target))),
        (
            "content",
            f"{count}, {format_size(metainfo.payload_size)}, {pieces} of {format_size(metainfo.piece_length)}",
        ),
    ]
    if metainfo.info_hash_v1 is not None:
        rows.append(("info hash v1", metainfo.info_hash_v1.hex()))
    if metainfo.info_hash_v2 is not None:
        rows.append(("info hash v2", metainfo.info_hash_v2.hex()))
    return "\n".join(aligned(rows))
