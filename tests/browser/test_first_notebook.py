"""The first notebook, as a newcomer runs it: opened in JupyterLab, all cells at once."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect

from tests.browser.page import App, OpenPage
from tests.browser.server import Server

pytestmark = pytest.mark.browser

FIRST = Path(__file__).parents[2] / "notebooks" / "01_first_prompt.ipynb"


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_the_first_notebook_runs_from_its_menu(
    open_page: OpenPage, server: Server, app: App
) -> None:
    """Run All fills every cell that asks with a reply of the demo, without an error."""
    notebook = nbformat.read(FIRST, as_version=4)  # type: ignore[no-untyped-call]
    page = open_page(server.write_notebook(f"first-{app}", notebook), app=app)
    page.run_all()

    asking = [n for n, cell in enumerate(notebook.cells) if cell.source.startswith("%%gprochat")]
    assert asking
    for index in asking:
        expect(page.reply(index).locator(".gprochat-note")).to_contain_text("demo")
    errors = page.page.locator("[data-mime-type='application/vnd.jupyter.error']")
    assert errors.all_text_contents() == []
    assert page.seen == []
