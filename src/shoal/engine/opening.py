"""Find out what is there of a torrent before it runs: state, existing files, what may be touched.

All of it blocks, so it runs in a thread; `stop` ends a long check. What comes out is everything a `Torrent` needs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from shoal.disk.check import check_pieces, foreign_files, trusted_bits
from shoal.disk.state import Remembered, TorrentState, state_dir
from shoal.disk.storage import Storage
from shoal.errors import ExistsError, UsageError
from shoal.formats.metainfo import Metainfo

OnProgress = Callable[[int, int], None]  # bytes checked, bytes to check


@dataclass(frozen=True, slots=True)
class Opened:
    storage: Storage
    state: TorrentState
    remembered: Remembered | None
    have: int
    wanted: int
    too_long: tuple[Path, ...]  # files with bytes past their end in the torrent; left as they are


def open_torrent(
    metainfo: Metainfo,
    root: Path,
    *,
    wanted_files: Collection[int] | None = None,
    overwrite: bool = False,
    read_only: bool = False,
    have: int | None = None,
    on_progress: OnProgress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Opened:
    """Lock, look, check. Raises `ExistsError` for another process at work or files that are not ours to touch."""
    if metainfo.info_hash_v1 is None:
        raise UsageError(
            f"{metainfo.name}: a v2-only torrent, and v2 is not spoken on the wire yet",
            hint="a hybrid torrent works with every client",
        )
    if not read_only:
        root.mkdir(parents=True, exist_ok=True)
    folder = state_dir()
    state = TorrentState.open(folder, metainfo.wire_hash, root)
    try:
        parts = state.path.with_suffix(".parts")
        storage = Storage(
            metainfo,
            root,
            wanted_files=wanted_files,
            parts_path=parts if wanted_files is not None else None,
            read_only=read_only,
        )
        remembered = state.load()
        doubtful = 0
        if have is None:
            have, doubtful = trusted_bits(metainfo, storage, remembered)
        if doubtful:
            total = metainfo.layout.piece_length * doubtful.bit_count()
            have |= check_pieces(
                metainfo,
                storage,
                doubtful,
                on_progress=(lambda done: on_progress(min(done, total), total)) if on_progress else None,
                should_stop=should_stop,
            )
        if not read_only:
            if not overwrite:
                _refuse_foreign(metainfo, storage, remembered, have)
            storage.create_empty_files()
    except BaseException:
        state.close()
        raise
    layout = metainfo.layout
    wanted = 0 if read_only else layout.bits_of_files(wanted_files or range(len(metainfo.files)))
    too_long = tuple(storage.shown_path(index) for index in storage.too_long_files())
    return Opened(storage, state, remembered, have, wanted, too_long)


def _refuse_foreign(metainfo: Metainfo, storage: Storage, remembered: Remembered | None, have: int) -> None:
    in_the_way = foreign_files(metainfo, storage, remembered, have)
    if in_the_way:
        others = f" (and {len(in_the_way) - 1} more)" if len(in_the_way) > 1 else ""
        raise ExistsError(
            f"{storage.shown_path(in_the_way[0])}{others} is there already and is not part of this torrent",
            hint="--overwrite replaces it; --dir names another folder",
        )
