"""Kill -9 a process that fills a part file at random moments, and see that no byte is believed that is not there.

    python -m tests.campaigns.kill_part --rounds 50 --seed 7

One round is one file from its first byte to its final name: threads write it in random order, another remembers, with
kills in between, and now and then the file at the source is another one. After each kill:
- every piece on record has the right bytes on the disk, read by means of this module alone;
- what the process was told to be remembered is on record;
- the final name is not there, or the file is whole.
The next process believes what is on record. In the end the file is compared byte by byte. A failure names the seed of
its round, which can be played alone: `--rounds 1 --seed THAT`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from shoal.units import KIB

from .kill import ROOT, InvariantError

PIECE = 64 * KIB
LENGTH = 96 * PIECE + 777
PIECES = 97
MOST_KILLS = 8  # a round; then it may finish
CHANCE_OF_CHANGE = 0.15  # after a kill, that the source has another file

WRITER = """
import random, sys, threading, time
from pathlib import Path
from shoal.disk.part_file import PartFile
folder, version, length, piece, seed = Path(sys.argv[1]), *map(int, sys.argv[2:])
data = random.Random(version).randbytes(length)
print("opening", flush=True)
part = PartFile.open(folder, "file", b"version %d" % version, length, piece_length=piece)
print("believed", part.have_bits, flush=True)
count = -(-length // piece)
todo = [number for number in range(count) if not part.have_bits >> number & 1]
random.Random(seed).shuffle(todo)
is_done = threading.Event()
room = threading.Semaphore(4)  # pieces that are not remembered yet: however slow the disk is, it is asked often

def write(numbers):
    for number in numbers:
        room.acquire()
        for begin in range(number * piece, min(length, (number + 1) * piece), 16384):
            part.write(begin, data[begin : min(begin + 16384, (number + 1) * piece)])
            time.sleep(0.002)
        part.on_piece(number)

def remember():
    before = part.have_bits
    while not is_done.wait(0.005):
        have = part.have_bits
        part.remember()
        if have != before:
            print("remembered", have, flush=True)
            room.release((have & ~before).bit_count())
            before = have

writers = [threading.Thread(target=write, args=(todo[n::3],)) for n in range(3)]
remembering = threading.Thread(target=remember)
for thread in (*writers, remembering):
    thread.start()
for thread in writers:
    thread.join()
is_done.set()
remembering.join()
print("finishing", flush=True)
part.finish(mtime=1e9)
print("finished", flush=True)
"""


@dataclass
class Round:
    seed: int
    folder: Path
    most_kills: int = MOST_KILLS
    kills: int = 0
    resumed: int = 0  # times that a process went on with something
    _told: int = 0  # pieces that the last process knew to be remembered
    _on_record: int = 0  # after the last kill
    _rng: random.Random = field(init=False)
    _version: int = field(init=False)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self._version = self.seed * 1000

    def play(self) -> str:
        """A line about how it went. Raises `InvariantError`."""
        while not self._run():
            self._check_after_kill()
            if (self.folder / "file").exists():  # killed just after the end
                break
            if self._rng.random() < CHANCE_OF_CHANGE:
                self._version += 1
                self._told = self._on_record = 0
        if (self.folder / "file").read_bytes() != self._contents():
            raise InvariantError("the file came out wrong")
        return f"seed {self.seed}: {self.kills} kills, went on {self.resumed} times, right"

    def _contents(self) -> bytes:
        return random.Random(self._version).randbytes(LENGTH)

    def _run(self) -> bool:
        """Let a process write until it is done (True) or killed (False)."""
        facts = (self._version, LENGTH, PIECE, self._rng.randrange(1 << 30))
        with subprocess.Popen(
            [sys.executable, "-P", "-c", WRITER, self.folder, *map(str, facts)],
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            most_lines = self._rng.randrange(1, 25) if self.kills < self.most_kills else 1 << 30
            for number, line in enumerate(process.stdout, 1):
                self._take(line)
                if number == most_lines:
                    time.sleep(self._rng.random() * 0.02)  # the moment is random, nothing is awaited
                    process.send_signal(signal.SIGKILL)
                    break
            for line in process.stdout:
                self._take(line)
            complaint = process.stderr.read()
        if process.returncode not in (0, -signal.SIGKILL):
            raise InvariantError(f"the writer ended with {process.returncode}: {complaint}")
        self.kills += process.returncode != 0
        return process.returncode == 0

    def _take(self, line: str) -> None:
        word, _, value = line.strip().partition(" ")
        if word == "believed":
            if int(value) != self._on_record:
                raise InvariantError(f"{int(value):#x} was believed where {self._on_record:#x} was on record")
            self.resumed += bool(int(value))
        elif word == "remembered":
            self._told = int(value)

    def _check_after_kill(self) -> None:
        if (self.folder / "file").exists():
            return  # compared at the end
        self._on_record = recorded_pieces(self.folder / "file.part.shoal", self._version)
        if lost := self._told & ~self._on_record:
            raise InvariantError(f"pieces {lost:#x} were remembered and are not on record")
        if wrong := self._on_record & ~self._good_pieces():
            raise InvariantError(f"the record believes pieces {wrong:#x} that are wrong on the disk")

    def _good_pieces(self) -> int:
        found, right = (self.folder / "file.part").read_bytes(), self._contents()
        starts = range(0, LENGTH, PIECE)
        return sum(1 << n for n, at in enumerate(starts) if found[at : at + PIECE] == right[at : at + PIECE])


def recorded_pieces(path: Path, version: int) -> int:
    """What is on record, read without the product's own code; 0 if nothing is, or it is of another version."""
    data = path.read_bytes() if path.exists() else b""
    key = hashlib.sha256(b"%d %d version %d" % (LENGTH, PIECE, version)).digest()
    room, have_length = 4096, (PIECES + 7) // 8
    newest = (0, 0)
    for at in (room, 2 * room):
        end = at + 64 + 2 * have_length + 4 * PIECES  # what is here, and what the URL itself gave
        if data[end : end + 32] == hashlib.sha256(data[at:end]).digest() and data[at + 8 : at + 40] == key:
            have = int.from_bytes(data[at + 64 : at + 64 + have_length], "little")
            newest = max(newest, (struct.unpack_from("<Q", data, at + 40)[0], have))
    return newest[1]


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
