"""A real JupyterLab in a real Chromium: the first notebook, as a new user runs it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.enable_socket]

ROOT = Path(__file__).parents[2]
READY = """() => { const w = window.jupyterapp?.shell.currentWidget;
  return !!(w && w.context?.isReady && w.sessionContext?.isReady
    && w.sessionContext.session?.kernel?.status === 'idle'); }"""
OUTPUTS = """() => [...window.jupyterapp.shell.currentWidget.content.model.cells]
  .flatMap(cell => (cell.toJSON().outputs || []))"""
VEGA = "application/vnd.vegalite.v5+json"
HOLDS = """mime => window.jupyterapp.shell.currentWidget.content.widgets
  .flatMap((cell, at) => (cell.model.toJSON().outputs || []).some(o => o.data?.[mime]) ? [at] : [])"""
DRAWN = """at => window.jupyterapp.shell.currentWidget.content.widgets[at].node
  .querySelector('.vega-embed svg.marks, .vega-embed canvas.marks')"""
# JupyterLab 4 draws Vega-Lite 5 and says so of a newer spec; the spec uses nothing newer (notebooks.md 1).
KNOWN = ("Vega-Lite", "vega-lite")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab of its own, with the notebooks and the demo: (url, token)."""
    root = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", root / "notebooks")
    shutil.copytree(ROOT / "data/demo", root / "data/demo")
    settings = root / ".settings/@jupyterlab/apputils-extension"
    settings.mkdir(parents=True)
    news = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(news))
    folders = {
        "JUPYTER_CONFIG_DIR": ".config",
        "JUPYTER_DATA_DIR": ".data",
        "JUPYTER_RUNTIME_DIR": ".run",
        "JUPYTERLAB_SETTINGS_DIR": ".settings",
        "JUPYTERLAB_WORKSPACES_DIR": ".workspaces",
        "IPYTHONDIR": ".ipython",
    }
    environment = {
        **os.environ,
        "JUPYTER_PLATFORM_DIRS": "1",
        **{k: str(root / v) for k, v in folders.items()},
    }
    token = secrets.token_hex(16)
    options = [
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        "--port=0",
        "--LabApp.expose_app_in_browser=True",
    ]
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        *options,
        f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={root}",
    ]
    log = (root / "lab.log").open("wb")
    server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, stdin=subprocess.DEVNULL)
    try:
        yield _address(root, server, token), token
    finally:
        server.terminate()
        server.wait(20)
        log.close()


def _address(root: Path, server: subprocess.Popen, token: str) -> str:
    """Wait until the server answers at the port that the system gave it."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        assert server.poll() is None, (root / "lab.log").read_text()
        for file in (root / ".run").glob("jpserver-*.json"):
            try:
                url = json.loads(file.read_text())["url"]
                urllib.request.urlopen(f"{url}api?token={token}", timeout=2).close()
            except (OSError, ValueError):
                continue
            return url.rstrip("/")
        time.sleep(0.1)
    raise AssertionError((root / "lab.log").read_text())


def test_the_first_notebook_runs_all_cells_and_draws_its_charts(lab, open_page):
    url, token = lab
    page = open_page(f"{url}/lab/tree/notebooks/00_start.ipynb?reset&token={token}", height=1400)
    page.set_default_timeout(120_000)
    page.wait_for_function("() => window.jupyterapp")
    page.evaluate("() => window.jupyterapp.restored")
    page.wait_for_function(READY)

    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")

    outputs = page.evaluate(OUTPUTS)
    assert [o for o in outputs if o["output_type"] == "error"] == []
    assert [o for o in outputs if o.get("name") == "stderr"] == []
    expected = sum(VEGA in o.get("data", {}) for o in outputs)
    assert expected >= 5
    # A cell that is out of sight is not drawn: go to each that holds a chart, and wait until it is.
    holds = page.evaluate(HOLDS, VEGA)
    assert len(holds) == expected
    for at in holds:
        page.evaluate("at => window.jupyterapp.shell.currentWidget.content.scrollToItem(at, 'start')", at)
        page.wait_for_function(DRAWN, arg=at)
        if shots := os.environ.get("EVALKIT_SCREENSHOTS"):
            page.screenshot(path=str(Path(shots) / f"lab_{at:02}.png"))
    assert page.outside == []
    assert [text for text in page.said if not any(word in text for word in KNOWN)] == []
    assert page.evaluate("() => window.x") is None
