"""The panel's module alone in a page: no Jupyter, a model that is scripted and noted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from playwright.sync_api import Browser, Locator, Page, Route

from gprochat_magic import markdown

ORIGIN = "http://127.0.0.1:9"
_ROOM = files("gprochat_magic") / "notebook"
MODULE = (_ROOM / "panel.mjs").read_text(encoding="utf-8")
STYLE = (_ROOM / "panel.css").read_text(encoding="utf-8")
# JupyterLab's own values.
THEMES = {
    "light": """--jp-layout-color0: white; --jp-layout-color1: white; --jp-border-color2: #e0e0e0;
      --jp-content-font-color1: rgba(0,0,0,.87); --jp-brand-color1: #1976d2;
      --jp-ui-inverse-font-color1: #fff; --jp-content-link-color: #0d47a1;
      --jp-error-color1: #d32f2f""",
    "dark": """--jp-layout-color0: #111; --jp-layout-color1: #212121; --jp-border-color2: #424242;
      --jp-content-font-color1: #fff; --jp-brand-color1: #2196f3;
      --jp-ui-inverse-font-color1: rgba(0,0,0,.8); --jp-content-link-color: #64b5f6;
      --jp-error-color1: #f44336""",
    "none": "",
}
# What JupyterLab offers to a widget.
NOTEBOOK = """({
  kernel: { interrupt: () => { window.interrupted = true; return Promise.resolve(); },
    requestKernelInfo: () => Promise.resolve({ header: { session: window.kernel_ ?? "old" } }),
    statusChanged: { connect(f) { window.status_ = f; }, disconnect() { window.status_ = null; } },
    connectionStatusChanged: { connect(f) { window.line_ = f; }, disconnect() {} },
    iopubMessage: { connect(f) { window.iopub_ = f; }, disconnect() { window.iopub_ = null; } } },
  context: { save() { window.saved = true; }, model: { sharedModel: { cells: [],
    insertCell(at, cell) {
    this.cells.splice(at, 0, cell); (window.inserted ??= []).push([at, cell]); return cell; } } } },
  rendermime: { latexTypesetter: { typeset(e) { (window.typeset ??= []).push(e.innerText); } } },
})"""
_MODEL = """
window.pwnings = [];
Object.defineProperty(window, 'pwned', { set: () => pwnings.push(1), get: () => undefined });
window.fake = (state, manager) => {
  const on = {};
  return {
    sent: [], state, widget_manager: manager, on_: on,
    get: (key) => state[key],
    set(key, value) { state[key] = value; (on['change:' + key] ?? []).forEach((f) => f()); },
    save_changes() {},
    send(m) { if (this.dead) throw new Error('Cannot send'); this.sent.push(m); this.onsend?.(m); },
    on(name, f) { (on[name] ??= []).push(f); },
    off(name, f) { on[name] = (on[name] ?? []).filter((g) => g !== f); },
    emit(m) { (on['msg:custom'] ?? []).forEach((f) => f(m, [])); },
    fire(name) { (on[name] ?? []).forEach((f) => f()); },
  };
};
"""
_MOUNT = """async ([source, state, manager]) => {
  const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
  window.module = await import(url);
  window.model = fake(state, manager ? eval(manager) : undefined);
  window.mount = () => module.default.render({ model, el: document.getElementById('el') });
  window.unmount = mount();
}"""


def message(mid: str, role: str, text: str, **fields: Any) -> dict[str, Any]:
    """A message as Python sends it."""
    shown = {"html": markdown.render(text), "text": text, "status": "complete", "error": ""}
    rest = {"meta": {}, "number": 1, "alternative": [1, 1], "stale": False}
    return {"id": mid, "role": role, **shown, **rest, **fields}


