from __future__ import annotations

import os

import pytest

from evalkit.reports.files import chromium

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


@pytest.fixture(scope="session")
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
        page.on(
            "console",
            lambda message: said.append(message.text) if message.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: said.append(str(error)))
        page.outside, page.said = outside, said
        page.goto(target if isinstance(target, str) else target.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def axe():
    """A function that returns the violations of accessibility rules on a page, in words."""

    def violations(page):
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(page).response["violations"]
        return [
            f"{one['id']} ({one['impact']}): {one['nodes'][0]['target']} {one['nodes'][0]['failureSummary']}"
            for one in found
        ]

    return violations
