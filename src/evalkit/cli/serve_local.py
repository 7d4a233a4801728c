"""`evalkit serve-local`."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import ExitStack
from typing import Annotated

import typer

from evalkit.cli import options as opt
from evalkit.cli.terminal import emit, one_line, shell_line, tell, working
from evalkit.llm.endpoints import LOCAL_PORT


def serve_local(
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = LOCAL_PORT,
    weights: Annotated[
        str | None,
        opt.text_option("--weights", "FILE.gguf", "Model to serve instead of SmolLM2 with 135M parameters."),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve a small model here, without a key, until Ctrl-C.

    --provider local sends requests to it.
    """
    from evalkit.llm import local_server

    # A polite kill is as good as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stack:
        with working("Loading the weights"):
            address, model = stack.enter_context(local_server.serve(host=host, port=port, weights=weights))
        try:
            emit(f"Serving {one_line(model)} at {address} (Ctrl-C stops it).")
            if weights is None:
                emit(local_server.SMALL)
            address_export = "" if port == LOCAL_PORT else f"export EVALKIT_LOCAL_URL={address}; "
            words = ["evalkit", "run", "data/suites/groq-batch-api.yaml", "--provider", "local"]
            words += [] if weights is None else ["--model", model]
            emit(f"Next, in another terminal: {address_export}{shell_line(*words)}")
            while True:
                # In pieces: on Windows nothing interrupts a sleep.
                time.sleep(1.0)
        except KeyboardInterrupt:
            tell("Stopped.")
            # The engine's shutdown can wait forever on a thread that has just begun.
            sys.stdout.flush()
            os._exit(0)
