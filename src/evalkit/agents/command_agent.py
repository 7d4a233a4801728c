"""Agents that are commands: the case as JSON on their standard input, a transcript as JSON on their standard output."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from typing import IO, TYPE_CHECKING, Final

from evalkit.agents.attempt import failed, read_transcript
from evalkit.data.json_text import BOM, decode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.agents.attempt import Attempt
    from evalkit.agents.case_input import AskedCase

_MOST: Final = 64 * 1024 * 1024
_TAIL: Final = 4_096
_CHUNK: Final = 1 << 16
# What is left in the pipes of a program that has ended is there at once.
_AFTERWARDS_S: Final = 5.0


class CommandCaller:
    """Runs a program for one case after another, from several threads at once.

    It is started in the working folder with the environment as it is, keys included: an agent needs its own.

    Parameters
    ----------
    argv
        The program and its arguments; no shell reads them.
    timeout
        Seconds until it is killed, with whatever it has started.
    most
        Bytes that it may print.
    """

    def __init__(self, argv: Sequence[str], *, timeout: float, most: int = _MOST) -> None:
        self._argv = list(argv)
        self._timeout = timeout
        self._most = most
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._closed = False

    def attempt(self, asked: AskedCase) -> Attempt:
        """Run it for one case; whatever it does is an attempt."""
        try:
            # No shell, and the arguments are the user's own.
            process = subprocess.Popen(  # noqa: S603
                self._argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=os.name != "nt",
            )
        except OSError as error:
            return failed(asked, f"{self._argv[0]} cannot be run: {error.strerror or error}")
        with self._lock:
            self._running.add(process)
            closed = self._closed
        try:
            if closed:
                _kill(process)
            return self._talk(process, asked)
        finally:
            _kill(process)
            process.wait()
            with self._lock:
                self._running.discard(process)
            for pipe in (process.stdin, process.stdout, process.stderr):
                with contextlib.suppress(OSError):
                    if pipe:
                        pipe.close()

    def close(self) -> None:
        """Kill what is still running."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        for process in running:
            _kill(process)

    def _talk(self, process: subprocess.Popen[bytes], asked: AskedCase) -> Attempt:
        printed, complained = bytearray(), bytearray()

        def read() -> None:
            while len(printed) <= self._most and (chunk := _read(process.stdout)):
                printed.extend(chunk)
            if len(printed) > self._most:
                _kill(process)

        def listen() -> None:
            while chunk := _read(process.stderr):
                complained.extend(chunk)
                del complained[:-_TAIL]

        threads = [
            threading.Thread(target=read, daemon=True),
            threading.Thread(target=listen, daemon=True),
            threading.Thread(target=_write, args=(process, asked.as_json()), daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            code = process.wait(self._timeout)
        except subprocess.TimeoutExpired:
            return failed(asked, f"timeout: killed after {self._timeout:g} s{_last_words(complained)}")
        # A program of its own that it left behind would keep the pipes open.
        _kill(process, ended=True)
        for thread in threads:
            thread.join(_AFTERWARDS_S)
        if len(printed) > self._most:
            return failed(asked, f"it printed more than {self._most / 2**20:g} MB")
        if code:
            how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
            return failed(asked, f"{how}{_last_words(complained)}")
        return _read_printed(bytes(printed), complained, asked)


def _read_printed(printed: bytes, complained: bytearray, asked: AskedCase) -> Attempt:
    text = printed.removeprefix(BOM).strip()
    if not text:
        return failed(asked, f"it printed nothing{_last_words(complained)}")
    try:
        return read_transcript(decode(text), asked)
    except ValueError as error:
        return failed(asked, f"what it printed is no transcript: {str(error).replace(' of the line', '')}")


def _write(process: subprocess.Popen[bytes], text: bytes) -> None:
    with contextlib.suppress(OSError):  # it need not read
        if process.stdin:
            process.stdin.write(text)
            process.stdin.close()


def _read(pipe: IO[bytes] | None) -> bytes:
    """Return what is next in a pipe; nothing where it is closed."""
    try:
        return os.read(pipe.fileno(), _CHUNK) if pipe else b""
    except (OSError, ValueError):
        return b""


def _last_words(complained: bytearray) -> str:
    """Return the last line that a program printed on its standard error."""
    lines = bytes(complained).decode("utf-8", "replace").strip().splitlines()
    return f": {lines[-1].strip()}" if lines else ""


def _kill(process: subprocess.Popen[bytes], *, ended: bool = False) -> None:
    """Kill a program and what it has started; of one that has just ended what it left behind."""
    if process.poll() is not None and not ended:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.name != "nt":
            os.killpg(process.pid, signal.SIGKILL)
        elif not ended:
            process.kill()
