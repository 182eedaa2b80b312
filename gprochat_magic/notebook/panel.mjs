/**
 * The chat panel in the browser: a view of the state that Python holds.
 *
 * - Nothing is loaded and nothing is kept but an unsent draft. Truth comes as the trait `snapshot`
 *   at turn boundaries, and as numbered deltas between them.
 * - HTML becomes nodes only through `inert`, which builds anew what is on its list.
 * - Every listener, observer and timer ends with its view.
 *
 * @typedef {{id: string, role: "user"|"assistant", html?: string, text?: string, status?: string,
 *   error?: string, meta?: Record<string, any>, number?: number, alternative?: [number, number],
 *   stale?: boolean, notes?: string[]}} Message
 * @typedef {{t: string, rid?: string, seq?: number, [key: string]: any}} Packet
 */

// ---- words -------------------------------------------------------------------------------------

const STRINGS = {
  en: {
    panel: "Chat", log: "Conversation", you: "You", assistant: "Assistant", composer: "Message",
    placeholder: "Ask something. @ for variables", send: "Send", stop: "Stop",
    placeholderWithCommands: "Ask something. / for commands, @ for variables",
    model: "Model", conversation: "Conversation", fresh: "New conversation",
    undo: "Undo the last exchange", retry: "Retry", retryIn: "Retry in {n}", edit: "Edit",
    copy: "Copy", copied: "Copied", copyFailed: "The browser did not let us copy",
    copyCode: "Copy code", insert: "Insert below", inserted: "Inserted below, not run",
    insertCopied: "Copied: cells cannot be added here", tooLong: "Longer than 1 MB: not done",
    previous: "Earlier answer", next: "Later answer", jump: "Jump to the latest",
    jumpUnread: "Jump to the latest: new messages", resend: "Send again", cancel: "Cancel",
    menu: "Suggestions", waiting: "Waiting for the reply", streaming: "Generating",
    stopping: "Stopping", complete: "Reply complete", unverified: "The end could not be confirmed",
    interrupted: "Stopped", failed: "Failed", busy: "Wait for this reply, or stop it",
    stale: "Answered before an earlier turn was changed", again: "Trying again in {n}. {why}",
    kernelBusy: "The kernel is busy with a cell.", interrupt: "Interrupt the kernel",
    byHand: "Interrupt it in the Kernel menu.", interruptFailed: "The kernel did not take it.",
    gone: "The kernel was restarted. Run this cell again: your draft is kept.",
    lost: "No connection to the kernel. Your draft is kept.", first: "first text {n}",
    tokens: "~{n} tokens", welcome: "What shall we look at?",
    suggestions: ["What can you do here?", "Explain the last error", "Plot a sine wave"],
  },
  ru: {
    panel: "Чат", log: "Беседа", you: "Вы", assistant: "Ассистент", composer: "Сообщение",
    placeholder: "Спросите о чём-нибудь. @ переменные",
    placeholderWithCommands: "Спросите о чём-нибудь. / команды, @ переменные",
    send: "Отправить", stop: "Остановить", model: "Модель", conversation: "Беседа", fresh: "Новая беседа",
    undo: "Отменить последний обмен", retry: "Повторить", retryIn: "Повторить через {n}",
    edit: "Изменить", copy: "Копировать", copied: "Скопировано",
    copyFailed: "Браузер не дал скопировать", copyCode: "Копировать код", insert: "Вставить ниже",
    inserted: "Вставлено ниже, не запущено", insertCopied: "Скопировано: ячейки здесь не добавить",
    tooLong: "Больше 1 МБ: не сделано", previous: "Предыдущий ответ", next: "Следующий ответ",
    jump: "К последнему сообщению", jumpUnread: "К последнему: есть новые сообщения",
    resend: "Отправить снова", cancel: "Отмена", menu: "Подсказки", waiting: "Ждём ответа",
    streaming: "Пишет", stopping: "Останавливаем", complete: "Ответ готов",
    unverified: "Не удалось подтвердить, что это конец", interrupted: "Остановлено",
    failed: "Не удалось", busy: "Дождитесь этого ответа или остановите его",
    stale: "Отвечено до изменения одного из прошлых сообщений",
    again: "Новая попытка через {n}. {why}", kernelBusy: "Ядро занято ячейкой.",
    interrupt: "Прервать ядро", byHand: "Прервите его в меню «Ядро».",
    interruptFailed: "Ядро не ответило.",
    gone: "Ядро перезапущено. Выполните эту ячейку снова: черновик сохранён.",
    lost: "Нет связи с ядром. Черновик сохранён.", first: "первый текст {n}",
    tokens: "токенов: ~{n}", welcome: "На что посмотрим?",
    suggestions: ["Что ты умеешь?", "Объясни последнюю ошибку", "Нарисуй синусоиду"],
  },
};

/** The words for the first of these languages that there are words for. */
export function catalogue(/** @type {readonly string[]} */ languages) {
  for (const language of languages) {
    const name = String(language).toLowerCase().split(/[-_]/)[0];
    if (Object.hasOwn(STRINGS, name)) return { name, ...STRINGS[/** @type {"en"} */ (name)] };
  }
  return { name: "en", ...STRINGS.en };
}

/** `template` with `{name}` replaced by the values. */
export function fill(/** @type {string} */ template, /** @type {Record<string, any>} */ values) {
  return template.replace(/\{(\w+)\}/g, (all, name) => String(values[name] ?? all));
}

/** Seconds, as people of that language write them. */
export function duration(/** @type {number} */ seconds, language = "en", digits = 1) {
  const style = /** @type {const} */ ({ style: "unit", unit: "second", unitDisplay: "narrow" });
  return new Intl.NumberFormat(language, { ...style, maximumFractionDigits: digits })
    .format(Math.max(0, seconds));
}

/** What stands below a reply: who answered, how long it took, how much it was. */
export function footer(/** @type {Record<string, any>} */ meta, words = catalogue([])) {
  const { model, backend, elapsed, first, tokens } = meta ?? {};
  const parts = [model, backend !== model && backend];
  const took = (/** @type {number} */ n) => duration(n, words.name, n < 0.1 ? 2 : 1);
  if (elapsed > 0) parts.push(took(elapsed));
  if (first >= 0.005) parts.push(fill(words.first, { n: took(first) }));
  if (tokens) parts.push(fill(words.tokens, { n: tokens }));
  return parts.filter(Boolean).join(" · ");
}

// ---- pure helpers ------------------------------------------------------------------------------

const LONGEST = 1_000_000;
const chance = () => crypto.getRandomValues(new Uint32Array(3)).join("-");
const bytes = (/** @type {string} */ text) => new TextEncoder().encode(text).length;
const secondsTo = (/** @type {number} */ until) =>
  Math.max(0, Math.ceil((until - Date.now()) / 1000));

/** Whether a key belongs to an input method. */
export function composing(/** @type {KeyboardEvent} */ event) {
  // Safari ends a composition before the key that ended it; that key still has the code 229.
  return event.isComposing || event.keyCode === 229;
}

/** Whether this key sends: not for a new line, and not while an input method still composes. */
export function submits(/** @type {KeyboardEvent} */ event) {
  return event.key === "Enter" && !event.shiftKey && !event.altKey && !composing(event);
}

/** A link's target as an address, if a reply may have it; else null. */
export function target(/** @type {string} */ url) {
  if (!/^(https?:\/\/|mailto:)[!-~]+$/i.test(url)) return null;
  try { return new URL(url); } catch { return null; }
}

