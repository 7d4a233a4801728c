"""A report onto the disk: HTML, Markdown, or a PDF that a local Chromium prints; never half a file."""

from __future__ import annotations

import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.report.html import to_html
from evalkit.report.markdown import to_markdown
from evalkit.util.atomic_files import atomic_write
from evalkit.util.errors import FormatError

if TYPE_CHECKING:
    from evalkit.report.blocks import Report

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def write(report: Report, path: Path, *, version: str) -> Path:
    """Write the report in the form that the suffix names, at once as a whole; make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    form = path.suffix.lower()
    with atomic_write(path) as fresh:
        if form == ".pdf":
            # In a thread of its own: Playwright refuses one in which a loop runs, as a notebook's does.
            with ThreadPoolExecutor(max_workers=1) as thread:
                thread.submit(_print_pdf, to_html(report, version=version), fresh).result()
        else:
            text = to_markdown(report) if form == ".md" else to_html(report, version=version)
            fresh.write_text(text, encoding="utf-8", newline="\n")
    return path


def chromium() -> str | None:
    """Return the Chromium that is on this machine, or None.

    `EVALKIT_CHROMIUM` names one; else /usr/bin/chromium and what PATH holds.
    """
    named = os.environ.get("EVALKIT_CHROMIUM")
    if named:
        return shutil.which(named)
    names = ("/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((found for name in names if (found := shutil.which(name))), None)


def _print_pdf(html: str, path: Path) -> None:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise FormatError(
            "A PDF needs Playwright: install evalkit-lab[pdf], or write report.html and print it from a browser."
        ) from None
    browser_path = chromium()
    if browser_path is None:
        raise FormatError(
            "A PDF needs a Chromium on this machine, and none was found: install one, name it in EVALKIT_CHROMIUM, "
            "or write report.html and print it from a browser."
        )
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        page_file = Path(folder) / "report.html"
        page_file.write_text(html, encoding="utf-8", newline="\n")
        browser = playwright.chromium.launch(executable_path=browser_path, args=list(_FLAGS))
        try:
            page = browser.new_page()
            # Nothing but the page itself is let in.
            page.route("**/*", lambda route: route.continue_() if route.request.url.startswith(("file:", "data:")) else route.abort())  # fmt: skip
            page.goto(page_file.as_uri())
            page.wait_for_function(
                "document.querySelectorAll('figure.chart').length === document.querySelectorAll('figure.chart[data-drawn]').length"
            )
            page.pdf(path=str(path), format="A4", tagged=True, outline=True, print_background=True, prefer_css_page_size=False)  # fmt: skip
        finally:
            browser.close()