def snapshot(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The state at a turn's boundary."""
    names = {"conversation": "default", "names": ["default", "thesis"]}
    models = {"model": "demo", "models": ["demo", "large"]}
    words = {
        "commands": [["models", "which there are"], ["new", "begin anew"], ["retry", "ask again"]],
        "variables": ["df", "data", "text"],
    }
    base = {"v": 1, **names, **models, **words, "messages": list(messages), "run": None}
    return {**base, **fields}


class Mounted:
    """A panel in a page, and what it sent."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.foreign: list[str] = []
        self.errors: list[str] = []
        page.set_default_timeout(10_000)
        page.route("**/*", self._answer)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda said: self._note(said.type, said.text))

    def _note(self, kind: str, text: str) -> None:
        if kind == "error":
            self.errors.append(text)

    def _answer(self, route: Route) -> None:
        if route.request.url == f"{ORIGIN}/":
            route.fulfill(body=self.body, content_type="text/html; charset=utf-8")
        else:
            self.foreign.append(route.request.url)
            route.abort()

    def open(
        self, state: dict[str, Any] | None = None, *, theme: str = "light", manager: str = ""
    ) -> Mounted:
        """Load the page and mount the panel; `manager` is JavaScript for the widget manager."""
        ground = "Canvas" if theme == "none" else "var(--jp-layout-color0)"
        self.body = (
            f"<!doctype html><style>:root{{{THEMES[theme]}}}body{{background:{ground}}}{STYLE}"
            f"</style><script>{_MODEL}</script><main id=el></main>"
        )
        self.page.goto(f"{ORIGIN}/")
        full = {"snapshot": state or snapshot(), "state": "idle", "ui": {}}
        self.page.evaluate(_MOUNT, [MODULE, full, manager])
        return self

    def stop_clock(self) -> Mounted:
        """From the next page on, time goes on only by `pass_time`."""
        self.page.clock.install(time=0)
        self.page.clock.pause_at(1)
        return self

    def pass_time(self, ms: int) -> None:
        """Let so many milliseconds pass, with all that is due in them."""
        self.page.clock.run_for(ms)

    def at(self, hook: str) -> Locator:
        """The element that bears this hook."""
        return self.page.locator(f'[data-gp="{hook}"]')

    @property
    def box(self) -> Locator:
        return self.at("composer")

    def emit(self, kind: str, **fields: Any) -> None:
        """A message from Python."""
        self.page.evaluate("(m) => model.emit(m)", {"t": kind, **fields})

    def turn(self, state: dict[str, Any]) -> None:
        """A turn's boundary."""
        self.page.evaluate("(s) => model.set('snapshot', s)", state)

    def sent(self, kind: str = "") -> list[dict[str, Any]]:
        """What the panel sent, of this kind or all but its greeting."""
        everything: list[dict[str, Any]] = self.page.evaluate("model.sent")
        return [m for m in everything if m["t"] == kind or (not kind and m["t"] != "hello")]

    def ask(self, text: str = "hi", *, rid: str = "r1") -> None:
        """Send a prompt, and have its run opened."""
        self.box.fill(text)
        self.box.press("Enter")
        self.emit("ack", nonce=self.sent("send")[-1]["nonce"])
        self.emit("open", rid=rid, mid=f"{rid}.a", user=message(f"{rid}.u", "user", text))

    def end(self, text: str, *, rid: str = "r1", seq: int = 9, **fields: Any) -> None:
        """The one end of a run."""
        final = message(f"{rid}.a", "assistant", text, **fields)
        self.emit("done", rid=rid, seq=seq, message=final, notes=[])

    def replies(self) -> list[str]:
        """The text of each reply that is shown."""
        shown = self.page.locator('.gp-msg[data-role="assistant"] .gp-body')
        texts: list[str] = shown.evaluate_all("(all) => all.map((e) => e.innerText.trim())")
        return texts

    def frame(self) -> None:
        """Wait until what was asked for is drawn."""
        self.page.evaluate(
            "() => new Promise((d) => requestAnimationFrame(() => requestAnimationFrame(d)))"
        )


@contextlib.contextmanager
def mounted(browser: Browser, **options: Any) -> Iterator[Mounted]:
    """A fresh page for a panel; at a good end it has fetched nothing and has had no errors."""
    context = browser.new_context(viewport={"width": 900, "height": 800}, **options)
    panel = Mounted(context.new_page())
    try:
        yield panel
    finally:
        context.close()
    assert panel.foreign == []
    assert panel.errors == []