/**
 * What the menu offers at the caret: subcommands for a first word that begins with `/`, variables
 * for a word that begins with `@`. Null where there is nothing to offer.
 *
 * @param {string} text @param {number} caret
 * @param {[string, string][]} commands @param {string[]} variables
 */
export function completion(text, caret, commands, variables) {
  const before = text.slice(0, caret);
  const found = /^\/(\w*)$/.exec(before) ?? /(?:^|[\s([{,;:])@([\p{L}\p{N}_.]*)$/u.exec(before);
  if (!found) return null;
  const [, prefix] = found;
  const isCommand = before.startsWith("/");
  const rows = (isCommand ? commands : variables.map((name) => [name, ""]))
    .filter(([name]) => name.toLowerCase().startsWith(prefix.toLowerCase()))
    .slice(0, 50)
    .map(([name, help]) => ({ name, help, insert: isCommand ? `/${name} ` : `{${name}}` }));
  return { start: caret - prefix.length - 1, prefix, isCommand, rows };
}

/** Earlier prompts, walked with Up and Down from an empty box. */
export class Recall {
  at = -1;
  constructor(/** @type {() => string[]} */ prompts) { this.prompts = prompts; }

  /** The text for a step back (1) or forth (-1) from `text`; null if the key is not ours. */
  step(/** @type {string} */ text, /** @type {1|-1} */ way) {
    const all = this.prompts().reverse();
    if (this.at >= 0 && text !== all[this.at]) this.at = -1;
    if (text !== "" && this.at < 0) return null;
    const at = this.at + way;
    if (at >= all.length || at < -1) return null;
    this.at = at;
    return at < 0 ? "" : all[at];
  }
}

/** The order of the deltas of one run: which to apply, and when some are missing. */
export class Feed {
  have = -1;
  constructor(/** @type {string} */ rid) { this.rid = rid; }

  /** What to do with the delta of that number, or with all up to it: "apply", "late" or "gap". */
  take(/** @type {number} */ seq, isWhole = false) {
    if (!(seq > this.have)) return "late";
    if (!isWhole && seq !== this.have + 1) return "gap";
    this.have = seq;
    return "apply";
  }
}

/** A message list with `fresh` put in by its id, or at the end. */
export function withMessage(/** @type {Message[]} */ messages, /** @type {Message} */ fresh) {
  if (!messages.some(({ id }) => id === fresh.id)) return [...messages, fresh];
  return messages.map((each) => (each.id === fresh.id ? fresh : each));
}

// ---- the wall: HTML to nodes -------------------------------------------------------------------

const AUTO = "P H1 H2 H3 H4 H5 H6 UL OL TABLE".split(" ");
const TAGS = new Set(
  ("A BDI BLOCKQUOTE BR CODE DIV EM HR LI PRE S SPAN STRONG TBODY TD TH THEAD TR").split(" ")
    .concat(AUTO),
);
const ALIGNED = ["gp-l", "gp-m", "gp-r"];
/** @type {Record<string, string[]>} */
const CLASSES = {
  SPAN: "k s c m ow nb nf nc nd nt na gd gi gh gp-u mathjax_process tex2jax_process".split(" "),
  TH: ALIGNED,
  TD: ALIGNED,
};

/** Untrusted HTML as nodes made anew: known elements with known attributes, all else as text. */
export function inert(/** @type {string} */ html) {
  // A parsed document has no window: nothing in it runs or loads.
  const parsed = new DOMParser().parseFromString(html, "text/html");
  const out = document.createDocumentFragment();
  // Without recursion: how deep a stranger's elements go is not ours to say.
  /** @type {{node: Node, into: Node}[]} */
  const todo = [...parsed.body.childNodes].reverse().map((node) => ({ node, into: out }));
  for (let item = todo.pop(); item; item = todo.pop()) {
    const { node, into } = item;
    // Names of foreign elements, as in SVG, are not in capitals.
    if (TAGS.has(node.nodeName)) {
      const copy = copied(/** @type {HTMLElement} */ (node));
      into.appendChild(copy);
      for (const child of [...node.childNodes].reverse()) todo.push({ node: child, into: copy });
    } else if (node.nodeType !== Node.COMMENT_NODE) {
      into.appendChild(document.createTextNode(node.textContent ?? ""));
    }
  }
  return out;
}

function copied(/** @type {HTMLElement} */ element) {
  const tag = element.tagName;
  const copy = document.createElement(tag);
  if (AUTO.includes(tag)) copy.dir = "auto";
  if (tag === "PRE") copy.dir = "ltr";
  const start = element.getAttribute("start") ?? "";
  if (tag === "OL" && /^\d{1,9}$/.test(start)) copy.setAttribute("start", start);
  const href = element.getAttribute("href") ?? "";
  const address = tag === "A" ? target(href) : null;
  if (address) {
    // Where it leads, in letters that cannot be taken for others.
    copy.title = address.host || address.pathname;
    copy.setAttribute("href", href);
    copy.setAttribute("target", "_blank");
    copy.setAttribute("rel", "noopener noreferrer nofollow");
  }
  const classes = [...element.classList].filter((name) => CLASSES[tag]?.includes(name));
  if (classes.length) copy.className = classes.join(" ");
  return copy;
}

// ---- making elements ---------------------------------------------------------------------------

/** @param {string} tag @param {Record<string, any>} set @param {...any} inside @returns {any} */
function make(tag, set = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(set)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, String(value));
  }
  element.append(...inside.filter((part) => part != null && part !== ""));
  return element;
}

/** A button with words on it. @param {string} hook @param {string} label @param {any} click */
function textButton(hook, label, click) {
  const set = { type: "button", class: "gp-text-button", "data-gp": hook };
  return make("button", { ...set, click }, label);
}

/**
 * A small button with an icon, a name for those who do not see it, and a hook for tests.
 *
 * @param {string} hook @param {keyof typeof ICONS} picture @param {string} label
 * @param {(event: MouseEvent) => void} click
 */
function button(hook, picture, label, click) {
  const set = { type: "button", class: "gp-button", "data-gp": hook, "aria-label": label };
  return make("button", { ...set, title: label, click }, icon(picture));
}

const ICONS = {
  send: "M12 20V5M5 11l7-7 7 7", stop: "M7 7h10v10H7z", copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  retry: "M4 12a8 8 0 1 0 2.5-5.8M4 4v5h5", edit: "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
  insert: "M4 4h16v7H4zM12 14v7M8.5 17.5h7", down: "M12 5v14M5 12l7 7 7-7",
  add: "M12 5v14M5 12h14", undo: "M9 14L4 9l5-5M4 9h10a6 6 0 0 1 0 12h-3",
  previous: "M15 5l-7 7 7 7", next: "M9 5l7 7-7 7", done: "M5 13l4 4L19 7",
};

function icon(/** @type {keyof typeof ICONS} */ name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const path = document.createElementNS(space, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "gp-icon");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

const dots = () => make("span", { class: "gp-dots", "aria-hidden": "true" });

// ---- the host: what Jupyter offers, where it does ----------------------------------------------

/** What a front end can do for us; each part may be missing. */
export class Host {
  last = /** @type {any} */ (null);
  constructor(/** @type {any} */ manager, /** @type {HTMLElement} */ place) {
    this.manager = manager;
    this.place = place;
  }

  get kernel() { return this.manager?.kernel ?? null; }

  get canInterrupt() { return typeof this.kernel?.interrupt === "function"; }

  get cells() {
    const shared = this.manager?.context?.model?.sharedModel;
    return typeof shared?.insertCell === "function" ? shared : null;
  }

  /** Put code into a new cell below the panel's, or below the last one put there. Runs nothing. */
  insert(/** @type {string} */ source) {
    const shared = this.cells;
    if (!shared) return false;
    const after = this.last ? [...(shared.cells ?? [])].indexOf(this.last) : -1;
    const at = after >= 0 ? after : this.#home();
    if (at === null) return false;
    this.last = shared.insertCell(at + 1, { cell_type: "code", source, metadata: {} });
    return true;
  }

  // Cells out of sight are not in the document, so a windowed list's own number comes first.
  #home() {
    const cell = /** @type {HTMLElement|null} */ (this.place.closest(".jp-Cell"));
    const index = cell?.dataset.windowedListIndex;
    if (index !== undefined) return Number(index);
    const all = cell?.closest(".jp-Notebook")?.querySelectorAll(".jp-Cell");
    return cell && all ? [...all].indexOf(cell) : null;
  }

  /** Formulas in `element` set by the front end's own typesetter. */
  typeset(/** @type {Element} */ element) {
    this.manager?.rendermime?.latexTypesetter?.typeset?.(element);
  }

  save() { this.manager?.context?.save?.(); }
}

/** Text to the clipboard; on pages without the modern way, by the old one. */
export async function toClipboard(/** @type {string} */ text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const put = (/** @type {ClipboardEvent} */ event) => {
      event.clipboardData?.setData("text/plain", text);
      event.preventDefault();
      event.stopImmediatePropagation();
    };
    document.addEventListener("copy", put, { capture: true, once: true });
    const worked = document.execCommand("copy");
    document.removeEventListener("copy", put, { capture: true });
    return worked;
  }
}

