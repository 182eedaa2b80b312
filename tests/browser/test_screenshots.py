"""The pictures in the README: taken anew when `GPROCHAT_SCREENSHOTS` is set."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.page import OpenPage
from tests.browser.server import Server

pytestmark = pytest.mark.browser

IMAGES = Path(__file__).parents[2] / "notebooks" / "images"
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
CELLS = ["%load_ext gprochat_magic", "%%gprochat\nWhat can you show me?"]
SIZE = (1024, 880)
PANEL = (940, 660)
BARE = """async () => {
  await jupyterapp.restored;
  const { shell } = jupyterapp;
  shell.collapseLeft();
  for (const side of ['left', 'right'])
    if (shell.isSideTabBarVisible(side)) shell.toggleSideTabBarVisibility(side);
}"""
LARGEST = 300_000
LARGEST_PANEL = 150_000


@pytest.mark.skipif(not os.environ.get("GPROCHAT_SCREENSHOTS"), reason="no pictures are wanted")
@pytest.mark.parametrize("ground", THEMES)
def test_the_first_prompt_in_a_picture(open_page: OpenPage, server: Server, ground: str) -> None:
    """A streamed reply in JupyterLab, on this ground, in a file that a README can bear."""
    page = open_page(server.write("first_prompt", CELLS, kernel="python3"), scale=2, size=SIZE)
    page.command("apputils:change-theme", theme=THEMES[ground])
    page.page.evaluate(BARE)
    page.run_all()
    expect(page.reply(1).locator("mjx-container")).to_have_count(2)
    page.save()
    page.page.evaluate("jupyterapp.shell.currentWidget.content.node.scrollTop = 0")
    page.settle()
    file = IMAGES / f"first_prompt_{ground}.png"
    page.page.screenshot(path=file)

    assert page.page.locator(".jp-SideBar:visible").count() == 0
    assert page.page.locator(".Toastify__toast, .jp-Dialog").count() == 0
    assert file.stat().st_size < LARGEST


@pytest.mark.skipif(not os.environ.get("GPROCHAT_SCREENSHOTS"), reason="no pictures are wanted")
@pytest.mark.parametrize(("ground", "typed"), [("light", ""), ("dark", "/")])
def test_the_panel_in_a_picture(
    open_page: OpenPage, server: Server, ground: str, typed: str
) -> None:
    """A short talk in the panel, on this ground, with what is typed next."""
    cells = [CELLS[0], "%gprochat panel"]
    page = open_page(server.write("panel", cells, kernel="python3"), scale=2, size=PANEL)
    page.command("apputils:change-theme", theme=THEMES[ground])
    page.page.evaluate(BARE)
    page.run_all()
    box = page.page.locator("[data-gp='composer']")
    box.fill("code")
    box.press("Enter")
    expect(page.page.locator("[data-gp='log'] pre")).to_have_count(2)
    expect(page.page.locator("[data-gp='send']")).to_be_visible()
    box.press_sequentially(typed)
    page.settle()
    file = IMAGES / f"panel_{ground}.png"
    page.page.screenshot(path=file)

    assert page.page.locator(".Toastify__toast, .jp-Dialog").count() == 0
    assert file.stat().st_size < LARGEST_PANEL
