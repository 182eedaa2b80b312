"""One browser, one Jupyter server and one scripted gateway for all tests here; a page for each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.listener import Listener, listening
from tests.browser.page import OpenPage, pages
from tests.browser.replies import Replies
from tests.browser.server import Server, jupyter
from tests.gateways import Served, served

# A busy machine is no fault of a page's.
expect.set_options(timeout=30_000)
ARGUMENTS = """
    --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync
""".split()  # noqa: SIM905 - as on a command line


@pytest.fixture(scope="package")
def chromium() -> str:
    """Where Chromium is. Without one the tests are skipped, but not where they must run."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("there is no Chromium, and the browser tests must run here")
    return found or pytest.skip("there is no Chromium")


# Not for the whole session: while it is open, no other test in this thread can have a loop.
@pytest.fixture(scope="package")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(scope="package")
def far() -> Iterator[Served]:
    """The gateway that the kernel `scripted` asks."""
    with served() as gateway:
        yield gateway


@pytest.fixture(scope="package")
def server(
    chromium: str, far: Served, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with jupyter(tmp_path_factory.mktemp("jupyter"), far.environment) as running:
        yield running


@pytest.fixture(scope="module")
def limiting(
    chromium: str, far: Served, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server that drops a kernel's messages beyond 100 a second."""
    limit = "--ZMQChannelsWebsocketConnection.iopub_msg_rate_limit=100"
    with jupyter(tmp_path_factory.mktemp("limiting"), far.environment, limit) as running:
        yield running


@pytest.fixture(scope="module")
def lacking(
    chromium: str, far: Served, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server whose pages have no anywidget, though the kernel has it."""
    home = tmp_path_factory.mktemp("lacking")
    with jupyter(home, far.environment, lacking="anywidget") as running:
        yield running


@pytest.fixture(scope="package")
def listener() -> Iterator[Listener]:
    with listening() as heard:
        yield heard


@pytest.fixture
def replies(far: Served) -> Iterator[Replies]:
    """What the scripted gateway says, by prompt."""
    said = Replies(far.backend)
    yield said
    said.go_on.set()


@pytest.fixture
def open_page(browser: Browser, server: Server) -> Iterator[OpenPage]:
    """Opens notebooks of the server's folder, each in a fresh browser profile."""
    with pages(browser, server) as open_one:
        yield open_one
