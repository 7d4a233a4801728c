from __future__ import annotations

import re

import pytest

from evalkit.data import demo
from evalkit.report.report import report


@pytest.fixture(scope="session")
def demo_evals():
    return demo.make()


@pytest.fixture(scope="session")
def html(demo_evals, tmp_path_factory):
    path = report(
        demo_evals, tmp_path_factory.mktemp("report") / "report.html", baseline="v2", candidate="v3"
    )
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def body(html):
    """The page without its script, specifications and pictures."""
    return re.sub(r"<(script|style)[^>]*>.*?</\1>|base64,[^\"]*", "", html, flags=re.DOTALL)