/** What was typed and not sent, kept over a reload; a frame without storage keeps nothing. */
function draft(/** @type {string} */ key, text = /** @type {string|null} */ (null)) {
  try {
    if (text) sessionStorage.setItem(key, text);
    else if (text === "") sessionStorage.removeItem(key);
    return sessionStorage.getItem(key) ?? "";
  } catch { return ""; }
}

// ---- one message -------------------------------------------------------------------------------

const IGNORED = "mathjax_ignore tex2jax_ignore";

/** Copy and Insert on each block of code that has none yet. */
function withTools(/** @type {HTMLElement} */ body, /** @type {View} */ view) {
  const { words } = view;
  for (const block of body.querySelectorAll("pre")) {
    if (block.parentElement?.classList.contains("gp-code")) continue;
    const source = () => (block.querySelector("code") ?? block).textContent ?? "";
    const box = make("div", { class: "gp-code" });
    block.replaceWith(box);
    box.append(block, make("div", { class: "gp-code-tools" },
      button("copy-code", "copy", words.copyCode, (event) => view.copy(source(), event)),
      button("insert", "insert", words.insert, (event) => view.insert(source(), event))));
  }
}

/** The inside of a message's article: who, what, what is to be noted, what can be done. */
function inside(/** @type {Message} */ message, /** @type {View} */ view) {
  const { words } = view;
  const { id, status, meta, notes, html = "", text = "" } = message;
  const isUser = message.role === "user";
  const author = isUser ? words.you : meta?.model || words.assistant;
  const parts = [make("div", { class: "gp-author", "aria-hidden": "true" }, author)];
  if (view.editing === id) return [...parts, view.editor(message)];
  if (view.live?.mid === id) return [...parts, view.live.body, view.live.wait];
  const body = make("div", { class: `gp-body gprochat ${IGNORED}`, dir: "auto" });
  body.append(isUser ? text : inert(html));
  if (!isUser) withTools(body, view);
  if (body.hasChildNodes()) parts.push(body);
  if (!isUser && status === "pending") parts.push(make("div", { class: "gp-wait" }, dots()));
  const ended = status === "unverified" || status === "interrupted" ? words[status] : "";
  for (const note of [...(notes ?? []), ended, message.stale ? words.stale : ""])
    if (note) parts.push(make("p", { class: "gp-note", dir: "auto" }, note));
  if (status === "failed" || view.failures.has(id)) parts.push(failure(message, view));
  if (status !== "pending") parts.push(below(message, view));
  return parts;
}

function failure(/** @type {Message} */ message, /** @type {View} */ view) {
  const { words } = view;
  const { text, hint, until = 0 } = view.failures.get(message.id) ?? {};
  const retry = textButton("retry", words.retry, () =>
    retry.ariaDisabled === "true" || view.ask({ t: "retry", mid: message.id }));
  view.beat(retry, () => {
    const left = secondsTo(until);
    const n = duration(left, words.name, 0);
    retry.ariaDisabled = String(left > 0);
    retry.textContent = left > 0 ? fill(words.retryIn, { n }) : words.retry;
    return left > 0;
  });
  return make("div", { class: "gp-error", "data-gp": "error" },
    make("p", { class: "gp-error-text", dir: "auto" }, text || message.error || words.failed),
    hint ? make("p", { class: "gp-error-hint", dir: "auto" }, hint) : null, retry);
}

function below(/** @type {Message} */ message, /** @type {View} */ view) {
  const { words } = view;
  const { id: mid, status, alternative, meta = {}, text = "" } = message;
  const isUser = message.role === "user";
  const tools = make("div", { class: "gp-tools" });
  const [k, n] = alternative ?? [1, 1];
  if (n > 1) {
    const other = (/** @type {"previous"|"next"} */ name, /** @type {number} */ to) => {
      const turn = button(`alt-${name === "next" ? name : "prev"}`, name, words[name], () =>
        to >= 1 && to <= n && view.isFree() && view.tell({ t: "alt", mid, k: to }));
      turn.ariaDisabled = String(to < 1 || to > n);
      return turn;
    };
    const count = make("span", { class: "gp-count" }, `${k}/${n}`);
    tools.append(other("previous", k - 1), count, other("next", k + 1));
  }
  // A subcommand is in no conversation, has no number there, and cannot be asked again.
  const isAside = !message.number && (isUser ? text.startsWith("/") : status === "complete");
  if (isUser && !isAside)
    tools.append(button("edit", "edit", words.edit, () => view.edit(message)));
  // A failure has its own button for that.
  if (!isUser && !isAside && status !== "failed" && !view.failures.has(mid))
    tools.append(button("retry", "retry", words.retry, () => view.ask({ t: "retry", mid })));
  if (text) tools.append(button("copy", "copy", words.copy, (event) => view.copy(text, event)));
  const about = isUser || status === "failed" ? "" : footer(meta, words);
  const line = about && make("span", { class: "gp-meta" }, about);
  return make("div", { class: "gp-foot" }, line, tools);
}

const FIELDS = /** @type {const} */ (
  ["html", "text", "status", "error", "stale", "number", "alternative", "meta"]);

function isSame(/** @type {Message} */ a, /** @type {Message} */ b) {
  return FIELDS.every((name) => a[name] === b[name] ||
    JSON.stringify(a[name]) === JSON.stringify(b[name]));
}

// ---- the view ----------------------------------------------------------------------------------

