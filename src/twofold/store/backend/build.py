"""Building a backend's file beside the one in use, and putting it in its place."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import lmdb

from twofold.base.disk import sync_directory
from twofold.store.backend.port import MAPS, Pair
from twofold.store.errors import BackendFailure

_DATA = "data.mdb"
_INCOMING = "incoming"
_MAP_SIZE_BYTES = 1 << 30


class LmdbBuilder:
    """Fills a new LMDB file under ``directory``, which is a backend's own.

    The backend may be in use meanwhile; it must be closed before ``install``.
    May be used from any thread, by one at a time.
    """

    def __init__(
        self, directory: Path, *, map_size_bytes: int = _MAP_SIZE_BYTES
    ) -> None:
        self._directory = directory
        self._draft = directory / _INCOMING
        try:
            discard(directory)
            self._draft.mkdir(parents=True)
            # Nothing counts before ``install``, which syncs it all at once.
            self._env = lmdb.open(
                str(self._draft),
                map_size=map_size_bytes,
                max_dbs=len(MAPS),
                sync=False,
                lock=False,
            )
            self._maps = {name: self._env.open_db(name) for name in MAPS}
        except (lmdb.Error, OSError) as error:
            raise BackendFailure(f"cannot build {self._draft}: {error}") from error

    def write(self, map_name: bytes, pairs: Sequence[Pair]) -> None:
        """Add pairs of a map. Shape: keys ascend within a map."""
        try:
            try:
                self._add(map_name, pairs)
            except lmdb.MapFullError:
                size = sum(len(key) + len(value) for key, value in pairs)
                now = int(self._env.info()["map_size"])
                self._env.set_mapsize(2 * now + 4 * size)
                self._add(map_name, pairs)
        except lmdb.Error as error:
            raise BackendFailure(f"{self._draft}: {error}") from error

    def _add(self, map_name: bytes, pairs: Sequence[Pair]) -> None:
        with (
            self._env.begin(write=True) as txn,
            txn.cursor(self._maps[map_name]) as cursor,
        ):
            cursor.putmulti(pairs, append=True)

    def install(self) -> None:
        """Make the file durable and the backend's own, in one atomic step."""
        try:
            self._env.sync(True)
            self._env.close()
            sync_directory(self._draft)
            (self._draft / _DATA).rename(self._directory / _DATA)
            sync_directory(self._directory)
            discard(self._directory)
        except (lmdb.Error, OSError) as error:
            raise BackendFailure(f"cannot install {self._draft}: {error}") from error

    def abandon(self) -> None:
        """Throw the draft away."""
        self._env.close()
        discard(self._directory)


def discard(directory: Path) -> None:
    """Remove what an unfinished build has left behind."""
    shutil.rmtree(directory / _INCOMING, ignore_errors=True)
