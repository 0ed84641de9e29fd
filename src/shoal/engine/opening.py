"""Find out what is there of a torrent before it runs: state, existing files, what may be touched.

All of it blocks, so it runs in a thread; `should_stop` ends a long check, and then nothing is concluded from the
part that was looked at. What comes out is everything a `Torrent` needs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from shoal.disk.check import check_pieces, claimed, foreign_files, trusted_bits
from shoal.disk.faults import file_fault
from shoal.disk.state import Remembered, TorrentState, state_dir
from shoal.disk.storage import Stamp, Storage
from shoal.errors import ExistsError, UnfinishedError, UsageError
from shoal.formats.metainfo import Metainfo

OnProgress = Callable[[int, int], None]  # bytes checked, bytes to check


@dataclass(frozen=True, slots=True)
class Opened:
    storage: Storage
    state: TorrentState
    remembered: Remembered | None
    is_read_only: bool
    stamps: tuple[Stamp | None, ...]  # of the files before they were looked at: `have` is true of these
    have: int
    wanted: int
    too_long: tuple[Path, ...]  # files with bytes past their end in the torrent; left as they are

    def close(self) -> None:
        """Let others open it."""
        self.storage.close()
        self.state.close()


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
    """Lock, look, check.

    Raises `ExistsError` for another process at work or files that are not ours to touch, `FileError` for what
    cannot be read or made, and `UnfinishedError` when stopped in the middle of the check.
    """
    if metainfo.info_hash_v1 is None:
        raise UsageError(
            f"{metainfo.name}: a v2-only torrent, and v2 is not spoken on the wire yet",
            hint="a hybrid torrent works with every client",
        )
    if not read_only:
        _make_folder(root)
    state = TorrentState.open(state_dir(), metainfo.wire_hash, root)
    storage: Storage | None = None
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
        stamps = storage.stamps()
        if have is None:
            have = _find_good_pieces(metainfo, storage, remembered, on_progress, should_stop)
        foreign = foreign_files(metainfo, storage, remembered, have)
        if read_only:  # to be remembered is to be ours, to a later `get` as well
            stamps = tuple(None if index in foreign else stamp for index, stamp in enumerate(stamps))
        else:
            _make_way(storage, foreign, overwrite=overwrite)
            _claim(storage, state, remembered)
            storage.create_empty_files()
    except BaseException:
        if storage is not None:
            storage.close()
        state.close()
        raise
    layout = metainfo.layout
    everything = range(len(metainfo.files))
    wanted = 0 if read_only else layout.bits_of_files(everything if wanted_files is None else wanted_files)
    too_long = tuple(storage.shown_path(index) for index in storage.too_long_files())
    return Opened(storage, state, remembered, read_only, stamps, have, wanted, too_long)


def _make_folder(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise file_fault(error, root, "making the folder") from error


def _find_good_pieces(
    metainfo: Metainfo,
    storage: Storage,
    remembered: Remembered | None,
    on_progress: OnProgress | None,
    should_stop: Callable[[], bool] | None,
) -> int:
    trusted, doubtful = trusted_bits(metainfo, storage, remembered)
    if not doubtful:
        return trusted
    total = metainfo.layout.piece_length * doubtful.bit_count()
    good = check_pieces(
        metainfo,
        storage,
        doubtful,
        on_progress=(lambda done: on_progress(min(done, total), total)) if on_progress else None,
        should_stop=should_stop,
    )
    if should_stop is not None and should_stop():
        raise UnfinishedError(f"{metainfo.name}: stopped while checking what is there")
    return trusted | good


def _claim(storage: Storage, state: TorrentState, remembered: Remembered | None) -> None:
    """Put on record that the wanted files are ours before the first byte: a kill may leave half of a piece."""
    known = remembered or Remembered(0, tuple(None for _ in storage.stamps()), 0, 0)
    stamps = claimed(storage, known.stamps)
    if stamps != known.stamps:
        state.record(known.have_bits, stamps, uploaded=known.uploaded, downloaded=known.downloaded)


def _make_way(storage: Storage, foreign: Sequence[int], *, overwrite: bool) -> None:
    """Files that are not ours stop us, or with `overwrite` become what they are in the torrent."""
    if overwrite:
        storage.cut_too_long(storage.too_long_files())
    elif foreign:
        others = f" (and {len(foreign) - 1} more)" if len(foreign) > 1 else ""
        raise ExistsError(
            f"{storage.shown_path(foreign[0])}{others} is there already and is not part of this torrent",
            hint="--overwrite replaces it; --dir names another folder",
        )
