"""The chat panel of a notebook's page: its parts, and what a reader does with them."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, expect

from tests.browser.page import OpenPage, Page
from tests.browser.server import Server

CELLS = ["%load_ext gprochat_magic", "%gprochat panel"]


def part(page: Page, name: str, index: int = 1) -> Locator:
    """A part of the panel that a cell shows."""
    return page.cell(index).locator(f"[data-gp='{name}']")


def opened(open_page: OpenPage, server: Server, name: str, *cells: str, **options: Any) -> Page:
    """A notebook whose second cell shows its panel; more `cells` come behind it, and do not run."""
    page = open_page(server.write(name, [*CELLS, *cells]), server=server, **options)
    page.run(0)
    page.run(1)
    expect(part(page, "composer")).to_be_visible()
    return page


def send(page: Page, text: str, index: int = 1) -> None:
    """Type a prompt and press Enter."""
    part(page, "composer", index).fill(text)
    part(page, "composer", index).press("Enter")


def last(page: Page, index: int = 1) -> Locator:
    """The body of the last message."""
    return part(page, "msg", index).last.locator(".gp-body")
