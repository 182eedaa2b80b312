// The helpers of the panel's module that need no page: `node --test tests/panel/`.
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  Feed, Host, Recall, catalogue, completion, composing, duration, fill, footer, submits,
  target, withMessage,
} from "../../gprochat_magic/notebook/panel.mjs";

const key = (fields) => ({ key: "Enter", shiftKey: false, altKey: false, keyCode: 13, ...fields });

test("Enter sends, and no other key, nor one of an input method", () => {
  assert.equal(submits(key({})), true);
  for (const other of [{ shiftKey: true }, { altKey: true }, { isComposing: true }, { keyCode: 229 }, { key: "a" }])
    assert.equal(submits(key(other)), false);
  assert.equal(composing(key({ keyCode: 229 })), true);
});

test("the catalogues have the same words, with the same blanks", () => {
  const [en, ru] = [catalogue(["en-GB"]), catalogue(["xx", "ru-RU", "en"])];
  assert.deepEqual(Object.keys(ru).sort(), Object.keys(en).sort());
  for (const [name, words] of Object.entries(en)) {
    if (name === "name") continue;
    const blanks = (/** @type {any} */ text) => String(text).match(/\{\w+\}/g);
    assert.deepEqual(blanks(ru[name]), blanks(words), name);
    assert.notDeepEqual(ru[name], words, name);
  }
  assert.equal(catalogue(["__proto__", "constructor"]).name, "en");
});

test("words are filled in, and what is not known stays", () => {
  assert.equal(fill("{n} of {m}", { n: 0 }), "0 of {m}");
  assert.equal(duration(1.26), "1.3s");
  assert.match(duration(1.26, "ru"), /^1,3\sс$/);
  assert.equal(footer({ model: "a", backend: "a", elapsed: 2, first: null, tokens: 0 }), "a · 2s");
});

test("only web and mail addresses are links", () => {
  for (const good of ["https://a.test/x?y#z", "HTTP://a.test", "mailto:a@b.test"])
    assert.equal(target(good)?.href, new URL(good).href);
  for (const bad of ["javascript:a", " https://a.test", "java\tscript:a", "//a.test", "/lab", "#a", "",
    "data:text/html,a", "https://", "https://a b.test", "vbscript:a", "blob:https://a", "http:a"])
    assert.equal(target(bad), null, bad);
});

test("the menu knows what is being typed", () => {
  const rows = (text, at = text.length) =>
    completion(text, at, [["models", "m"], ["new", "n"]], ["df", "data"])?.rows.map((row) => row.insert);
  assert.deepEqual(rows("/"), ["/models ", "/new "]);
  assert.deepEqual(rows("/N"), ["/new "]);
  assert.deepEqual(rows("plot @d"), ["{df}", "{data}"]);
  assert.deepEqual(rows("(@df"), ["{df}"]);
  for (const none of ["a/b", " /new", "me@d", "/new x", "plain", ""]) assert.equal(rows(none), undefined, none);
  assert.equal(rows("@df and more", 12), undefined);
});

test("earlier prompts are walked, and a draft is not lost", () => {
  const recall = new Recall(() => ["a", "b"]);
  assert.equal(recall.step("draft", 1), null);
  assert.equal(recall.step("", -1), null);
  assert.equal(recall.step("", 1), "b");
  assert.equal(recall.step("b", 1), "a");
  assert.equal(recall.step("a", 1), null);
  assert.equal(recall.step("a", -1), "b");
  assert.equal(recall.step("b", -1), "");
  assert.equal(recall.step("", 1), "b");
  assert.equal(recall.step("b changed", 1), null);
});

test("deltas in order are applied, late ones are not, a gap is seen", () => {
  const feed = new Feed("r");
  assert.equal(feed.have, -1);
  assert.deepEqual([0, 0, 1, 3].map((seq) => feed.take(seq)), ["apply", "late", "apply", "gap"]);
  assert.equal(feed.have, 1);
  assert.equal(feed.take(0, true), "late");
  assert.equal(feed.take(1, true), "late");
  assert.equal(feed.take(3, true), "apply");
  assert.deepEqual([3, 4].map((seq) => feed.take(seq)), ["late", "apply"]);
});

test("a message takes the place of its older self", () => {
  const [a, b] = [{ id: "a", role: "user" }, { id: "b", role: "user" }];
  assert.deepEqual(withMessage([a, b], { ...a, text: "x" }).map(({ id, text }) => [id, text]), [["a", "x"], ["b", undefined]]);
  assert.deepEqual(withMessage([a], b), [a, b]);
});

test("cells are added one below the other, and where there are none nothing happens", () => {
  const cells = ["panel", "next"];
  const insertCell = (at, { source }) => (cells.splice(at, 0, source), source);
  const place = { closest: () => ({ dataset: { windowedListIndex: "0" } }) };
  const host = new Host({ context: { model: { sharedModel: { cells, insertCell } } } }, place);
  assert.equal(host.insert("one"), true);
  assert.equal(host.insert("two"), true);
  assert.deepEqual(cells, ["panel", "one", "two", "next"]);
  assert.equal(new Host(undefined, place).insert("x"), false);
  assert.equal(new Host({}, place).canInterrupt, false);
});
