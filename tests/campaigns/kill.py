"""Kill -9 a `get` at random moments, start the same command again, and see that nothing wrong is ever believed.

    python -m tests.campaigns.kill --rounds 50 --seed 7

One round is one torrent from the first byte to the last, with kills in between. After each kill:
- every piece that the state remembers hashes right on the disk, read by means of this module alone;
- what was whole on the disk is not fetched again, but for the little that one saving may lose.
In the end the files are compared byte by byte. A failure names the seed of its round, which can be played alone:
`--rounds 1 --seed THAT`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoal.formats.metainfo import Metainfo, parse_metainfo
from shoal.testing.build import Payload, build_torrent, write_payload
from shoal.units import KIB, MIB

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND = [sys.executable, "-P", "-m", "shoal"]
EAGER = """
from shoal.__main__ import main
from shoal.engine import engine, saving
engine.TICK = saving.SAVE_EVERY = 0.05
main()
"""  # saves so often that kills fall between the writing, the syncing and the recording of pieces
EAGER_COMMAND = [sys.executable, "-P", "-c", EAGER]
HOST = "127.0.0.1"
PATIENCE = 60.0  # seconds for anything that is waited for
MOST_KILLS = 6  # a round; then it may finish
MOST_LOST = 64 * MIB  # what a kill may cost in bytes that were here already
SIP = 32 * KIB  # what the proxy passes on at a time


class InvariantError(AssertionError):
    """Something wrong was believed, or too much was lost."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of torrent, and how fast it may come."""

    name: str
    sizes: tuple[int, ...]  # of its files; one is a single file
    piece_length: int
    rate: int  # bytes a second


KINDS = (
    Kind("one file", (6_000_001,), 64 * KIB, 4_000_000),
    Kind("many files", (1_000_000, 0, 70_001, 2_000_000, 1, 900_000), 256 * KIB, 3_000_000),
    Kind("pieces block by block", (70 * MIB + 5,), 32 * MIB, 80_000_000),
)


def make_contents(kind: Kind, rng: random.Random) -> Payload:
    if len(kind.sizes) == 1:
        return rng.randbytes(kind.sizes[0])
    return {f"sub{number % 2}/file{number}": rng.randbytes(size) for number, size in enumerate(kind.sizes)}


class ThrottledProxy:
    """Passes connections on to `target`, and what comes back at `rate` bytes a second; `passed` counts it."""

    def __init__(self, target: tuple[str, int], rate: int) -> None:
        self._target = target
        self._rate = rate
        self._listener = socket.create_server((HOST, 0))
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self.passed = 0
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> ThrottledProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # the end
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                for pump in (
                    threading.Thread(target=self._pump, args=(near, far, False), daemon=True),
                    threading.Thread(target=self._pump, args=(far, near, True), daemon=True),
                ):
                    self._threads.append(pump)
                    pump.start()

    def _pump(self, source: socket.socket, sink: socket.socket, is_throttled: bool) -> None:
        began_at, done = time.monotonic(), 0
        with suppress(OSError):
            while data := source.recv(SIP):
                sink.sendall(data)
                if is_throttled:
                    self.passed += len(data)
                    done += len(data)
                    time.sleep(max(0.0, began_at + done / self._rate - time.monotonic()))
        for sock in (source, sink):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        source.close()


# What the state claims, read without the product's own code


def remembered_pieces(state_dir: Path) -> int:
    """The pieces that a killed `get` had on record; 0 if it had none yet."""
    for path in (state_dir / "torrents").glob("*.sqlite"):
        with closing(sqlite3.connect(path)) as database:
            try:
                row = database.execute("SELECT have FROM torrent").fetchone()
            except sqlite3.OperationalError:  # killed before there was a table
                return 0
        return int.from_bytes(row[0], "little") if row else 0
    return 0


def good_pieces(metainfo: Metainfo, folder: Path) -> int:
    """The pieces on the disk whose SHA-1 is right."""
    run = bytearray()
    for index, file in enumerate(metainfo.files):
        path = folder.joinpath(*metainfo.disk_path(index))
        data = path.read_bytes() if path.exists() else b""
        run += data[: file.size].ljust(file.size, b"\0")
    good = 0
    for piece in range(metainfo.layout.piece_count):
        start = piece * metainfo.piece_length
        if hashlib.sha1(run[start : start + metainfo.piece_length]).digest() == metainfo.piece_hash(piece):
            good |= 1 << piece
    return good


# A round