const NO_ANSWER = 700;
const SILENCE = 2_000;
const LONGEST_SILENCE = 16_000;
const STICKY = 40;
const AT_ONCE = 12;
const ARROWS = /** @type {Record<string, number>} */ (
  { ArrowUp: -1, ArrowDown: 1, Home: -Infinity, End: Infinity });

/** One view of a panel. Its state (draft, scrolling, menu, what is edited) is its own. */
class View {
  messages = /** @type {Message[]} */ ([]);
  /** The run that is shown as it grows. */
  live = /** @type {any} */ (null);
  /** What was asked and has made no run yet. */
  asked = /** @type {any} */ (null);
  /** Whether Python has had that. */
  isTaken = false;
  /** The message in whose place another was asked for. */
  replaced = "";
  /** The run that ended last: what went wrong in it is told after its end. */
  past = { rid: "", mid: "" };
  over = new Set();
  failures = new Map();
  articles = /** @type {Map<string, any>} */ (new Map());
  timers = new Map();
  offline = "";
  session = "";
  editing = "";
  stopping = false;
  // Scrolling: whether the end is followed, whether something came since, where it was.
  isStuck = true;
  isUnread = false;
  top = 0;
  // Building: what is to be seen, how much of it is not there yet, before what it goes.
  wanted = /** @type {Message[]} */ ([]);
  cursor = -1;
  after = /** @type {Element|null} */ (null);
  building = 0;
  frame = 0;
  reached = /** @type {Element|null} */ (null);
  // The menu: what fits, the variables that Python has found and for what, the row in force.
  found = /** @type {any} */ (null);
  names = /** @type {string[]} */ ([]);
  prefix = /** @type {string|null} */ (null);
  chosen = 0;

  /** @param {any} model @param {HTMLElement} el @param {AbortSignal} signal */
  constructor(model, el, signal) {
    this.model = model;
    this.el = el;
    this.signal = signal;
    this.words = catalogue(navigator.languages ?? [navigator.language]);
    this.host = new Host(model.widget_manager, el);
    this.recall = new Recall(() =>
      this.messages.filter(({ role }) => role === "user").map(({ text }) => text ?? ""));
    this.shown = this.snapshot.conversation;
    this.key = `gprochat:draft:${location.pathname}:${this.shown ?? ""}`;
    this.build();
    this.listen();
    this.turn();
    this.box.value = draft(this.key);
    this.grow();
    this.tell({ t: "hello", v: 1, lang: this.words.name,
      caps: { insert: Boolean(this.host.cells), interrupt: this.host.canInterrupt } });
  }

  get snapshot() { return this.model.get("snapshot") ?? {}; }

  get isBusy() { return Boolean(this.live || this.asked); }

  // -- what is there

  build() {
    const { words } = this;
    const pick = (/** @type {"model"|"conversation"} */ hook, /** @type {string} */ t) =>
      make("select", { class: "gp-select", "data-gp": hook, "aria-label": words[hook],
        change: (/** @type {any} */ event) => this.tell({ t, name: event.target.value }) });
    this.conversation = pick("conversation", "use");
    this.modelPick = pick("model", "model");
    this.undo = button("undo", "undo", words.undo, () => this.isFree() && this.tell({ t: "undo" }));
    const add = button("new", "add", words.fresh, () => this.tell({ t: "new" }));
    this.list = make("div", { class: "gp-list" });
    this.log = make("div", { class: "gp-log", "data-gp": "log", role: "log", tabindex: 0,
      "aria-live": "off", "aria-label": words.log }, this.list);
    this.jump = button("jump", "down", words.jump, () => this.toEnd(true));
    this.jump.classList.add("gp-jump");
    this.notice = make("div", { class: "gp-notice", "data-gp": "notice" });
    this.status = make("div", { class: "gp-status", "data-gp": "status", role: "status" });
    this.alert = make("div", { class: "gp-unseen", role: "alert" });
    this.menu = make("div", { class: "gp-menu", "data-gp": "menu", role: "listbox",
      id: `gp-menu-${chance()}`, "aria-label": words.menu, hidden: true });
    this.box = make("textarea", { class: "gp-box", "data-gp": "composer", rows: 1, dir: "auto",
      "aria-label": words.composer, "aria-autocomplete": "list", "aria-controls": this.menu.id,
      "data-lm-suppress-shortcuts": "true", spellcheck: "true" });
    this.sendButton = button("send", "send", words.send, () => this.send());
    this.stopButton = button("stop", "stop", words.stop, () => this.stop());
    for (const each of [this.sendButton, this.stopButton]) each.classList.add("gp-main");
    this.root = make("section", { class: `gp-panel ${IGNORED}`, "data-gp": "panel",
      "aria-label": words.panel, lang: words.name, "data-lm-suppress-shortcuts": "true" },
      make("div", { class: "gp-head" }, this.conversation, this.undo, add),
      make("div", { class: "gp-middle" }, this.log, this.jump), this.notice, this.alert,
      make("div", { class: "gp-compose" }, this.menu, this.box, make("div", { class: "gp-bar" },
        this.modelPick, this.status, this.sendButton, this.stopButton)));
    this.el.replaceChildren(this.root);
  }

