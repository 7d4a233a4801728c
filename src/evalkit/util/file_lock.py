"""File locks that the system releases when their process ends."""

from __future__ import annotations

import errno
import os
import socket
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from evalkit.util.atomic_files import open_for_append
from evalkit.util.errors import BusyError, FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO

_HOME: Final = ".evalkit"
_BUSY: Final = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK})
# Windows locks a byte beyond the content, so that others can read the file.
_FAR: Final = 1 << 30
# (process, thread, path) of held locks. The same thread may enter again; a fork inherits the set.
_HELD: Final[set[tuple[int, int, Path]]] = set()


@contextmanager
def holding(folder: str | Path, name: str) -> Iterator[None]:
    """Lock a file of a folder for writing; create the folder if missing.

    Raise `BusyError` if another process or thread holds the lock.
    """
    folder = Path(folder)
    if (folder / _HOME).is_symlink():
        raise FormatError(f"{str(folder / _HOME)!r} is a link. Expected a folder.", fix="Remove it.")
    is_new = not folder.exists()
    try:
        with locked(folder / _HOME / f"{name}.lock", repr(str(folder / name))):
            yield
    finally:
        # Leave no empty folders.
        with suppress(OSError):
            (folder / _HOME).rmdir()
            if is_new:
                folder.rmdir()


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file that names its holder; `what` is the locked file in errors."""
    key = (os.getpid(), threading.get_ident(), path.absolute())
    if key in _HELD:
        yield
        return
    with _open_locked(path, what) as file:
        at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}, since {at}".encode())
        file.flush()
        _HELD.add(key)
        try:
            yield
        finally:
            _HELD.discard(key)
            # Before the lock is released. Windows keeps open files.
            with suppress(OSError):
                path.unlink()


def _open_locked(path: Path, what: str) -> FileIO:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = open_for_append(path)
        except FileNotFoundError:  # the last holder just removed the folder
            continue
        try:
            _lock(file.fileno())
        except OSError as error:
            file.close()
            if error.errno in _BUSY:
                raise BusyError(
                    f"Another process holds {what}{_holder(path)}. Nothing was done. Wait for it or stop it."
                ) from None
            raise FormatError(
                f"Cannot lock {str(path)!r} ({error.strerror}). Use a folder on a local disk."
            ) from None
        # The last holder removes the file: this one may be unlinked already.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()


def _holder(path: Path) -> str:
    try:
        with open_for_append(path) as file:
            file.seek(0)
            holder = file.read(200).decode("utf-8", errors="replace")
    except (OSError, FormatError):
        return ""
    return f" ({holder})" if holder else ""


def _lock(handle: int) -> None:
    if os.name == "nt":
        import msvcrt

        os.lseek(handle, _FAR, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