class Round:
    """One torrent, fetched by one command line through kills until it is there."""

    def __init__(self, seed: int, folder: Path, most_kills: int = MOST_KILLS) -> None:
        self.seed = seed
        self.folder = folder
        self.most_kills = most_kills
        self.kills = 0
        self.believed = 0  # pieces on record after the latest kill
        self.rng = random.Random(seed)
        self.kind = KINDS[seed % len(KINDS)]
        payload = make_contents(self.kind, self.rng)
        data = build_torrent(payload, piece_length=self.kind.piece_length)
        self.metainfo = parse_metainfo(data)
        self.missing = self.metainfo.layout.total_size  # bytes that are not whole pieces on the disk yet
        (folder / "t.torrent").write_bytes(data)
        (folder / "seed").mkdir()
        write_payload(folder / "seed", payload)

    def play(self) -> str:
        """A line about how it went. Raises `InvariantError`."""
        started_at = time.monotonic()
        with self._seed() as address, ThrottledProxy(address, self.kind.rate) as proxy:
            while not self._get(proxy):
                self._check_after_kill()
        self._compare()
        seconds = time.monotonic() - started_at
        believed = f"{self.believed.bit_count()} of {self.metainfo.layout.piece_count} pieces"
        return (
            f"seed {self.seed}: {self.kind.name}, {self.kills} kills, "
            f"{believed} on record after the last, {seconds:.1f} s, right"
        )

    @contextmanager
    def _seed(self) -> Iterator[tuple[str, int]]:
        command = [*COMMAND, "seed", "t.torrent", "--dir", "seed", "--bind", HOST, "--port", "0"]
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=self._environment("seeds"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            try:
                yield HOST, int(line.rpartition(":")[2])
            finally:
                process.terminate()

    def _get(self, proxy: ThrottledProxy) -> bool:
        """Run the command until it is done (True) or killed (False)."""
        host, port = proxy.address
        command = [
            *EAGER_COMMAND,
            "get",
            "t.torrent",
            "--dir",
            "get",
            "--bind",
            HOST,
            "--port",
            "0",
            "--json",
        ]
        with subprocess.Popen(
            [*command, "--peer", f"{host}:{port}"],
            cwd=self.folder,
            env=self._environment("state"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                if self.kills < self.most_kills and self._kill_in_the_middle(process, proxy):
                    return False
                out, err = process.communicate(timeout=PATIENCE)
            finally:
                process.kill()
        if process.returncode != 0:
            raise InvariantError(f"the same command ended with {process.returncode}: {err}")
        self._check_fetched(json.loads(out.splitlines()[-1]))
        return True

    def _kill_in_the_middle(self, process: subprocess.Popen[str], proxy: ThrottledProxy) -> bool:
        """Kill once some more bytes have come; False if it was done before that."""
        goal = proxy.passed + self.rng.randrange(sum(self.kind.sizes) // 2)
        deadline = time.monotonic() + PATIENCE
        while proxy.passed < goal or not self._has_record():
            if process.poll() is not None:
                return False
            if time.monotonic() > deadline:
                raise InvariantError(f"only {proxy.passed} bytes had come after {PATIENCE} s")
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
        self.kills += 1
        return True

    def _has_record(self) -> bool:
        """A kill before anything is on record shows little: all but the first wait for that."""
        is_first = self.kills == 0 and self.most_kills > 1
        if is_first or self.metainfo.layout.piece_count < 4:
            return True
        with (
            tempfile.TemporaryDirectory() as folder
        ):  # who reads the file itself would be in the way of its writer
            try:
                shutil.copytree(self.folder / "state", folder, dirs_exist_ok=True)
                return bool(remembered_pieces(Path(folder)))
            except (OSError, sqlite3.DatabaseError):  # it was being written
                return False

    def _check_after_kill(self) -> None:
        self.believed = remembered_pieces(self.folder / "state")
        good = good_pieces(self.metainfo, self.folder / "get")
        if wrong := self.believed & ~good:
            raise InvariantError(f"the state believes pieces {wrong:#b} that are wrong on the disk")
        layout = self.metainfo.layout
        self.missing = sum(
            layout.piece_size(piece) for piece in range(layout.piece_count) if not good >> piece & 1
        )

    def _check_fetched(self, last: dict[str, Any]) -> None:
        fetched = sum(source["bytes"] for source in last["sources"])
        if fetched > self.missing + MOST_LOST:
            raise InvariantError(f"{fetched} bytes were fetched where {self.missing} were missing")

    def _compare(self) -> None:
        for index, file in enumerate(self.metainfo.files):
            names = self.metainfo.disk_path(index)
            if not file.is_padding:
                seeded, got = (self.folder.joinpath(who, *names).read_bytes() for who in ("seed", "get"))
                if seeded != got:
                    raise InvariantError(f"{'/'.join(names)} came out wrong")

    def _environment(self, state: str) -> dict[str, str]:
        source = {"PYTHONPATH": str(ROOT / "src"), "SHOAL_STATE_DIR": str(self.folder / state)}
        return {**os.environ, **source}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0, help="of the first round; the others follow")
    arguments = parser.parse_args()
    for seed in range(arguments.seed, arguments.seed + arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            try:
                print(Round(seed, Path(folder)).play(), flush=True)
            except InvariantError as error:
                print(f"seed {seed}: {error}", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
