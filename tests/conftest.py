"""What several files need: Ctrl-C as usual, a command line that was typed, and the demo data in a folder."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings

from golden import golden

__all__ = ["golden"]

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
