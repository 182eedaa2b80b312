"""A notebook in a browser's page: run cells, wait for what comes of them, save, look."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, Error, Locator, Request
from playwright.sync_api import Page as BrowserPage

from tests.browser.server import TOKEN, Server

App = Literal["lab", "notebook"]
PATIENCE = 60_000
WATCH = Path(__file__).with_name("watch.js")
_numbers = itertools.count()
_READY = """() => {
  const widget = window.jupyterapp?.shell?.currentWidget;
  const kernel = widget?.context?.sessionContext?.session?.kernel;
  return kernel?.status === 'idle' && kernel?.connectionStatus === 'connected';
}"""
# Not awaited: a page that waits for a kernel answers no other question.
_RUN = """([command, index]) => {
  const content = jupyterapp.shell.currentWidget.content;
  content.activeCellIndex = index ?? content.activeCellIndex;
  const run = (window.run = { ended: false });
  jupyterapp.commands.execute(command).finally(() => { run.ended = true; });
}"""


class Page:
    """One notebook, opened in JupyterLab or Notebook 7, with a watch on what its outputs do."""

    def __init__(self, page: BrowserPage, server: Server, app: App) -> None:
        self.page = page
        self.server = server
        self.app = app
        self.path = ""
        self.foreign: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.add_init_script(path=WATCH)
        page.on("request", self._note)

    def open(self, path: str) -> Page:
        """Go to a notebook, and wait for its kernel."""
        self.path = path
        place = f"lab/workspaces/w{next(_numbers)}/tree" if self.app == "lab" else "notebooks"
        self.page.goto(f"{self.server.origin}/{place}/{path}?token={TOKEN}&reset")
        self._wait_through_reloads(_READY)
        return self

    def start(self, index: int) -> None:
        """Run a cell, without waiting for its end."""
        self.page.evaluate(_RUN, ["notebook:run-cell", index])

    def run(self, index: int) -> None:
        """Run a cell to its end."""
        self.start(index)
        self.wait_until_ran()

    def run_all(self) -> None:
        """Run all cells to the end of the last."""
        self.page.evaluate(_RUN, ["notebook:run-all-cells", None])
        self.wait_until_ran()

    def wait_until_ran(self) -> None:
        self.page.wait_for_function("() => window.run?.ended ?? true", timeout=2 * PATIENCE)

    def cell(self, index: int) -> Locator:
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def output(self, index: int) -> Locator:
        """What a cell has put out, all of it."""
        return self.cell(index).locator(".jp-OutputArea-output")

    def reply(self, index: int) -> Locator:
        """The reply that a cell shows."""
        return self.cell(index).locator(".gprochat")

    def write(self, index: int, source: str) -> None:
        """Replace what stands in a cell."""
        self.page.evaluate(
            """([index, source]) => jupyterapp.shell.currentWidget.content.widgets[index]
              .model.sharedModel.setSource(source)""",
            [index, source],
        )

    def is_trusted(self, index: int) -> bool:
        """Whether the front end takes a cell for one that its user ran."""
        return bool(
            self.page.evaluate(
                "(index) => jupyterapp.shell.currentWidget.content.widgets[index].model.trusted",
                index,
            )
        )

    def save(self) -> None:
        """Save, as a user does."""
        self.command("docmanager:save")

    def restart(self) -> None:
        """Restart the kernel, as a user does."""
        self.page.evaluate(_RUN, ["notebook:restart-kernel", None])
        self.page.locator(".jp-Dialog .jp-mod-accept").click()
        self.wait_until_ran()
        self.page.wait_for_function(_READY)

    def command(self, name: str, **arguments: Any) -> None:
        """Execute one of the front end's commands to its end."""
        self.page.evaluate(
            "([name, values]) => jupyterapp.commands.execute(name, values).then(() => null)",
            [name, arguments],
        )

    @property
    def seen(self) -> list[str]:
        """What the watch saw that must not be."""
        return list(self.page.evaluate("window.seen"))

    def settle(self) -> None:
        """Give what could still happen, such as a late fetch, the time to happen."""
        self.page.wait_for_timeout(500)

    def _note(self, request: Request) -> None:
        if not request.url.startswith((self.server.origin, "data:", "blob:")):
            self.foreign.append(request.url)

    def _wait_through_reloads(self, condition: str) -> None:
        # The front end rewrites its address a few times while it loads.
        for _ in range(5):
            try:
                self.page.wait_for_function(condition)
            except Error as error:
                if not re.search("context was destroyed|navigation", str(error)):
                    raise
            else:
                return
        raise RuntimeError("the page keeps reloading")


OpenPage = Callable[..., Page]


@contextlib.contextmanager
def pages(browser: Browser, server: Server) -> Iterator[OpenPage]:
    """Opens notebooks, each in a fresh profile; `scale` makes a sharper picture.

    Another `server` than the usual one can be named.

    At a good end, none of the pages may have asked anything of any other origin.
    """
    opened: list[Page] = []

    def open_one(
        path: str,
        *,
        app: App = "lab",
        size: tuple[int, int] = (1280, 900),
        scale: float = 1,
        server: Server = server,
    ) -> Page:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, device_scale_factor=scale
        )
        opened.append(Page(context.new_page(), server, app))
        return opened[-1].open(path)

    try:
        yield open_one
    finally:
        for page in opened:
            page.page.context.close()
            page.server.end_session(page.path)
    foreign = [url for page in opened for url in page.foreign]
    assert not foreign, f"asked of others: {foreign}"
