"""`shoal create` against the programs that make torrents: whole processes, one file in memory, 1 MiB pieces.

`./dev bench create [--size SIZE] [--rounds N] [--only TEXT]...`. What the contenders made is compared too: a fast
wrong answer is no answer.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bench.harness import (
    Contender,
    Run,
    argument,
    compile_ours,
    first_line_of,
    is_there,
    machine,
    make_payload,
    memory_folder,
    run_process,
    size_in_words,
    table,
    take_turns,
)
from shoal import __version__
from shoal.formats.metainfo import Metainfo, parse_metainfo
from shoal.units import MIB, parse_size

PIECE_LENGTH = 1 * MIB
PIECE_LENGTH_POWER = PIECE_LENGTH.bit_length() - 1

_LIBTORRENT = """
import sys
import libtorrent as lt
path, out, piece_length, kind = sys.argv[1:]
flags = lt.create_torrent.v1_only if kind == "v1" else 0
files = lt.list_files(path)
torrent = lt.create_torrent(files, int(piece_length), flags)
lt.set_piece_hashes(torrent, path.rpartition("/")[0])
with open(out, "wb") as file:
    file.write(lt.bencode(torrent.generate()))
"""

Command = list[str | Path]
MakeCommand = Callable[[Path, Path], Command]  # (payload, torrent to write) -> command


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="dev bench create", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--size", type=argument(parse_size), default=parse_size("1GiB"), help="of the payload (1GiB)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="that count, after one that does not (5)")
    parser.add_argument(
        "--only", action="append", metavar="TEXT", help="those whose names hold a TEXT, like v1"
    )
    chosen = parser.parse_args(argv)
    compile_ours()
    print(f"{machine()}; shoal {__version__}; {size_in_words(chosen.size)} in pieces of 1 MiB")
    with memory_folder() as folder:
        measure(Path(folder), chosen.size, chosen.rounds, chosen.only or [""])
    return 0


def measure(folder: Path, size: int, rounds: int, only: Sequence[str]) -> None:
    payload = folder / "payload.bin"
    make_payload(payload, size)
    everyone = _others() | _ours()
    commands = {name: make for name, make in everyone.items() if any(text in name for text in only)}
    contenders = [
        Contender(name, partial(_create, make, payload, _torrent(folder, name)), _rival(name))
        for name, make in commands.items()
    ]
    runs = take_turns(contenders, rounds)
    print(table(contenders, runs, size=size))
    _compare({name: parse_metainfo(_torrent(folder, name).read_bytes(), source=name) for name in commands})


def _ours() -> dict[str, MakeCommand]:
    def make(kind: str) -> MakeCommand:
        options = ["--piece-length", str(PIECE_LENGTH), "--format", kind]
        return lambda payload, out: [sys.executable, "-m", "shoal", "create", payload, *options, "-o", out]

    return {"shoal v1": make("v1"), "shoal hybrid": make("hybrid")}


def _others() -> dict[str, MakeCommand]:
    """Those that are installed; the absent are said."""
    found: dict[str, MakeCommand] = {}
    if is_there("mktorrent"):
        print(first_line_of(["mktorrent", "-h"]))
        found["mktorrent v1"] = _mktorrent
    if is_there("transmission-create"):
        print(first_line_of(["transmission-create", "--version"]))
        found["transmission-create v1"] = _transmission
    libtorrent = first_line_of([sys.executable, "-c", "import libtorrent; print(libtorrent.__version__)"])
    if libtorrent[0].isdigit():
        print(f"libtorrent {libtorrent}")
        found |= {f"libtorrent {kind}": _libtorrent(kind) for kind in ("v1", "hybrid")}
    else:
        print("absent: libtorrent (pip install libtorrent)")
    return found


def _mktorrent(payload: Path, out: Path) -> Command:
    announce = "http://tracker.invalid/announce"  # it insists on one
    return ["mktorrent", "-t", "2", "-l", str(PIECE_LENGTH_POWER), "-a", announce, "-o", out, payload]


def _transmission(payload: Path, out: Path) -> Command:
    return ["transmission-create", "-s", str(PIECE_LENGTH // 1024), "-o", out, payload]


def _libtorrent(kind: str) -> MakeCommand:
    return lambda payload, out: [sys.executable, "-c", _LIBTORRENT, payload, out, str(PIECE_LENGTH), kind]


def _rival(name: str) -> str:
    return {"shoal v1": "mktorrent v1", "shoal hybrid": "libtorrent hybrid"}.get(name, "")


def _torrent(folder: Path, name: str) -> Path:
    return folder / f"{name.replace(' ', '-')}.torrent"


def _create(make: MakeCommand, payload: Path, out: Path) -> Run:
    out.unlink(missing_ok=True)  # nobody overwrites unasked
    return run_process(make(payload, out))


def _compare(made: dict[str, Metainfo]) -> None:
    """Say whether all contenders found the same hashes."""
    v1 = {metainfo.piece_hashes for metainfo in made.values()}
    v2 = {metainfo.files[0].pieces_root for metainfo in made.values() if metainfo.info_hash_v2}
    agree = len(v1) == 1 and len(v2) <= 1
    print("all found the same hashes" if agree else "THE CONTENDERS DISAGREE ON THE HASHES")


if __name__ == "__main__":
    sys.exit(main())
