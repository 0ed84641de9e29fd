"""`shoal inspect`: what is in a torrent file or a magnet link.

`describe` and `describe_magnet` make the JSON, whose keys are a contract; the text for people is made of the same.
Sizes and files are without padding, paths are already safe.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

import click

from shoal.cli import options
from shoal.cli.text import aligned, counted, first_of_many, printable
from shoal.cli.torrent_files import load_metainfo
from shoal.formats.magnet import Magnet, encode_magnet, magnet_of, parse_magnet
from shoal.formats.metainfo import Metainfo
from shoal.units import format_size

MAX_FILES_SHOWN = 20  # a screen; --json has them all


class FileEntry(TypedDict):
    path: str
    size: int


class Description(TypedDict):
    """The JSON of a torrent. What a magnet link cannot know is null, and its list of files empty."""

    name: str
    info_hash_v1: str | None
    info_hash_v2: str | None
    total_size: int | None
    piece_length: int | None
    piece_count: int | None
    files: list[FileEntry]
    trackers: list[list[str]]
    web_seeds: list[str]
    private: bool
    comment: str
    created_by: str
    creation_date: int | None
    magnet: str


@click.command("inspect")
@click.argument("torrent", metavar="TORRENT|MAGNET")
@options.json_option
def command(torrent: str, as_json: bool) -> None:
    """Show what is in a torrent file or a magnet link."""
    if torrent[:7].lower() == "magnet:":
        description = describe_magnet(parse_magnet(torrent))
    else:
        description = describe(load_metainfo(Path(torrent)))
    click.echo(json.dumps(description, indent=2, ensure_ascii=False) if as_json else render(description))


def describe(metainfo: Metainfo) -> Description:
    return Description(
        name=metainfo.name,
        info_hash_v1=_hex(metainfo.info_hash_v1),
        info_hash_v2=_hex(metainfo.info_hash_v2),
        total_size=metainfo.payload_size,
        piece_length=metainfo.piece_length,
        piece_count=metainfo.layout.piece_count,
        files=[
            FileEntry(path="/".join(file.path), size=file.size) for file in metainfo.files if file.is_on_disk
        ],
        trackers=[list(tier) for tier in metainfo.trackers],
        web_seeds=list(metainfo.web_seeds),
        private=metainfo.is_private,
        comment=metainfo.comment,
        created_by=metainfo.created_by,
        creation_date=metainfo.creation_date,
        magnet=magnet_of(metainfo),
    )


def describe_magnet(magnet: Magnet) -> Description:
    return Description(
        name=magnet.name,
        info_hash_v1=_hex(magnet.info_hash_v1),
        info_hash_v2=_hex(magnet.info_hash_v2),
        total_size=None,
        piece_length=None,
        piece_count=None,
        files=[],
        trackers=[[url] for url in magnet.trackers],
        web_seeds=list(magnet.web_seeds),
        private=False,
        comment="",
        created_by="",
        creation_date=None,
        magnet=encode_magnet(magnet),
    )


def _hex(info_hash: bytes | None) -> str | None:
    return None if info_hash is None else info_hash.hex()


# ---- for people


def render(torrent: Description) -> str:
    """The description as aligned text; what is empty is left out."""
    rows = [*_identity_rows(torrent), *_origin_rows(torrent)]
    lines = aligned([(label, printable(value)) for label, value in rows if value])
    return "\n".join([*lines, *_file_lines(torrent["files"])])


def _identity_rows(torrent: Description) -> list[tuple[str, str]]:
    return [
        ("name", torrent["name"]),
        ("size", _size_of(torrent)),
        ("pieces", _pieces_of(torrent)),
        ("info hash v1", torrent["info_hash_v1"] or ""),
        ("info hash v2", torrent["info_hash_v2"] or ""),
    ]


def _origin_rows(torrent: Description) -> list[tuple[str, str]]:
    trackers = [
        (f"tracker, tier {number}" if len(torrent["trackers"]) > 1 else "tracker", url)
        for number, tier in enumerate(torrent["trackers"], 1)
        for url in tier
    ]
    return [
        *trackers,
        *(("web seed", url) for url in torrent["web_seeds"]),
        ("private", "yes: peers come from its trackers alone" if torrent["private"] else ""),
        ("comment", torrent["comment"]),
        ("created by", torrent["created_by"]),
        ("created", _date_of(torrent["creation_date"])),
        ("magnet", torrent["magnet"]),
    ]


def _size_of(torrent: Description) -> str:
    size = torrent["total_size"]
    if size is None:
        return ""
    return f"{format_size(size)} ({size:,} bytes) in {counted(len(torrent['files']), 'file')}"


def _pieces_of(torrent: Description) -> str:
    if torrent["piece_count"] is None or torrent["piece_length"] is None:
        return ""
    return f"{torrent['piece_count']:,} of {format_size(torrent['piece_length'])}"


def _date_of(creation_date: int | None) -> str:
    if creation_date is None:
        return ""
    return datetime.fromtimestamp(creation_date, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _file_lines(files: list[FileEntry]) -> list[str]:
    """The files with their sizes, the sizes to the right."""
    sizes = [format_size(file["size"]) for file in files[: MAX_FILES_SHOWN + 1]]
    width = max(map(len, sizes), default=0)
    shown = [
        f"  {size:>{width}}  {printable(file['path'])}" for size, file in zip(sizes, files, strict=False)
    ]
    hidden = [""] * (len(files) - len(shown))
    return ["files", *first_of_many([*shown, *hidden], MAX_FILES_SHOWN, "files")] if files else []
