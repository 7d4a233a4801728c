"""Progress where it is looked at: a line in a terminal, the output of a cell in a real kernel, else nothing."""

from __future__ import annotations

import io
import sys

import nbformat
import pytest
from nbclient import NotebookClient

from evalkit.llm.ask import ask
from evalkit.llm.progress import Progress, find_display, progress_words


def at(done, total=100, **more):
    given = {
        "rate": 12.3,
        "cost": 0.5,
        "saved": 0.0,
        "left": 40.0,
        "in_flight": 8,
        "limit": 64,
        "cached": 0,
        "failed": 0,
        "waiting": 0.0,
    }
    return Progress(done, total, **(given | more))


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (at(1_000, 20_000), "1,000 of 20,000, 12.3 per second, $0.5000, 40.0 s left"),
        (at(5, None, left=None), "5, 12.3 per second, $0.5000"),
        (at(5, cost=None), "5 of 100, 12.3 per second, unknown cost, 40.0 s left"),
        (
            at(5, left=600.0, cached=2, failed=1),
            "5 of 100, 12.3 per second, $0.5000, 10 min left, 2 from the cache, 1 failed",
        ),
        (at(0, rate=0.0, left=20_000.0), "0 of 100, $0.5000, 5 h 33 min left"),
        (at(5, waiting=300.0), "5 of 100, 12.3 per second, $0.5000, waiting 5 min for the rate limit"),
    ],
)
def test_it_is_told_in_words(progress, words):
    assert progress_words(progress) == words


def test_in_a_terminal_it_is_one_line_that_is_drawn_over_itself(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    show = find_display()
    show(at(50, cached=3))
    show(at(75))
    show(at(100, left=0.0, ended=True))

    first, second, third, end = terminal.getvalue().removeprefix("\r").replace("\n", "\r").split("\r")
    assert first.startswith("[############............] 50 of 100")
    assert second.rstrip().startswith("[##################......] 75 of 100")
    assert len(second) == len(first)
    assert "[########################] 100 of 100" in third
    assert end == ""


def test_a_run_in_a_terminal_ends_with_a_whole_line(monkeypatch, server, groq, questions):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    list(ask(questions(10), provider=groq))

    last = terminal.getvalue().split("\r")[-1]
    assert "10 of 10" in last
    assert last.endswith("\n")


def test_elsewhere_there_is_nothing_to_show_it(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert find_display() is None

    monkeypatch.setattr(sys, "stderr", None)
    assert find_display() is None


@pytest.mark.notebook
def test_in_a_real_kernel_it_runs_inside_the_loop_and_shows_a_bar_that_is_replaced(
    server, questions, tmp_path
):
    code = f"""
from evalkit.llm.providers import provider
from evalkit.llm.ask import aask, ask
from evalkit.llm.requests import Request

requests = [Request(f"q{{i}}", {{"model": "<b>m</b>", "messages": []}}) for i in range(30)]
replies = list(ask(requests, provider=provider("{server.url}")))
replies += [reply async for reply in aask(requests, provider=provider("{server.url}"))]
print(len(replies), {{reply.outcome for reply in replies}})
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])

    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()

    outputs = notebook.cells[0].outputs
    assert [one.output_type for one in outputs] == ["display_data", "stream"]
    html = outputs[0].data["text/html"]
    assert '<progress value="30" max="30" aria-label="requests answered"></progress> 30 of 30' in html
    assert "unknown cost" in html
    assert "<b>" not in html
    assert outputs[1].text == "60 {'success'}\n"
