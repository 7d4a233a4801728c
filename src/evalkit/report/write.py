"""Write a report as HTML, Markdown, or a PDF printed by a local Chromium."""

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

_PRINT = "write report.html and print it from a browser."
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def write(report: Report, path: Path) -> Path:
    """Write the report atomically in the format of the suffix; make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = path.suffix.lower()
    with atomic_write(path) as fresh:
        if suffix == ".pdf":
            # In a thread: Playwright refuses one with a running event loop, as in a notebook.
            with ThreadPoolExecutor(max_workers=1) as thread:
                thread.submit(_print_pdf, to_html(report), fresh).result()
        else:
            text = to_markdown(report) if suffix == ".md" else to_html(report)
            fresh.write_text(text, encoding="utf-8", newline="\n")
    return path


def chromium() -> str | None:
    """Return the Chromium of this machine, that of `EVALKIT_CHROMIUM` first, or None."""
    named = os.environ.get("EVALKIT_CHROMIUM")
    if named:
        return shutil.which(named)
    names = ("/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((found for name in names if (found := shutil.which(name))), None)


def _print_pdf(html: str, path: Path) -> None:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise FormatError("A PDF needs Playwright.", fix=f"Install evalkit-lab[pdf], or {_PRINT}") from None
    browser_path = chromium()
    if browser_path is None:
        raise FormatError(
            "No Chromium found to print a PDF.",
            fix=f"Install one, set EVALKIT_CHROMIUM to its path, or {_PRINT}",
        )
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        page_file = Path(folder) / "report.html"
        page_file.write_text(html, encoding="utf-8", newline="\n")
        browser = playwright.chromium.launch(executable_path=browser_path, args=list(_FLAGS))
        try:
            page = browser.new_page()
            # Allow the page itself and nothing else.
            page.route("**/*", lambda route: route.continue_() if route.request.url.startswith(("file:", "data:")) else route.abort())  # fmt: skip
            page.goto(page_file.as_uri())
            page.wait_for_function(
                "document.querySelectorAll('figure.chart').length === document.querySelectorAll('figure.chart[data-drawn]').length"
            )
            page.pdf(path=str(path), format="A4", tagged=True, outline=True, print_background=True, prefer_css_page_size=False)  # fmt: skip
        finally:
            browser.close()
