// A transcript: messages at the left, judgements at the right. Used by every view that shows a trial.
const marked = (pieces) => pieces.map(([text, isQuoted]) => (isQuoted ? element("mark", null, text) : text));

// Markdown as a tree that Python made and cleaned: [tag, children, address]. Only these tags become elements.
const MARKDOWN_TAGS = new Set(["p", "br", "strong", "em", "s", "del", "code", "pre", "blockquote", "hr", "a", "ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "mark"]);
function markdownNode(node) {
  if (typeof node === "string") return node;
  const [tag, children, address] = node;
  const made = element(MARKDOWN_TAGS.has(tag) ? tag : "span", null, children.map(markdownNode));
  if (tag === "a" && /^https?:/.test(address || "")) Object.assign(made, { href: address, rel: "noopener noreferrer nofollow", target: "_blank" });
  return made;
}

// One part of a message; a folded part is filled when it is opened.
function messagePart(part, message, index, send) {
  const body = () => element("div", { class: "ek-part", "data-part": `${message}-${index}` },
    part.tree ? element("div", { class: "ek-markdown" }, part.tree.map(markdownNode)) : element("pre", null, marked(part.pieces)),
    part.left > 0 && button(`Show the remaining ${count(part.left)} characters`, () => send({ kind: "whole", message, part: index }), { class: "ek-quiet" }));
  if (!part.summary) return body();
  const details = fold(part.summary);
  const fill = () => { if (details.children.length === 1) details.append(body()); };
  details.ekFill = () => { fill(); details.open = true; };
  if (part.open) details.ekFill();
  details.addEventListener("toggle", () => { if (details.open) fill(); });
  return details;
}

// The judgement of one criterion by one grader; samples after the first are folded.
function judgement({ criterion, grader, samples: [first, ...others] }, go) {
  const quote = (one) => element("blockquote", null, element("q", null, one.evidence), " ",
    one.message === null ? hint("(not found in the transcript)")
      : button("show", () => go(one.message), { class: "ek-quiet", "aria-label": "Show the quotation in the transcript" }));
  const reason = (one) => [one.rationale && element("p", { class: "ek-rationale" }, one.rationale), one.evidence && quote(one)].filter(Boolean);
  const score = (one) => element("span", { class: "ek-score" }, one.score);
  return element("li", null,
    paragraph(element("strong", null, breakable(criterion)), " ", score(first), " ", element("span", { class: "ek-grader" }, grader)), reason(first),
    others.length > 0 && fold(`More samples: ${others.map((one) => one.score).join(", ")}`, others.map((one) => [paragraph(score(one), ` sample ${one.sample}`), reason(one)])));
}

// Highlight the searched words without touching the text, where the browser can.
function highlight(items, wanted) {
  if (!globalThis.CSS?.highlights || !globalThis.Highlight) return;
  const ranges = [];
  for (const item of items) {
    const walker = document.createTreeWalker(item, NodeFilter.SHOW_TEXT);
    while (walker.nextNode() && ranges.length < 2000) {
      const text = walker.currentNode.data.toLowerCase();
      for (let at = text.indexOf(wanted); at >= 0 && ranges.length < 2000; at = text.indexOf(wanted, at + wanted.length)) {
        if (at + wanted.length > walker.currentNode.length) break;
        const range = new Range();
        range.setStart(walker.currentNode, at);
        range.setEnd(walker.currentNode, at + wanted.length);
        ranges.push(range);
      }
    }
  }
  CSS.highlights.set("ek-found", new Highlight(...ranges));
}

// `node` goes into the page; `draw(trial)` shows another trial, `fill(whole)` a text that was cut. `none` stands for no judgements.
function reading(app, { none = "No judgements." } = {}) {
  const box = element("input", { type: "search", placeholder: "Search this transcript", "aria-label": "Search this transcript" });
  const result = element("span", { class: "ek-muted", role: "status" });
  const node = element("div", { class: "ek-reading" });
  const formatted = button("Markdown", () => app.send({ kind: "format", markdown: !trial.markdown }), { "aria-pressed": "false", title: "Render Markdown or show the source" });
  let [trial, items, texts] = [null, [], []];

  const go = (index) => {
    const item = items[index];
    item.hidden = false;
    const target = item.querySelector("mark") || item;
    target.scrollIntoView({ block: "center", behavior: "auto" });
    target.setAttribute("tabindex", "-1");
    target.focus({ preventScroll: true });
  };

  const search = () => {
    const wanted = box.value.trim().toLowerCase();
    const hits = [];
    items.forEach((item, index) => {
      const matches = wanted === "" || texts[index].some((text) => text.includes(wanted));
      item.hidden = !matches;
      if (!matches || wanted === "") return;
      hits.push(item);
      const parts = [...item.querySelectorAll(":scope > details, :scope > .ek-part")];
      parts.forEach((part, at) => { if (part.ekFill && texts[index][at + 1]?.includes(wanted)) part.ekFill(); });
    });
    highlight(hits, wanted);
    result.textContent = wanted ? `${hits.length} of ${count(items.length, "message")}` : "";
  };

  const plain = (pieces) => pieces.map(([text]) => text).join("").toLowerCase();
  const draw = (given) => {
    trial = given;
    items = [];
    if (!trial) { node.replaceChildren(); return; }
    formatted.setAttribute("aria-pressed", String(trial.markdown));
    texts = trial.messages.map((one) => [one.role.toLowerCase(), ...one.parts.map((part) => part.summary.toLowerCase() + plain(part.pieces))]);
    items = trial.messages.map((one, index) => element("li", { class: `ek-${one.kind}` }, element("div", { class: "ek-role" }, one.role), one.parts.map((part, at) => messagePart(part, index, at, app.send))));
    const messages = element("ol", { class: "ek-messages", "aria-label": "Messages" }, items.length ? items : element("li", null, "No messages and no output."));
    const scores = trial.judgements.length ? trial.judgements.map((one) => judgement(one, go)) : none && element("li", null, none);
    const source = trial.source && element("span", null, element("code", null, trial.source), " ", button("Copy", async () => { result.textContent = await copy(trial.source); }, { class: "ek-quiet" }));
    replace(node,
      element("p", { class: "ek-title" }, element("strong", null, trial.title[0].toUpperCase() + trial.title.slice(1))),
      element("p", { class: "ek-meta" }, trial.severity && element("span", null, "severity ", badge(trial.severity)), trial.facts.map((fact) => element("span", null, fact)), source || null),
      trial.asked.length > 0 && fold("Case details", trial.asked.map(([name, text]) => [paragraph(element("strong", null, name)), element("pre", null, text)])),
      row(box, formatted, result),
      element("div", { class: "ek-columns" }, messages, scores && element("ul", { class: "ek-scores", "aria-label": "Judgements" }, scores)));
    if (box.value) search();
  };

  const fill = (whole) => {
    const place = whole && node.querySelector(`[data-part="${whole.message}-${whole.part}"]`);
    if (!place) return;
    place.replaceChildren(element("pre", null, marked(whole.pieces)));
    texts[whole.message][whole.part + 1] = plain(whole.pieces);
  };

  box.addEventListener("input", debounce(search, 120));
  return { node, draw, fill };
}
