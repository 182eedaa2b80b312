// Notes in `window.seen` what a reply must never bring into a page, however briefly: a script that
// ran, an element or an attribute that is not on the list. `window.redraws` counts the frames,
// `window.typeset` the formulas set by MathJax.
(() => {
  const seen = (window.seen = []);
  window.redraws = 0;
  window.typeset = 0;
  Object.defineProperty(window, "pwned", { set: () => seen.push("a script ran") });

  const TAGS = new Set(
    ("A BDI BLOCKQUOTE BR CODE DIV EM H1 H2 H3 H4 H5 H6 HR LI OL P PRE S SMALL SPAN STRONG " +
      "STYLE TABLE TBODY TD TH THEAD TR UL").split(" "),
  );
  const ATTRIBUTES = new Set("class dir href rel start target".split(" "));
  const FETCHING = /^on|^(src|srcset|srcdoc|href|xlink:href|data|action|poster|id|name)$/;

  const check = (element) => {
    const formula = element.closest("mjx-container");
    if (!formula && !TAGS.has(element.tagName)) seen.push(`element ${element.tagName}`);
    if (formula && /^(A|IMG|SCRIPT|IFRAME|LINK|STYLE|FOREIGNOBJECT)$/i.test(element.tagName))
      seen.push(`element ${element.tagName} in a formula`);
    // Jupyter itself makes links in plain text, of data: too, which browsers do not open.
    if (element.matches(".gprochat a") && !/^(https?|mailto):/.test(element.href))
      seen.push(`link to ${element.href}`);
    for (const { name, value } of element.attributes) {
      const wrong = formula
        ? FETCHING.test(name) || /url\(/i.test(value)
        : element.closest(".gprochat") && !ATTRIBUTES.has(name);
      if (wrong) seen.push(`attribute ${name} of ${element.tagName}`);
    }
  };

  new MutationObserver((records) => {
    for (const { addedNodes } of records)
      for (const node of addedNodes) {
        if (node.nodeType !== Node.ELEMENT_NODE) continue;
        const within = node.parentElement?.closest(".jp-OutputArea-output");
        const added = within
          ? [node, ...node.querySelectorAll("*")]
          : node.querySelectorAll(".jp-OutputArea-output *");
        added.forEach(check);
        window.typeset += [...added].filter((e) => e.tagName === "MJX-CONTAINER").length;
        window.redraws += [...added].filter((e) => e.matches(".gprochat")).length;
      }
  }).observe(document, { childList: true, subtree: true });
})();
