"""One writer at a time: a lock that the system lets go of when its process ends, however it ends."""

from __future__ import annotations

import errno
import os
import socket
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from evalkit.util.errors import BusyError, FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

_HOME: Final = ".evalkit"
_BUSY: Final = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK})
# Where Windows, which keeps others from reading what is locked, locks a byte: beyond what is written.
_FAR: Final = 1 << 30
# What is held, and by which thread of which process (a fork inherits the set): that one may take it again.
_HELD: Final[set[tuple[int, int, Path]]] = set()


@contextmanager
def holding(folder: str | Path, name: str) -> Iterator[None]:
    """Be the only one that writes a file of a folder, which is made where it is missing.

    Parameters
    ----------
    folder, name
        The folder, and what its file is called.

    Raises
    ------
    BusyError
        Another process, or another thread of this one, writes it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, holding(folder, "scores.jsonl"):
    ...     print("mine")
    mine
    """
    folder = Path(folder)
    made = not folder.exists()
    try:
        with locked(folder / _HOME / f"{name}.lock", repr(str(folder / name))):
            yield
    finally:
        # Where nothing came of it, nothing is left: a folder that holds something stays.
        with suppress(OSError):
            (folder / _HOME).rmdir()
            if made:
                folder.rmdir()


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file, in which stands who does; `what` is what an error calls that which is locked."""
    mine = (os.getpid(), threading.get_ident(), path.absolute())
    if mine in _HELD:
        yield
        return
    with _taken(path, what) as file:
        at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}, since {at}".encode())
        file.flush()
        _HELD.add(mine)
        try:
            yield
        finally:
            _HELD.discard(mine)
            # Before it is let go of; Windows keeps a file that is open.
            with suppress(OSError):
                path.unlink()


def _taken(path: Path, what: str) -> BinaryIO:
    """Return the lock file, open and locked."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = path.open("a+b")
        except FileNotFoundError:  # a holder that has just ended took its folder away
            continue
        try:
            _take(file.fileno())
        except OSError as error:
            file.close()
            if error.errno in _BUSY:
                raise BusyError(
                    f"Another process is at work on {what}{_holder(path)}: let it end, or end it first. "
                    "Nothing was done here."
                ) from None
            raise FormatError(
                f"{str(path)!r} cannot be locked ({error.strerror}): keep the folder on a disk of this machine."
            ) from None
        # A holder takes the file away when it ends: what was open here by then is another one.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()


def _holder(path: Path) -> str:
    try:
        told = path.read_text(encoding="utf-8", errors="replace")[:200]
    except OSError:
        return ""
    return f" ({told})" if told else ""


def _take(handle: int) -> None:
    """Take the lock of an open file; closing the file, or the end of the process, lets go of it."""
    if os.name == "nt":
        import msvcrt

        os.lseek(handle, _FAR, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
