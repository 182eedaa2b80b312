"""A listener on loopback that notes every request; a page should make none."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Listener:
    """Where hostile replies point to, and the paths that something asked for."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.hits: list[str] = []


@contextlib.contextmanager
def listening() -> Iterator[Listener]:
    """A listener on a free port, which answers with a script to whatever asks."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            noted.hits.append(self.path)
            self.send_response(200)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Content-Type", "text/javascript")
            self.end_headers()
            self.wfile.write(b"parent.pwned = 1")

        do_POST = do_HEAD = do_OPTIONS = do_GET  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    noted = Listener(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield noted
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