  listen() {
    const { signal, model, root, box, log } = this;
    const atEnd = (/** @type {() => void} */ then) => signal.addEventListener("abort", then);
    const on = (/** @type {any} */ where, /** @type {string} */ what, /** @type {any} */ then) =>
      where.addEventListener(what, then, { signal });
    const from = (/** @type {string} */ what, /** @type {any} */ then) => {
      model.on(what, then);
      atEnd(() => model.off(what, then));
    };
    from("msg:custom", (/** @type {Packet} */ packet) => this.hear(packet));
    from("change:snapshot", () => this.turn());
    from("change:state", () => model.get("state") === "stopping" && this.answered());
    from("change:ui", () => this.show());
    from("comm_live_update", () => model.comm_live === false && this.goOffline("gone"));
    const says = (/** @type {any} */ _, /** @type {string} */ status) => this.kernelSays(status);
    const sent = (/** @type {any} */ _, /** @type {any} */ { header }) =>
      header.msg_type === "status" && this.kernelIs(header.session);
    const slots = { statusChanged: says, connectionStatusChanged: says, iopubMessage: sent };
    for (const [name, slot] of Object.entries(slots)) {
      const source = this.host.kernel?.[name];
      source?.connect?.(slot);
      atEnd(() => source?.disconnect?.(slot));
    }
    // The front end's shortcuts must not see our keys: Shift+Enter would run this very cell.
    for (const kind of ["keydown", "keyup", "keypress"])
      on(root, kind, (/** @type {Event} */ event) => event.stopPropagation());
    on(root, "keydown", (/** @type {KeyboardEvent} */ event) => this.panelKey(event));
    on(box, "keydown", (/** @type {KeyboardEvent} */ event) => this.boxKey(event));
    on(box, "input", () => this.typed());
    on(box, "click", () => this.complete());
    on(box, "blur", () => this.closeMenu());
    on(log, "keydown", (/** @type {KeyboardEvent} */ event) => this.logKey(event));
    on(log, "focusin", (/** @type {FocusEvent} */ event) => this.reach(event.target));
    on(log, "scroll", () => this.scrolled());
    on(window, "pagehide", () => draft(this.key, box.value));
    const resized = new ResizeObserver(() => this.isStuck && this.toEnd());
    resized.observe(this.list);
    resized.observe(log);
    const seen = this.seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
      if (!entry.isIntersecting) return;
      seen.unobserve(entry.target);
      this.host.typeset(entry.target);
    }), { root: log, rootMargin: "400px" });
    atEnd(() => {
      resized.disconnect();
      seen.disconnect();
      this.timers.forEach(clearTimeout);
      cancelIdle(this.building);
      cancelAnimationFrame(this.frame);
      draft(this.key, box.value);
    });
  }

  /** Do something later; the same key again, or without a time, takes it back. */
  later(/** @type {any} */ key, ms = -1, then = () => {}) {
    clearTimeout(this.timers.get(key));
    this.timers.delete(key);
    const due = () => {
      this.timers.delete(key);
      then();
    };
    if (ms >= 0 && !this.signal.aborted) this.timers.set(key, setTimeout(due, ms));
  }

  /** Call `tick` now and each second, while it says so and `element` is shown. */
  beat(/** @type {Element} */ element, /** @type {() => boolean} */ tick) {
    if (tick()) this.later(element, 1000, () => element.isConnected && this.beat(element, tick));
  }

  // -- to Python

  /** Send a message; without a kernel it says so and gives false. */
  tell(/** @type {Packet} */ packet) {
    try {
      this.model.send(packet);
      return true;
    } catch {
      this.goOffline("gone");
      return false;
    }
  }

  /** Whether a new run may begin; says so if not. */
  isFree() {
    if (this.isBusy) this.say(this.words.busy);
    return !this.isBusy && !this.offline;
  }

  /** Send what starts a run, and show it until Python says what comes of it. */
  ask(/** @type {Packet} */ wish) {
    const { text = "-" } = wish;
    if (!text.trim() || !this.isFree()) return false;
    if (bytes(text) > LONGEST) return this.say(this.words.tooLong), false;
    // By the nonce Python knows what it has had already.
    const packet = { ...wish, nonce: chance() };
    if (!this.tell(packet)) return false;
    this.asked = packet;
    this.replaced = wish.mid ?? "";
    this.isTaken = false;
    this.stopping = false;
    if (wish.t === "edit") this.editing = "";
    this.later("answer", NO_ANSWER, () => this.busyKernel());
    this.closeMenu();
    this.show();
    this.say(this.words.waiting);
    this.toEnd(true);
    this.box.focus();
    return true;
  }

  send(text = this.box.value) {
    const isTyped = text === this.box.value;
    if (this.ask({ t: "send", text }) && isTyped) this.fillBox("");
  }

  stop() {
    if (!this.isBusy) return;
    // Whoever asks twice is not kept waiting for a run that never came.
    if (this.stopping && !this.live) return this.takeBack();
    this.stopping = true;
    this.root.dataset.state = "stopping";
    if (this.live) this.tell({ t: "stop", rid: this.live.feed.rid });
    if (this.live || !this.isTaken)
      this.later("answer", NO_ANSWER, () => this.busyKernel());
    this.say(this.words.stopping);
  }

  edit(/** @type {Message} */ { id }) {
    if (!this.isFree()) return;
    const before = this.editing;
    this.editing = id;
    this.repaint(before);
    this.repaint(id);
    this.articles.get(id)?.querySelector("textarea").focus();
  }

  editor(/** @type {Message} */ { id, text }) {
    const { words } = this;
    const close = () => {
      this.editing = "";
      this.repaint(id);
      this.articles.get(id)?.querySelector('[data-gp="edit"]')?.focus();
    };
    const resend = () => this.ask({ t: "edit", mid: id, text: box.value });
    const keydown = (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Escape" && !composing(event)) close();
      else if (submits(event)) resend();
      else return;
      event.preventDefault();
      event.stopPropagation();
    };
    const box = make("textarea", { class: "gp-box", "data-gp": "editor", dir: "auto", rows: 3,
      "aria-label": words.edit, "data-lm-suppress-shortcuts": "true", keydown });
    box.value = text ?? "";
    return make("div", { class: "gp-editor" }, box, make("div", { class: "gp-editor-bar" },
      textButton("cancel", words.cancel, close), textButton("resend", words.resend, resend)));
  }

  /** @param {string} text @param {MouseEvent} event */
  async copy(text, event, said = this.words.copied) {
    const pressed = /** @type {HTMLElement} */ (event.currentTarget);
    const worked = await toClipboard(text);
    this.say(worked ? said : this.words.copyFailed);
    if (!worked || this.timers.has(pressed)) return;
    const before = [...pressed.childNodes];
    pressed.replaceChildren(icon("done"));
    this.later(pressed, 1500, () => pressed.replaceChildren(...before));
  }

  insert(/** @type {string} */ source, /** @type {MouseEvent} */ event) {
    if (bytes(source) > LONGEST) this.say(this.words.tooLong);
    else if (this.host.insert(source)) this.say(this.words.inserted);
    else this.copy(source, event, this.words.insertCopied);
  }

  // -- from Python

  hear(/** @type {Packet} */ packet) {
    if (!packet?.t) return;
    if (this.offline) this.goOnline();
    const { rid = "" } = packet;
    const isLive = this.live?.feed.rid === rid;
    switch (packet.t) {
      case "ack": return packet.nonce === this.asked?.nonce && this.acknowledged();
      case "open": return this.over.has(rid) || isLive || this.open(packet);
      case "d": return this.over.has(rid) || this.delta(packet);
      case "full": return isLive && this.full(packet);
      case "wait": return isLive && this.wait(packet);
      case "done": return this.done(packet);
      case "err": return this.failed(packet);
      case "names": return this.complete(packet.names);
      default:
    }
  }

  acknowledged() {
    if (!this.asked) return;
    this.answered();
    this.isTaken = true;
    // What makes no run, such as a subcommand, is answered by a snapshot alone.
    this.later("answer", 5000, () => this.settled());
  }

  /** Python has answered: it is not held up by a cell. */
  answered() {
    this.later("answer");
    this.warn("");
  }

  settled() {
    this.answered();
    this.asked = null;
    this.replaced = "";
    this.show();
  }

  /** Give up what was asked; what was typed goes back into the box. */
  takeBack() {
    if (this.asked?.text && !this.box.value) this.fillBox(this.asked.text);
    this.settled();
  }

  open(/** @type {Packet} */ { rid = "", mid, user }) {
    if (user?.id) this.messages = withMessage(this.messages, user);
    this.follow(rid, mid, user?.id);
  }

  /** Show a run from now on, in the message `mid`, or in the one that is pending. */
  follow(rid = "", mid = "", user = "") {
    this.answered();
    this.asked = null;
    const waits = [...this.messages].reverse().find(({ status }) => status === "pending");
    const id = mid || (waits?.id ?? `run-${rid}`);
    const frozen = make("div", { class: "gp-frozen" });
    const tail = make("div", { class: "gp-tail" });
    const clock = make("span", { class: "gp-clock" });
    const note = make("span", { class: "gp-again", dir: "auto" });
    const look = { class: `gp-body gp-live gprochat ${IGNORED}`, dir: "auto", hidden: true };
    this.live = { mid: id, user, note, feed: new Feed(rid), frozen, tail, html: "", rest: "",
      body: make("div", look, frozen, tail),
      wait: make("div", { class: "gp-wait" }, dots(), clock, note) };
    const since = Date.now();
    this.beat(clock, () => {
      const seconds = Math.round((Date.now() - since) / 1000);
      clock.textContent = seconds > 1 ? duration(seconds, this.words.name, 0) : "";
      return true;
    });
    if (!this.messages.some((each) => each.id === id))
      this.messages = [...this.messages, this.expected(id)];
    if (this.stopping) this.stop();
    else this.say(this.words.waiting);
    this.watch(SILENCE);
    this.show();
    this.repaint(id);
  }

  delta(/** @type {Packet} */ { rid = "", seq, frozen, tail }) {
    // The message that opened it may have been lost on the way.
    if (!this.live && rid) this.follow(rid);
    if (this.live?.feed.rid !== rid) return;
    this.watch(SILENCE);
    const order = this.live.feed.take(Number(seq));
    if (order === "gap") this.sync();
    if (order !== "apply") return;
    this.live.html += String(frozen ?? "");
    this.live.rest = String(tail ?? "");
    this.draw();
  }

  full(/** @type {Packet} */ { seq, frozen, tail }) {
    this.later("sync");
    if (this.live.feed.take(Number(seq), true) === "late") return;
    this.live.frozen.replaceChildren();
    Object.assign(this.live, { html: String(frozen ?? ""), rest: String(tail ?? "") });
    this.draw();
  }

  /** Ask for all that was sent, once for any number of gaps at a time. */
  sync() {
    if (!this.live || this.timers.has("sync")) return;
    const { rid, have } = this.live.feed;
    this.later("sync", 500);
    this.tell({ t: "sync", rid, have });
  }

  /** The last deltas of a run leave no gap when they are lost: so ask after a silence. */
  watch(/** @type {number} */ ms) {
    this.later("silence", ms, () => {
      this.sync();
      this.watch(Math.min(2 * ms, LONGEST_SILENCE));
    });
  }

  /** Draw what came, once a frame. */
  draw() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.paint();
    });
  }

  paint() {
    const { live } = this;
    if (!live) return;
    if (live.html) {
      live.frozen.append(inert(live.html));
      withTools(live.frozen, this);
      live.html = "";
    }
    live.tail.replaceChildren(inert(live.rest));
    if (live.body.hidden && (live.frozen.hasChildNodes() || live.tail.hasChildNodes())) {
      live.body.hidden = false;
      live.wait.remove();
      if (!this.stopping) this.say(this.words.streaming);
    }
    this.mark();
  }

  wait(/** @type {Packet} */ { seconds, reason }) {
    const { note } = this.live;
    const until = Date.now() + 1000 * Number(seconds);
    this.beat(note, () => {
      const left = secondsTo(until);
      const n = duration(left, this.words.name, 0);
      note.textContent = left > 0 ? fill(this.words.again, { n, why: reason }) : "";
      return left > 0;
    });
  }

  done(/** @type {Packet} */ { rid = "", message, notes }) {
    if (this.over.has(rid) || (this.live && this.live.feed.rid !== rid) || !message?.id) return;
    const old = this.live?.mid ?? message.id;
    if (old !== message.id) this.messages = this.messages.filter(({ id }) => id !== old);
    const place = this.messages.find(({ id }) => id === message.id);
    const told = message.alternative?.[1] > 1 ? message : place;
    const alternative = told?.alternative ?? [1, 1];
    this.keepGrown(message);
    this.ended(rid);
    this.past = { rid, mid: message.id };
    this.messages = withMessage(this.messages, { ...message, alternative, notes: notes ?? [] });
    this.show();
    this.mark();
    this.say(Reflect.get(this.words, message.status) ?? this.words.complete);
  }

  /** Make what has grown the whole reply. A block that is the same stays, selected or not. */
  keepGrown(/** @type {Message} */ { id, html = "", text }) {
    const { live } = this;
    const article = this.articles.get(id);
    if (!article || live?.mid !== id) return;
    if (this.frame) this.paint();
    const blocks = (/** @type {Node[]} */ nodes) =>
      nodes.filter((node) => node.nodeType !== Node.TEXT_NODE || node.nodeValue?.trim());
    const grown = blocks([...live.frozen.childNodes, ...live.tail.childNodes]);
    const whole = blocks([...inert(html).childNodes]);
    if (grown.length !== whole.length) return;
    grown.forEach((node, n) =>
      node.isEqualNode(whole[n]) || /** @type {ChildNode} */ (node).replaceWith(whole[n]));
    withTools(live.body, this);
    live.body.classList.remove("gp-live");
    article.message = { ...article.message, html, text };
    this.setFormulas(live.body);
  }

  /** Have the formulas of a whole reply set, once it is in view. */
  setFormulas(/** @type {Element} */ body) {
    if (body.querySelector(".mathjax_process")) this.seen?.observe(body);
  }

  ended(rid = "") {
    if (rid) this.over.add(rid);
    this.live = null;
    this.asked = null;
    this.replaced = "";
    this.stopping = false;
    for (const name of ["silence", "sync"]) this.later(name);
    this.answered();
  }

  failed(/** @type {Packet} */ { rid, nonce, text, hint, retry_after }) {
    // What another view of this panel has sent is not for this one.
    if (nonce && nonce !== this.asked?.nonce) return;
    const said = [text, hint].filter(Boolean).join(" ");
    const live = this.live?.feed.rid === rid ? this.live : null;
    const mid = rid ? live?.mid ?? (this.past.rid === rid ? this.past.mid : "") : "";
    if (!mid) {
      // Refused before there was a run.
      if (nonce) this.takeBack();
      return this.warn(said);
    }
    const until = Date.now() + 1000 * (Number(retry_after) || 0);
    this.failures.set(mid, { text, hint, until });
    if (!live) this.repaint(mid);
    this.alert.textContent = said;
  }

  /** A turn boundary: the truth as a whole. */
  turn() {
    const { messages = [], run = null, conversation } = this.snapshot;
    const { live, asked } = this;
    if (this.shown !== conversation) {
      // What goes on there is no longer seen here, and may be come back to.
      this.shown = conversation;
      this.editing = "";
      this.messages = [];
      this.ended();
      if (!this.isTaken) this.asked = asked;
    } else if (live && run !== live.feed.rid) {
      this.ended(live.feed.rid);
    } else if (asked && this.isTaken && run === null) {
      this.settled();
    }
    const ids = new Set(messages.map((/** @type {Message} */ { id }) => id));
    const ours = this.live && !ids.has(this.live.mid) ? [this.live.user, this.live.mid] : [];
    const kept = this.messages.filter(({ id }) => ours.includes(id) && !ids.has(id));
    const notes = new Map(this.messages.map((each) => [each.id, each.notes]));
    const noted = (/** @type {Message} */ each) => ({ notes: notes.get(each.id), ...each });
    this.messages = [...messages.map(noted), ...kept];
    if (run !== null && !this.over.has(run) && !this.live) {
      this.follow(run);
      this.sync();
    }
    this.show();
  }

  // -- what is seen

  show() {
    const { words, snapshot } = this;
    const ui = this.model.get("ui") ?? {};
    this.root.dataset.state = this.isBusy ? (this.stopping ? "stopping" : "busy") : "idle";
    const hadStop = this.focused() === this.stopButton;
    this.sendButton.hidden = this.isBusy;
    this.stopButton.hidden = !this.isBusy;
    if (hadStop && !this.isBusy) this.box.focus();
    this.log.setAttribute("aria-busy", String(this.isBusy));
    this.box.placeholder = ui.placeholder ||
      words[snapshot.commands?.length ? "placeholderWithCommands" : "placeholder"];
    const height = /^(\d{1,4}(?:\.\d+)?)(px|r?em|[ds]?vh)?$/.exec(String(ui.height ?? ""));
    if (height) this.root.style.setProperty("--gp-height", height[1] + (height[2] ?? "px"));
    options(this.conversation, snapshot.names ?? [], snapshot.conversation ?? "");
    options(this.modelPick, snapshot.models ?? [], snapshot.model ?? "");
    this.undo.hidden = !this.messages.length;
    this.arrange(ui);
  }

  arrange(/** @type {any} */ ui) {
    const { t, text } = this.asked ?? {};
    this.wanted = this.withoutReplaced();
    if (text) this.wanted.push({ id: "sent", role: "user", status: "pending", text });
    if (t) this.wanted.push(this.expected("asked"));
    const giveBack = this.held();
    const ids = new Set(this.wanted.map(({ id }) => id));
    for (const [id, article] of this.articles)
      if (!ids.has(id)) this.articles.delete(id), article.remove();
    this.list.querySelector(".gp-empty")?.remove();
    if (!this.wanted.length) this.list.append(this.welcome(ui.suggestions));
    this.cursor = this.wanted.length - 1;
    this.after = null;
    this.place(AT_ONCE, 0);
    if (giveBack) giveBack();
    else this.reach(this.list.lastElementChild);
  }

  /** A reply of which nothing has come. @param {string} id @returns {Message} */
  expected(id) {
    return { id, role: "assistant", status: "pending", meta: { model: this.snapshot.model } };
  }

  /** The messages, less those in whose place others are asked for. */
  withoutReplaced() {
    const at = this.isBusy ? this.messages.findIndex(({ id }) => id === this.replaced) : -1;
    if (at < 0) return [...this.messages];
    if (this.asked) return this.messages.slice(0, at);
    // The run has a prompt of its own; that of a reply stands before it.
    const from = this.messages[at].role === "user" ? at : at - 1;
    const { user, mid } = this.live;
    return this.messages.filter(({ id }, n) => n < from || id === user || id === mid);
  }

  /** Put articles where they belong, from the last one up: some at once, the others when idle. */
  place(/** @type {number} */ count, /** @type {number} */ until) {
    for (; this.cursor >= 0 && (count-- > 0 || performance.now() < until); this.cursor -= 1) {
      const message = this.wanted[this.cursor];
      const known = this.articles.get(message.id);
      const article = known ?? make("article", { class: "gp-msg", "data-gp": "msg", tabindex: -1 });
      if (!known) this.articles.set(message.id, article);
      if (!known || !isSame(article.message, message)) this.fillArticle(article, message);
      if (article.parentNode !== this.list || article.nextSibling !== this.after)
        this.list.insertBefore(article, this.after);
      this.after = article;
    }
    cancelIdle(this.building);
    if (this.cursor >= 0 && !this.signal.aborted)
      this.building = whenIdle(() => this.place(0, performance.now() + 8));
  }

  fillArticle(/** @type {any} */ article, /** @type {Message} */ message) {
    const { id: mid, role, status = "", meta } = message;
    const { you, assistant } = this.words;
    const said = article.querySelector(".gp-body:not(.gp-live)");
    const before = article.message ?? {};
    const isSaid = said && before.html === message.html && before.text === message.text;
    article.message = message;
    Object.assign(article.dataset, { role, status, mid });
    article.setAttribute("aria-label", role === "user" ? you : meta?.model || assistant);
    const parts = inside(message, this);
    const fresh = parts.find((part) => part.matches(".gp-body:not(.gp-live)"));
    const at = isSaid ? parts.indexOf(fresh) : -1;
    // What has its formulas set, or is selected, stays where only what is around it has changed.
    if (at >= 0) {
      for (const child of [...article.children]) if (child !== said) child.remove();
      said.before(...parts.slice(0, at));
      said.after(...parts.slice(at + 1));
    } else article.replaceChildren(...parts);
    if (article !== this.reached) reachable(article, -1);
    if (!isSaid && fresh) this.setFormulas(fresh);
  }

  repaint(/** @type {string} */ id) {
    const article = this.articles.get(id);
    const message = this.messages.find((each) => each.id === id);
    if (article && message) this.fillArticle(article, message);
  }

  welcome(suggestions = /** @type {string[]} */ ([])) {
    const offered = suggestions?.length ? suggestions : this.words.suggestions;
    return make("div", { class: "gp-empty" },
      make("p", { class: "gp-welcome" }, this.words.welcome), ...offered.slice(0, 4).map((text) =>
        textButton("suggestion", text, () => this.send(text))));
  }

  say(/** @type {string} */ text) {
    this.status.textContent = text;
    this.later("say", 6000, () => this.isBusy || this.status.replaceChildren());
  }

  /** @param {string} text @param {...Element} actions */
  warn(text, ...actions) {
    if (this.offline && !text) return;
    this.alert.textContent = text;
    this.notice.replaceChildren(...(text ? [make("span", { dir: "auto" }, text), ...actions] : []));
  }

  busyKernel() {
    const { words, host } = this;
    if (!this.isBusy || (this.live && !this.stopping)) return;
    // What goes to a subshell of a kernel that is no more is never answered; this is, by whoever is.
    Promise.resolve(host.kernel?.requestKernelInfo?.()).then(
      (/** @type {any} */ reply) => reply && this.kernelIs(reply.header.session), () => {});
    if (!host.canInterrupt) return this.warn(`${words.kernelBusy} ${words.byHand}`);
    const interrupt = () => Promise.resolve(host.kernel.interrupt()).then(
      () => this.warn(""), () => this.warn(words.interruptFailed));
    this.warn(words.kernelBusy, textButton("interrupt", words.interrupt, interrupt));
  }

  kernelSays(/** @type {string} */ status) {
    // Restarted by somebody else, all that a kernel says is that it starts.
    if (/^(dead|starting|restarting|autorestarting|terminating)$/.test(status))
      this.goOffline("gone");
    if (status === "disconnected" && !this.offline) this.goOffline("lost");
    if (status === "connected" && this.offline === "lost") this.goOnline();
  }

  kernelIs(/** @type {string} */ session) {
    // That it starts may be said before the server listens: its next message tells it from the old.
    if (this.offline === "gone") return;
    if (this.session && this.session !== session) this.goOffline("gone");
    this.session = session;
  }

  goOffline(/** @type {"gone"|"lost"} */ why) {
    if (why === "gone") {
      const { mid = "", body } = this.live ?? {};
      this.paint();
      const html = body?.innerHTML;
      this.takeBack();
      this.ended();
      // What has come of a reply stays readable.
      this.messages = this.messages.map((each) =>
        (each.id === mid ? { ...each, html, status: "interrupted" } : each));
      this.show();
    }
    this.offline = why;
    this.root.dataset.offline = why;
    this.sendButton.ariaDisabled = "true";
    this.warn(this.words[why]);
  }

  goOnline() {
    this.offline = "";
    delete this.root.dataset.offline;
    this.sendButton.ariaDisabled = null;
    this.warn("");
    // The same nonce again starts no second run.
    if (this.asked && !this.isTaken) this.tell(this.asked);
    this.sync();
  }

  // -- scrolling

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.log;
    if (scrollHeight - scrollTop - clientHeight <= STICKY) this.isStuck = true;
    else if (scrollTop < this.top - 1) this.isStuck = false;
    this.top = scrollTop;
    this.showJump();
  }

  toEnd(isWanted = false) {
    if (isWanted) this.isStuck = true;
    this.log.scrollTop = this.log.scrollHeight;
    this.top = this.log.scrollTop;
    this.showJump();
  }

  /** Something has come, in view or not. */
  mark() {
    this.isUnread = true;
    this.showJump();
  }

  showJump() {
    this.isUnread &&= !this.isStuck;
    if (this.isStuck && this.focused() === this.jump) this.box.focus();
    this.jump.hidden = this.isStuck;
    this.jump.toggleAttribute("data-unread", this.isUnread);
    this.jump.ariaLabel = this.isUnread ? this.words.jumpUnread : this.words.jump;
  }

  // -- keys

  focused() { return /** @type {Document} */ (this.el.getRootNode()).activeElement; }

  /** What gives the focus back to what has it in the log, once that is drawn anew; or null. */
  held() {
    const focused = /** @type {HTMLElement|null} */ (this.focused());
    const article = this.log.contains(focused) ? focused?.closest(".gp-msg") : null;
    if (!focused || !article) return null;
    const fromEnd = [...this.list.children].indexOf(article) - this.list.children.length;
    return () => {
      if (focused.isConnected) return;
      const now = [...this.list.children].at(fromEnd) ?? this.list.lastElementChild;
      (now?.querySelector(`[data-gp="${focused.dataset.gp}"]`) ?? now)?.focus();
    };
  }

  panelKey(/** @type {KeyboardEvent} */ event) {
    if (composing(event) || event.defaultPrevented) return;
    const isPicker = event.target === this.modelPick || event.target === this.conversation;
    if (event.key === "Escape" && !isPicker) {
      if (this.isBusy) this.stop();
      else this.box.focus();
    } else if (event.key.toLowerCase() === "s" && (event.ctrlKey || event.metaKey)) {
      this.host.save();
    } else return;
    event.preventDefault();
  }

  boxKey(/** @type {KeyboardEvent} */ event) {
    if (composing(event) || this.menuKey(event)) return;
    const { key } = event;
    if (submits(event)) this.send();
    else if ((key === "ArrowUp" || key === "ArrowDown") && !event.shiftKey) {
      const text = this.recall.step(this.box.value, key === "ArrowUp" ? 1 : -1);
      if (text === null) return;
      this.fillBox(text);
    } else return;
    event.preventDefault();
  }

  /** Up and Down go from message to message; the buttons of the one in focus are next by Tab. */
  logKey(/** @type {KeyboardEvent} */ event) {
    const step = ARROWS[event.key];
    const from = /** @type {HTMLElement} */ (event.target);
    if (step === undefined || event.defaultPrevented || from.matches("textarea")) return;
    const all = [...this.list.querySelectorAll(".gp-msg")];
    const at = all.indexOf(from.closest(".gp-msg"));
    const to = at < 0 && step !== -Infinity ? all.length - 1 : at + step;
    all[Math.max(0, Math.min(all.length - 1, to))]?.focus();
    event.preventDefault();
  }

  /** Only the buttons of one message are stops of Tab: a long talk must not stand in its way. */
  reach(/** @type {any} */ place) {
    const article = place?.closest?.(".gp-msg");
    if (!article || article === this.reached) return;
    if (this.reached) reachable(this.reached, -1);
    this.reached = article;
    reachable(article, 0);
  }

  // -- the box and its menu

  fillBox(/** @type {string} */ text) {
    this.box.value = text;
    this.box.setSelectionRange(text.length, text.length);
    draft(this.key, text);
    this.grow();
  }

  typed() {
    this.later("draft", 200, () => draft(this.key, this.box.value));
    this.grow();
    this.complete();
  }

  grow() {
    if (CSS.supports("field-sizing", "content")) return;
    this.box.style.height = "auto";
    this.box.style.height = `${this.box.scrollHeight}px`;
  }

  /** Show what fits what is typed. @param {string[]} [names] variables that Python has found */
  complete(names) {
    if (Array.isArray(names)) this.names = names.map(String);
    if (this.focused() !== this.box) return;
    const { commands = [], variables = [] } = this.snapshot;
    const all = [...new Set([...variables, ...this.names])].sort();
    this.found = completion(this.box.value, this.box.selectionStart, commands, all);
    const { isCommand, prefix, rows = [] } = this.found ?? {};
    if (isCommand === false && !names && prefix !== this.prefix) {
      this.prefix = prefix;
      this.tell({ t: "names", prefix });
    }
    // Nothing is left to choose once the only one is typed out.
    if (!rows.length || (isCommand && rows.some((/** @type {any} */ row) => row.name === prefix)))
      return this.closeMenu();
    const option = (/** @type {any} */ { name, help }, /** @type {number} */ n) =>
      make("div", { role: "option", class: "gp-option", id: `${this.menu.id}-${n}`,
        mousedown: (/** @type {Event} */ event) => event.preventDefault(),
        click: () => this.pick(n) },
      make("span", { class: "gp-option-name" }, (isCommand ? "/" : "@") + name),
      help ? make("span", { class: "gp-option-help" }, help) : null);
    this.menu.replaceChildren(...rows.map(option));
    this.menu.hidden = false;
    this.choose(0);
  }

  choose(/** @type {number} */ n) {
    const rows = [...this.menu.children];
    this.chosen = (n + rows.length) % rows.length;
    rows.forEach((row, at) => { row.ariaSelected = String(at === this.chosen); });
    rows[this.chosen].scrollIntoView({ block: "nearest" });
    this.box.setAttribute("aria-activedescendant", rows[this.chosen].id);
  }

  pick(/** @type {number} */ n) {
    const { box, found } = this;
    box.setRangeText(found.rows[n].insert, found.start, box.selectionStart, "end");
    this.typed();
    this.closeMenu();
  }

  closeMenu() {
    this.menu.hidden = true;
    this.box.removeAttribute("aria-activedescendant");
  }

  /** Whether the menu took the key. */
  menuKey(/** @type {KeyboardEvent} */ event) {
    if (this.menu.hidden) return false;
    const { key } = event;
    if (key === "ArrowDown" || key === "ArrowUp") this.choose(this.chosen + ARROWS[key]);
    else if (key === "Tab" || submits(event)) this.pick(this.chosen);
    else if (key === "Escape") this.closeMenu();
    else return false;
    event.preventDefault();
    return true;
  }
}

const whenIdle = globalThis.requestIdleCallback ??
  ((/** @type {() => void} */ then) => setTimeout(then, 16));
const cancelIdle = globalThis.cancelIdleCallback ?? clearTimeout;

function reachable(/** @type {Element} */ article, /** @type {0|-1} */ index) {
  article.querySelectorAll(".gp-button, .gp-text-button").forEach((each) => {
    /** @type {HTMLElement} */ (each).tabIndex = index;
  });
}

/** @param {any} select @param {string[]} names @param {string} current */
function options(select, names, current) {
  const all = current && !names.includes(current) ? [...names, current] : names;
  if (all.join("\n") !== [...select.options].map(({ value }) => value).join("\n"))
    select.replaceChildren(...all.map((name) => make("option", { value: name }, name)));
  select.value = current;
  select.hidden = !all.length;
}

export default {
  /** @param {{model: any, el: HTMLElement, signal?: AbortSignal}} view */
  render({ model, el, signal }) {
    const closing = new AbortController();
    signal?.addEventListener("abort", () => closing.abort(), { once: true });
    new View(model, el, closing.signal);
    return () => closing.abort();
  },
};
