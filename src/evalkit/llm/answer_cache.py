"""What was answered and paid for, kept: one SQLite file, by the whole request."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from evalkit.util.cache_folder import cache_dir
from evalkit.util.errors import FormatError
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

FILE: Final = "answers.sqlite"
"""What evalkit's own cache is called in `evalkit.util.cache_folder.cache_dir()`."""

_WAIT_S: Final = 30.0
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, created_at REAL NOT NULL, body BLOB NOT NULL
) WITHOUT ROWID
"""
_CHOSEN: Final = "FROM answers WHERE (?1 IS NULL OR model = ?1) AND (?2 IS NULL OR created_at < ?2)"


class Cache:
    """Answers by `request_key`: whatever was answered once, by live or by batch, is never paid for again.

    Several threads and processes may use the same file at once. Only answers that came with status 200 are
    put into it, and none is ever replaced. Requests that shall be answered anew must differ in something
    that is sent, as samples of a judge differ in their seed.

    Parameters
    ----------
    path
        A SQLite file, made where it is missing, for its owner's eyes only; None: `answers.sqlite` in
        `evalkit.util.cache_folder.cache_dir()`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Cache(Path(folder) / "a.sqlite") as cache:
    ...     cache.put("key", {"choices": []}, model="m")
    ...     cache.get("key"), cache.get("other"), len(cache)
    ({'choices': []}, None, 1)
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(path) if path is not None else cache_dir() / FILE
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # SQLite gives the files beside it (-wal, -shm) the mode of this one.
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            self._base = sqlite3.connect(
                self.path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise FormatError(f"The cache {str(self.path)!r} cannot be opened: {_words(error)}.") from None
        try:
            self._base.execute("PRAGMA journal_mode=WAL")
            # Enough to lose nothing when the process dies; only a power cut can take the last answers.
            self._base.execute("PRAGMA synchronous=NORMAL")
            self._base.execute(_TABLE)
        except sqlite3.Error as error:
            self._base.close()
            raise FormatError(
                f"The cache {str(self.path)!r} cannot be read ({error}): move it away, or name another place "
                "with EVALKIT_CACHE_DIR."
            ) from None

    def get(self, key: str) -> dict[str, Any] | None:
        """Return the chat completion that was answered to a request; None where there is none.

        Raises
        ------
        FormatError
            The file cannot be read.
        """
        rows = self._all("SELECT body FROM answers WHERE key = ?", key)
        if not rows:
            return None
        body: dict[str, Any] = msgspec.json.decode(rows[0][0])
        return body

    def models(self) -> list[dict[str, Any]]:
        """Return what is kept of each model, the largest first.

        Returns
        -------
        list of dict
            `model`, `answers`, `bytes` (of their text), `oldest` and `newest` (seconds since 1970).
        """
        rows = self._all(
            "SELECT model, count(*), sum(length(body)), min(created_at), max(created_at) FROM answers "
            "GROUP BY model ORDER BY 3 DESC, 1"
        )
        return [
            dict(zip(("model", "answers", "bytes", "oldest", "newest"), row, strict=True)) for row in rows
        ]

    def count(self, *, model: str | None = None, older_than_days: float | None = None) -> int:
        """Return how many answers `purge` would forget."""
        return int(self._all(f"SELECT count(*) {_CHOSEN}", model, _before(older_than_days))[0][0])

    def put(self, key: str, body: dict[str, Any], *, model: str) -> None:
        """Keep an answer; the first one to a request stays.

        Raises
        ------
        FormatError
            The file cannot be written.
        """
        row = (key, model, time.time(), msgspec.json.encode(body))
        try:
            with self._lock:
                self._base.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            raise FormatError(f"The cache {str(self.path)!r} cannot be written: {_words(error)}.") from None

    def __len__(self) -> int:
        """How many answers there are."""
        return self.count()

    @property
    def size(self) -> int:
        """Bytes on disk."""
        names = [self.path, *(self.path.with_name(self.path.name + end) for end in ("-wal", "-shm"))]
        return sum(path.stat().st_size for path in names if path.exists())

    def purge(self, *, model: str | None = None, older_than_days: float | None = None) -> int:
        """Forget answers, and give their room back to the disk.

        Parameters
        ----------
        model
            Only those of this model.
        older_than_days
            Only those that are older.

        Returns
        -------
        int
            How many were forgotten.

        Raises
        ------
        FormatError
            The file cannot be written, or another process is at work on it.
        """
        try:
            with self._lock:
                gone = self._base.execute(f"DELETE {_CHOSEN}", (model, _before(older_than_days))).rowcount
                self._base.execute("VACUUM")
                self._base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise FormatError(f"The cache {str(self.path)!r} cannot be purged: {_words(error)}.") from None
        return int(gone)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._base.close()

    def __enter__(self) -> Cache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        try:
            held = f"{plural(len(self), 'answer')}, {self.size / 1e6:.1f} MB"
        except FormatError:
            held = "closed, or not to be read"
        return f"Cache({str(self.path)!r}): {held}"

    def _all(self, query: str, *values: Any) -> list[Any]:
        """Return the rows that a question to the file gives."""
        try:
            with self._lock, closing(self._base.execute(query, values)) as rows:
                return rows.fetchall()
        except sqlite3.Error as error:
            raise FormatError(f"The cache {str(self.path)!r} cannot be read: {_words(error)}.") from None


@contextmanager
def opened(cache: Cache | str | Path | None) -> Iterator[Cache]:
    """Give a cache that is open: the one given, or one of its own, closed afterwards (None: evalkit's)."""
    if isinstance(cache, Cache):
        yield cache
        return
    with Cache(cache) as made:
        yield made


def _before(days: float | None) -> float | None:
    return None if days is None else time.time() - days * 86_400


def _words(error: Exception) -> str:
    return str(error).rstrip(".")
