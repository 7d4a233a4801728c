"""Write and append to files: atomically, never through a link; delay Ctrl-C until a write completes."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
import tempfile
import threading
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from evalkit.util.errors import FormatError, PathError

if TYPE_CHECKING:
    from collections.abc import Iterator

_FULL: Final = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
_APPEND: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND
# Do not follow a link, do not wait for the other end of a pipe, keep bytes on Windows.
_SAFE: Final = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside `path`; move it to `path` if nothing was raised.

    A replaced file keeps its permissions. The content is on disk before the file is renamed. Raise `PathError` for a
    full disk; the old file stays.
    """
    with explain_full_disk(path):
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        fresh = Path(name)
        try:
            yield fresh
            sync(fresh)
            fresh.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)


@contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder; when the block ends it takes the place of `folder`, with all its files on disk.

    At every instant `folder` is the old or the new one. Where the system cannot exchange two folders at once, a
    crash may leave the old one beside it, and `restore_folder` puts it back.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    restore_folder(folder)
    with explain_full_disk(folder):
        fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            fresh.chmod(0o777 & ~_umask())
            yield fresh
            for path in fresh.rglob("*"):
                if path.is_file():
                    sync(path)
            _swap_folders(fresh, folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def restore_folder(folder: Path) -> None:
    """Put back the folder that a crashed `replace_folder` moved away; remove it if the new one is in place."""
    old = _old_name(folder)
    if not old.is_dir() or old.is_symlink():
        return
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
    else:
        with suppress(FileNotFoundError):  # another process was faster
            os.replace(old, folder)  # noqa: PTH105


def open_for_append(path: Path) -> FileIO:
    """Open a regular file to read and append, unbuffered; create it if missing.

    Raise `FormatError` for a symbolic link, a pipe, a device or a folder.
    """
    try:
        if path.is_symlink():  # also where the system has no O_NOFOLLOW
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        handle = os.open(path, _APPEND | _SAFE, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.EISDIR, errno.ENXIO):
            raise _not_regular(path) from None
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _not_regular(path)
    return FileIO(handle, "a+b")


def append_all(file: FileIO, data: bytes) -> None:
    """Append to a file of `open_for_append`; return when it is on disk. After an error nothing of `data` is in it."""
    size = file.seek(0, os.SEEK_END)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            file.truncate(size)
        raise


def sync(path: Path) -> None:
    """Write the content of a file to disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def explain_full_disk(path: Path) -> Iterator[None]:
    """Raise `PathError` in place of the system's error for a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise PathError(
            f"Cannot write {str(path)!r}: {os.strerror(error.errno or 0)}.",
            value=str(path),
            fix="Free some space and run it again; what was written before is kept.",
        ) from None


def _not_regular(path: Path) -> FormatError:
    return FormatError(
        f"{str(path)!r} is a link, a pipe, a device or a folder. Expected a file.",
        value=str(path),
        fix="Remove it or name another path.",
    )


def _old_name(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.evalkit-old")


def _swap_folders(fresh: Path, folder: Path) -> None:
    if not folder.exists():
        os.replace(fresh, folder)  # noqa: PTH105
    elif not _exchange(fresh, folder):
        old = _old_name(folder)
        os.replace(folder, old)  # noqa: PTH105
        try:
            os.replace(fresh, folder)  # noqa: PTH105
        finally:
            restore_folder(folder)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two folders in one step; False where the system cannot."""
    import ctypes
    import sys

    if sys.platform == "linux":
        name, arguments = "renameat2", (-100, os.fsencode(first), -100, os.fsencode(second), 2)
    elif sys.platform == "darwin":
        name, arguments = "renamex_np", (os.fsencode(first), os.fsencode(second), 2)  # type: ignore[assignment]
    else:
        return False
    function = getattr(ctypes.CDLL(None), name, None)
    return function is not None and function(*arguments) == 0


def is_free(folder: Path) -> bool:
    """Whether a folder does not exist, or is empty."""
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


@contextmanager
def delay_interrupt() -> Iterator[None]:
    """Delay Ctrl-C until the block completes; main thread only."""
    here = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if here else None
    if handler is None:  # another thread, or a handler not set by Python
        yield
        return
    signals: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: signals.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if signals:
            signal.raise_signal(signal.SIGINT)


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
