from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

import nbformat
import pytest

from evalkit.report.write import chromium

if TYPE_CHECKING:
    from pathlib import Path

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LOCAL = (
    "file:",
    "data:",
    "blob:",
    "about:",
    "http://127.0.0.1",
    "http://localhost",
    "ws://127.0.0.1",
    "ws://localhost",
)

READY = """() => { const w = window.jupyterapp?.shell.currentWidget;
  return !!(w && w.context?.isReady && w.sessionContext?.isReady
    && w.sessionContext.session?.kernel?.status === 'idle'); }"""
OUTPUTS = """() => [...window.jupyterapp.shell.currentWidget.content.model.cells]
  .flatMap(cell => (cell.toJSON().outputs || []))"""
RUN = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"

# What an old JupyterLab says of its own modules and languages.
OLD_LAB = ("Unsatisfied version", "No satisfying version", "Language pack")


# As long as Playwright is open, its thread counts as one with a running event loop, in which no other test could call
# `asyncio.run`: so it is closed with the file that opened it, whichever file the worker takes next.
@pytest.fixture(scope="module")
def browser():
    """A real Chromium. Without one the tests are skipped, under CI=true they fail."""
    path = chromium()
    if path is None:
        reason = "no Chromium on this machine; EVALKIT_CHROMIUM names one"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser):
    """A function that opens a page with the network shut; `page.outside` and `page.said` record what it tried."""
    contexts = []

    def opened(target, *, scripts=True, width=1280, height=800, scheme="light"):
        context = browser.new_context(
            viewport={"width": width, "height": height},
            java_script_enabled=scripts,
            color_scheme=scheme,
            reduced_motion="reduce",
        )
        contexts.append(context)
        context.set_default_timeout(20_000)
        outside, said = [], []

        def shut(route):
            if route.request.url.startswith(LOCAL):
                route.continue_()
            else:
                outside.append(route.request.url)
                route.abort()

        context.route("**/*", shut)
        page = context.new_page()

        def note(message):
            if message.type in ("error", "warning") and not message.text.startswith(OLD_LAB):
                said.append(message.text)

        page.on("console", note)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.outside, page.said = outside, said
        page.goto(target if isinstance(target, str) else target.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: its address, its token, and the folder that it shows."""

    url: str
    token: str
    root: Path

    def write(self, name, *cells):
        """Put a notebook with these cells into the folder; return its path there."""
        made = [nbformat.v4.new_code_cell(cell) for cell in cells]
        # Without the kernel's name JupyterLab asks for it.
        kernel = {"name": "python3", "display_name": "Python 3"}
        notebook = nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": kernel})
        nbformat.write(notebook, self.root / name)
        return name


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab of its own for each module of tests, with settings, kernels and workspaces of its own."""
    root = tmp_path_factory.mktemp("lab")
    settings = root / ".settings/@jupyterlab/apputils-extension"
    settings.mkdir(parents=True)
    # Else a pop-up with news covers the page.
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
    places = {name: str(root / folder) for name, folder in folders.items()}
    environment = {**os.environ, "JUPYTER_PLATFORM_DIRS": "1", **places}
    token = secrets.token_hex(16)
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0"),
        "--LabApp.expose_app_in_browser=True",
        f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={root}",
    ]
    log = (root / "lab.log").open("wb")
    server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, stdin=subprocess.DEVNULL)
    try:
        yield Lab(_address(root, server, token), token, root)
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


@pytest.fixture
def run_notebook(lab, open_page):
    """A function that opens a notebook of the lab and runs all its cells; `page.outputs()` reads what they gave.

    Nothing may go wrong in a cell. `dark` is JupyterLab in its dark theme.
    """

    def run(name, *, width=1400, height=1000, dark=False):
        settings = lab.root / ".settings/@jupyterlab/apputils-extension/themes.jupyterlab-settings"
        settings.write_text(json.dumps({"theme": f"JupyterLab {'Dark' if dark else 'Light'}"}))
        page = open_page(f"{lab.url}/lab/tree/{name}?reset&token={lab.token}", width=width, height=height)
        # Eight seconds alone; the machine may have other things to do.
        page.set_default_timeout(60_000)
        page.wait_for_function("() => window.jupyterapp")
        page.evaluate("() => window.jupyterapp.restored")
        page.wait_for_function(READY)
        if dark:
            theme = "apputils:change-theme"
            page.evaluate(
                f"() => window.jupyterapp.commands.execute('{theme}', {{theme: 'JupyterLab Dark'}})"
            )
            page.wait_for_function("() => document.body.dataset.jpThemeLight === 'false'")
        page.outputs = lambda: page.evaluate(OUTPUTS)
        page.evaluate(RUN)
        assert [o for o in page.outputs() if o["output_type"] == "error"] == []
        return page

    return run


@pytest.fixture
def axe():
    """A function that returns the violations of accessibility rules on a page, or inside a selector, in words."""

    def violations(page, within=None):
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(page, context=within).response["violations"]
        return [
            f"{one['id']} ({one['impact']}): {one['nodes'][0]['target']} {one['nodes'][0]['failureSummary']}"
            for one in found
        ]

    return violations
