"""Cache of paid answers: one SQLite file, keyed by the whole request."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from evalkit.llm.requests import request_key
from evalkit.util.cache_folder import cache_folder
from evalkit.util.errors import FormatError
from evalkit.util.format import bytes_size
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from evalkit.llm.requests import Request

FILE: Final = "answers.sqlite"
"""Name of evalkit's own cache in `evalkit.util.cache_folder.cache_folder()`."""

_WAIT_S: Final = 30.0
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, created_at REAL NOT NULL, body BLOB NOT NULL
) WITHOUT ROWID
"""
_SELECTED: Final = "FROM answers WHERE (?1 IS NULL OR model = ?1) AND (?2 IS NULL OR created_at < ?2)"


class Cache:
    """Cache answers by `request_key`: an answered request is never paid for again.

    Threads and processes may share one file. Only answers with status 200 are stored, and none is replaced; what a judge
    cannot read is deleted again.
    To get a new answer, change something that is sent, such as the seed.

    Parameters
    ----------
    path
        A SQLite file, created if missing and readable by its owner only. None: `answers.sqlite` in the cache folder.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Cache(Path(folder) / "a.sqlite") as cache:
    ...     cache.put("key", {"choices": []}, model="m")
    ...     cache.get("key"), cache.get("other"), len(cache)
    ({'choices': []}, None, 1)
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(path) if path is not None else cache_folder() / FILE
        self._lock = threading.Lock()
        with self._errors("opened"):
            try:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                # SQLite gives the files beside it (-wal, -shm) the mode of this one.
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            except OSError as error:
                raise sqlite3.Error(error) from None
            self._database = sqlite3.connect(
                self.path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
            )
        try:
            with self._errors("read", "Move it away, or name another folder with EVALKIT_CACHE_DIR."):
                self._database.execute("PRAGMA journal_mode=WAL")
                # Nothing is lost if the process dies. A power cut may lose the last answers.
                self._database.execute("PRAGMA synchronous=NORMAL")
                self._database.execute(_TABLE)
        except FormatError:
            self._database.close()
            raise

    def get(self, key: str) -> dict[str, Any] | None:
        """Return the cached answer or None; raise FormatError for an unreadable file."""
        rows = self._query("SELECT body FROM answers WHERE key = ?", key)
        return msgspec.json.decode(rows[0][0], type=dict[str, Any]) if rows else None

    def missing(self, base_url: str, requests: Iterable[Request]) -> list[Request]:
        """Return the requests without an answer."""
        return [request for request in requests if self.get(request_key(base_url, request.body)) is None]

    def put(self, key: str, body: dict[str, Any], *, model: str) -> None:
        """Store an answer unless one exists; raise FormatError if writing fails."""
        row = (key, model, time.time(), msgspec.json.encode(body))
        with self._errors("written"), self._lock:
            self._database.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?)", row)

    def forget(self, key: str) -> None:
        """Delete an answer that could not be read, so that it is asked for again."""
        with self._errors("written"), self._lock:
            self._database.execute("DELETE FROM answers WHERE key = ?", (key,))

    def models(self) -> list[dict[str, Any]]:
        """Return the number, size and age of the answers per model, largest first."""
        rows = self._query(
            "SELECT model, count(*), sum(length(body)), min(created_at), max(created_at) FROM answers "
            "GROUP BY model ORDER BY 3 DESC, 1"
        )
        names = ("model", "answers", "bytes", "oldest", "newest")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def count(self, *, model: str | None = None, older_than_days: float | None = None) -> int:
        """Return the number of answers that `purge` would delete."""
        return int(self._query(f"SELECT count(*) {_SELECTED}", model, _before(older_than_days))[0][0])

    def __len__(self) -> int:
        """Return the number of answers."""
        return self.count()

    @property
    def size(self) -> int:
        """Bytes on disk."""
        paths = [self.path.with_name(self.path.name + suffix) for suffix in ("", "-wal", "-shm")]
        return sum(path.stat().st_size for path in paths if path.exists())

    def purge(self, *, model: str | None = None, older_than_days: float | None = None) -> int:
        """Delete matching answers and return their number.

        Raises FormatError if the file cannot be written, or another process is writing to it.
        """
        with self._errors("purged"), self._lock:
            deleted = self._database.execute(f"DELETE {_SELECTED}", (model, _before(older_than_days)))
            self._database.execute("VACUUM")
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return int(deleted.rowcount)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        try:
            content = f"{plural(len(self), 'answer')}, {bytes_size(self.size)}"
        except FormatError:
            content = "closed or unreadable"
        return f"Cache({str(self.path)!r}): {content}"

    def _query(self, query: str, *values: Any) -> list[Any]:
        with self._errors("read"), self._lock, closing(self._database.execute(query, values)) as rows:
            return rows.fetchall()

    @contextmanager
    def _errors(self, participle: str, fix: str = "") -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            reason = str(error).rstrip(".")
            message = f"The answer cache {str(self.path)!r} cannot be {participle}: {reason}. {fix}"
            raise FormatError(message.rstrip()) from None


@contextmanager
def opened(cache: Cache | str | Path | None) -> Iterator[Cache]:
    """Yield the given cache, or open one for the block."""
    if isinstance(cache, Cache):
        yield cache
        return
    with Cache(cache) as own:
        yield own


def _before(days: float | None) -> float | None:
    return None if days is None else time.time() - days * 86_400
