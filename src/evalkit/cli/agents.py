"""`evalkit run` and `serve-local`."""

from __future__ import annotations

import signal
import threading
from typing import Annotated

import typer

from evalkit.cli.output import emit, one_line, tell, working
from evalkit.providers import LOCAL_PORT


def serve_local(
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Where to listen; 0 takes a free port.")
    ] = LOCAL_PORT,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            metavar="FILE.gguf",
            help="Serve this model instead of SmolLM2 with 135 million parameters.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve a small model here, with no key, until Ctrl-C.

    Then --provider local asks it.
    """
    from contextlib import ExitStack

    from evalkit import serving

    with ExitStack() as running:
        with working("Loading the weights"):
            address, model = running.enter_context(serving.serve(host=host, port=port, weights=weights))
        emit(f"Serving {one_line(model)} at {address} (Ctrl-C stops it).")
        if weights is None:
            emit(serving.SMALL)
        where = "--provider local" if port == LOCAL_PORT else f"--provider local --base-url {address}"
        named = "" if weights is None else f" --model {one_line(model)}"
        emit(f"Next, in another terminal: evalkit run data/suites/groq-batch-api.yaml {where}{named}")
        _wait_for_a_signal()
        tell("Stopped.")


def _wait_for_a_signal() -> None:
    """Return when Ctrl-C or a polite kill comes."""
    stop = threading.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda *_: stop.set())
    # With a timeout, because on Windows nothing interrupts a wait that has none.
    while not stop.wait(1.0):
        pass
