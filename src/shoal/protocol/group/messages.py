"""The values that members of a group exchange: what is said in the meeting, and what is said in a pool.

Always true of one that was parsed: info hashes, keys, digests and signatures have their lengths, numbers are in
range, tuples and mappings within the limits below, and a refusal's reason is safe to print. Nobody behind
the codecs checks again. What only the pool can know, such as how many pieces there are, is not checked here.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct, field

from shoal.units import KIB

MEETING = "shoal_meet"  # the extension's name in the meeting, where members find and ask each other ...
POOL = "shoal_pool"  # ... and in the swarm of one URL

HASH_LENGTH = 20  # of an info hash
KEY_LENGTH = 32  # of an Ed25519 public key
DIGEST_LENGTH = 32  # of a SHA-256
SIGNATURE_LENGTH = 64  # of Ed25519
TAG_LENGTH = 16  # of an origin's tag

MAX_URL_LENGTH = 8 * KIB  # bytes; servers refuse request lines of that length
MAX_VALIDATOR_LENGTH = 600  # characters; an ETag of the longest kind that we take, and its kind
MAX_REASON_LENGTH = 300  # characters; a line for people
MAX_POOLS = 256  # that one member is in at once
MAX_ORIGINS = 256  # that one member is connected to at once
MAX_CONNECTIONS = 65_535  # to one origin; there are no more ports
MAX_RUNS = 64  # a message; 16 are honest, and whoever hears more decides what that means
MAX_RECORDS = 1_000  # a message of 132 kB, which a line of 1 MB/s is busy with for an eighth of a second
MAX_PIECE = (1 << 32) - 1  # what BEP 3 can name
MAX_BYTES = 1 << 50  # a length, or bytes a second: a PiB
MAX_PAUSE = 86_400  # seconds; who hears of it waits for a minute at most


class ValidatorKind(enum.Enum):
    """By what the versions of a file are told apart."""

    ETAG = "etag"
    MODIFIED = "modified"  # Last-Modified, in Unix seconds
    DIGEST = "digest"  # of the whole file, known beforehand


class Presence(Struct, frozen=True):
    """What a member is and does now; replaces its last one."""

    is_helper: bool = False
    pools: tuple[bytes, ...] = ()  # info hashes
    origins: Mapping[bytes, int] = field(default_factory=dict)  # tag -> connections


class AskHelp(Struct, frozen=True):
    """A requester to a helper: fetch this URL with us, in the pool of this info hash."""

    info_hash: bytes
    url: str
    length: int
    validator: str
    validator_kind: ValidatorKind
    only_kept: bool = False  # give what you have of it; the origin is not to be asked


class Kept(Struct, frozen=True):
    """The answer to a question for what is kept: some of it is, and `Helping` follows; or nothing is."""

    info_hash: bytes
    is_any: bool


class Helping(Struct, frozen=True):
    """The helper is in that pool now: dial it."""

    info_hash: bytes


class Dismiss(Struct, frozen=True):
    """A requester to a helper: the origin need not be asked for us any more; what is fetched is taken."""

    info_hash: bytes


class Refused(Struct, frozen=True):
    """The helper does not do it."""

    info_hash: bytes
    reason: str


class Pause(Struct, frozen=True):
    """This origin asked the sender to wait."""

    origin: bytes  # its tag
    seconds: int


class Claims(Struct, frozen=True):
    """All that the sender fetches from the origin now; replaces its last one."""

    runs: tuple[tuple[int, int], ...] = ()  # (first piece, count)
    rate: int = 0  # bytes a second


class Lost(Struct, frozen=True):
    """These pieces are not here after all, though the sender told of them."""

    runs: tuple[tuple[int, int], ...] = ()  # (first piece, count)


class PieceRecord(Struct, frozen=True, gc=False):
    """`author` fetched this piece from the origin, and its SHA-256 is this."""

    piece: int
    author: bytes
    digest: bytes
    signature: bytes


class Records(Struct, frozen=True):
    """Records of any authors, the sender's own or not."""

    records: tuple[PieceRecord, ...] = ()


class Accuse(Struct, frozen=True):
    """An audit of the sender found the block of `author` at `begin` of `piece` false."""

    author: bytes
    piece: int
    begin: int


MeetingMessage: TypeAlias = Presence | AskHelp | Kept | Helping | Dismiss | Refused | Pause
PoolMessage: TypeAlias = Claims | Lost | Records | Accuse
