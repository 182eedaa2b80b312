"""Pages of other origins ask a gateway of this machine: refused, and no model hears of it.

Each asks with a request that is rightly signed, so that it is not the signature that refuses.
"""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page

from gprochat_magic import wire
from gprochat_magic.clock import Clock
from gprochat_magic.gateway.record import Record
from tests.browser.conftest import ARGUMENTS
from tests.gateways import Served, served

pytestmark = pytest.mark.browser
REBOUND = "rebound.example"
_clock = Clock()


class Watched:
    """A gateway on loopback TCP, and how each request to it ended."""

    def __init__(
        self, gateway: Served, records: list[Record], changed: threading.Condition
    ) -> None:
        self.backend = gateway.backend
        self.endpoint = gateway.gateway.endpoint
        self.secret = gateway.gateway.secret
        self.port = urlsplit(self.endpoint).port
        self.records = records
        self._changed = changed

    def signed(self) -> str:
        """The body of a request that is in order."""
        built = wire.build(
            [{"role": "user", "content": "from a page"}],
            secret=self.secret.reveal(),
            timestamp=_clock.now(),
        )
        return built.body.decode()

    def wait(self, count: int) -> list[int]:
        """The statuses of so many requests, once they have come."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.records) >= count, 30)
        return [record.status for record in self.records]


@pytest.fixture
def watched() -> Iterator[Watched]:
    """A gateway whose every request is noted."""
    records, changed = list[Record](), threading.Condition()

    def note(record: Record) -> None:
        if record.path == "/favicon.ico":
            return  # the browser asks by itself, once it is there
        with changed:
            records.append(record)
            changed.notify_all()

    with served(record=note) as running:
        yield Watched(running, records, changed)


@pytest.fixture(scope="module")
def page_server() -> Iterator[int]:
    """A server on another port of this machine that has an empty page; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>a page</title>")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def rebinding(browser: Browser, chromium: str) -> Iterator[Browser]:
    """A browser for which a name of the attacker's means this machine."""
    rules = f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1"
    launched = browser.browser_type.launch(executable_path=chromium, args=[*ARGUMENTS, rules])
    yield launched
    launched.close()


@pytest.fixture
def page(rebinding: Browser) -> Iterator[Page]:
    context = rebinding.new_context()
    yield context.new_page()
    context.close()


FETCH = """([url, options]) => fetch(url, {method: "POST", ...options}).then(
    (answer) => `${answer.type} ${answer.status}`, (error) => error.name)"""
FORM = """([url, body]) => {
  const form = document.createElement("form");
  Object.assign(form, { action: url, method: "post", enctype: "text/plain" });
  const field = document.createElement("input");
  // A text/plain form sends name=value: the "=" can be put where JSON does not mind it.
  Object.assign(field, { name: body.slice(0, -1) + ',"a":"', value: '"}' });
  form.append(field);
  document.body.append(form);
  form.submit();
}"""
BEACON = "([url, body]) => navigator.sendBeacon(url, body)"


def test_F102_pages_of_other_origins(page: Page, page_server: int, watched: Watched) -> None:
    """no-cors and cors fetches, a form and a beacon, from another port and another name: 403."""
    origins = [f"http://localhost:{page_server}", f"http://{REBOUND}:{page_server}"]
    plain = {"Content-Type": "text/plain;charset=UTF-8"}
    for origin in origins:
        page.goto(origin)
        opaque = {"mode": "no-cors", "body": watched.signed()}
        cors = {"mode": "cors", "headers": plain, "body": watched.signed()}
        preflighted = {**cors, "headers": {**plain, wire.SIGNATURE_HEADER: "v1=0"}}
        asks = [opaque, cors, preflighted]
        read = [page.evaluate(FETCH, [watched.endpoint, ask]) for ask in asks]
        assert page.evaluate(BEACON, [watched.endpoint, watched.signed()])
        with page.expect_navigation():
            page.evaluate(FORM, [watched.endpoint, watched.signed()])

        assert 3 * ["TypeError"] == read

    statuses = watched.wait(10)
    assert {403} == set(statuses)
    assert [] == watched.backend.asked


def test_F102_a_name_that_points_here(page: Page, watched: Watched) -> None:
    """A page whose own name was made to point here is of one origin with us, and gets 421."""
    origin = f"http://{REBOUND}:{watched.port}"
    page.goto(origin)

    path = f"{origin}{wire.PATH}"
    said = page.evaluate(FETCH, [path, {"body": watched.signed()}])

    assert "basic 421" == said
    assert {421} == set(watched.wait(2))
    assert [] == watched.backend.asked


def test_F102_the_same_request_from_no_page(watched: Watched) -> None:
    """What the pages sent is in order: from a client that is no browser it is answered."""
    request = urllib.request.Request(watched.endpoint, watched.signed().encode())
    form = json.loads(watched.signed()) | {"a": "="}
    as_form = urllib.request.Request(watched.endpoint, json.dumps(form).encode())

    for each in (request, as_form):
        with urllib.request.urlopen(each, timeout=10) as answer:
            assert b"ok" == answer.read()
    assert 2 == len(watched.backend.asked)
