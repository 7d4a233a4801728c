"""What several files need: Ctrl-C as usual, a command line that was typed, the demo data in a folder, an llmock."""

from __future__ import annotations

import os
import signal
from importlib.util import find_spec

import pytest
from hypothesis import settings

from golden import golden

__all__ = ["golden"]

# The workers share the cores: threads of numpy and scikit-learn would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# No example is timed: how long it takes says something about the machine alone.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def default_sigint():
    """Let Ctrl-C interrupt this process and those it starts, as it does in a terminal.

    A shell starts what runs in its background with SIGINT ignored, and every process inherits that.
    """
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, inherited)


@pytest.fixture(scope="session", autouse=True)
def no_authorities(tmp_path_factory):
    """Trust no certificate authority: a client takes 20 ms to read those of the system, and no test uses TLS."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SSL_CERT_FILE", raising=False)
        patch.setenv("SSL_CERT_DIR", str(tmp_path_factory.mktemp("no_authorities")))
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The demo data, written to a folder."""
    from evalkit.data import demo

    return str(demo.write(tmp_path_factory.mktemp("data") / "demo"))


@pytest.fixture
def run(capsys):
    """A command as it is typed: its exit code, what it printed, what it said beside that."""
    from evalkit.cli import main

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture(scope="session")
def running_llmock():
    """An llmock that serves all tests of this process."""
    if find_spec("llmock") is None:
        pytest.skip("llmock is not installed")
    from fakes.llmock_server import llmock_server

    with llmock_server() as server:
        yield server


@pytest.fixture
def mock(running_llmock, monkeypatch):
    """An llmock that knows of no request yet."""
    monkeypatch.setenv("GROQ_API_KEY", "gsk_test")
    running_llmock.reset()
    return running_llmock
