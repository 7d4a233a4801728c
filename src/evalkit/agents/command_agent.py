"""Command agents: JSON on standard input and output."""

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
    from evalkit.agents.case_input import CaseInput

_MAX_BYTES: Final = 64 * 1024 * 1024
_TAIL: Final = 4_096
_CHUNK: Final = 1 << 16
# An ended program's output is in the pipes already.
_AFTERWARDS_S: Final = 5.0


class CommandCaller:
    """Run a program per case, from several threads.

    It runs without a shell, with the full environment, keys included. After `timeout` seconds, or more than
    `max_bytes` of output, it is killed with its children.
    """

    def __init__(self, argv: Sequence[str], *, timeout: float, max_bytes: int = _MAX_BYTES) -> None:
        self._argv = list(argv)
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._closed = False

    def attempt(self, case: CaseInput) -> Attempt:
        """Run the program for one case."""
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
            return failed(case, f"{self._argv[0]} cannot run: {error.strerror or error}")
        with self._lock:
            self._running.add(process)
            closed = self._closed
        try:
            if closed:
                _kill(process)
            return self._talk(process, case)
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
        """Kill running programs."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        for process in running:
            _kill(process)

    def _talk(self, process: subprocess.Popen[bytes], case: CaseInput) -> Attempt:
        output, errors = bytearray(), bytearray()

        def read() -> None:
            while len(output) <= self._max_bytes and (chunk := _read(process.stdout)):
                output.extend(chunk)
            if len(output) > self._max_bytes:
                _kill(process)

        def listen() -> None:
            while chunk := _read(process.stderr):
                errors.extend(chunk)
                del errors[:-_TAIL]

        threads = [
            threading.Thread(target=read, daemon=True),
            threading.Thread(target=listen, daemon=True),
            threading.Thread(target=_write, args=(process, case.as_json()), daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            code = process.wait(self._timeout)
        except subprocess.TimeoutExpired:
            return failed(case, f"timeout: killed after {self._timeout:g} s{_last_error(errors)}")
        # A child left behind would keep the pipes open.
        _kill(process, ended=True)
        for thread in threads:
            thread.join(_AFTERWARDS_S)
        if len(output) > self._max_bytes:
            return failed(case, f"printed more than {self._max_bytes / 2**20:g} MB")
        if code:
            how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
            return failed(case, f"{how}{_last_error(errors)}")
        return _read_output(bytes(output), errors, case)


def _read_output(output: bytes, errors: bytearray, case: CaseInput) -> Attempt:
    text = output.removeprefix(BOM).strip()
    if not text:
        return failed(case, f"printed nothing{_last_error(errors)}")
    try:
        return read_transcript(decode(text), case)
    except ValueError as error:
        return failed(case, f"the output is not a transcript: {str(error).replace(' of the line', '')}")


def _write(process: subprocess.Popen[bytes], text: bytes) -> None:
    with contextlib.suppress(OSError):  # the program may ignore its input
        if process.stdin:
            process.stdin.write(text)
            process.stdin.close()


def _read(pipe: IO[bytes] | None) -> bytes:
    try:
        return os.read(pipe.fileno(), _CHUNK) if pipe else b""
    except (OSError, ValueError):
        return b""


def _last_error(errors: bytearray) -> str:
    lines = bytes(errors).decode("utf-8", "replace").strip().splitlines()
    return f": {lines[-1].strip()}" if lines else ""


def _kill(process: subprocess.Popen[bytes], *, ended: bool = False) -> None:
    """Kill a program and its children; with `ended`, the children of one that has ended."""
    if process.poll() is not None and not ended:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.name != "nt":
            os.killpg(process.pid, signal.SIGKILL)
        elif not ended:
            process.kill()
