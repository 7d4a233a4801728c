// A transcript to read: messages at the left, what graders said at the right. Used by every view that shows a trial.
const ekMarked = (text) => text.map(([words, quoted]) => (quoted ? h("mark", null, words) : words));

// Markdown as a tree that Python made and cleaned: [tag, children, address]; only these tags, and no others, become elements.
const EK_TAGS = new Set(["p", "br", "strong", "em", "s", "del", "code", "pre", "blockquote", "hr", "a", "ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "mark"]);
function ekTree(node) {
  if (typeof node === "string") return node;
  const [tag, children, address] = node;
  if (!EK_TAGS.has(tag)) return h("span", null, children.map(ekTree));
  const made = h(tag, null, children.map(ekTree));
  if (tag === "a" && /^https?:/.test(address || "")) { made.href = address; made.rel = "noopener noreferrer nofollow"; made.target = "_blank"; }
  return made;
}

// One stretch of text; a folded one is filled when it is opened.
function ekPart(part, at, index, ask) {
  const more = () => part.left
    ? h("button", { type: "button", class: "ek-quiet", onclick: () => ask({ kind: "whole", message: at, part: index }) }, `Show the remaining ${counted(part.left)} characters`)
    : null;
  const body = () => h("div", { class: "ek-part", "data-part": `${at}-${index}` }, part.tree ? h("div", { class: "ek-markdown" }, part.tree.map(ekTree)) : h("pre", null, ekMarked(part.pieces)), more());
  if (!part.summary) return body();
  const details = h("details", { open: part.open }, h("summary", null, part.summary));
  const fill = () => { if (details.children.length === 1) details.append(body()); };
  if (part.open) fill();
  details.addEventListener("toggle", () => { if (details.open) fill(); });
  details.ekFill = () => { fill(); details.open = true; };
  return details;
}

const ekQuote = (one, go) => !one.evidence ? null : h("blockquote", null, h("q", null, one.evidence), " ",
  one.at === null ? h("span", { class: "ek-soft" }, "(not found in the transcript)")
    : h("button", { type: "button", class: "ek-quiet", "aria-label": "Show the quotation in the transcript", onclick: () => go(one.at) }, "show"));

// What one grader said of one criterion: the first sample, the others folded.
function ekJudgement({ criterion, grader, samples: [first, ...others] }, go) {
  const reason = (one) => [one.rationale ? h("p", { class: "ek-rationale" }, one.rationale) : null, ekQuote(one, go)];
  return h("li", null,
    h("p", null, h("strong", null, breakable(criterion)), " ", h("span", { class: "ek-score" }, first.score), " ", h("span", { class: "ek-grader" }, grader)),
    reason(first),
    others.length ? h("details", null, h("summary", null, `More samples: ${others.map((one) => one.score).join(", ")}`),
      others.map((one) => [h("p", null, h("span", { class: "ek-score" }, one.score), ` sample ${one.sample}`), reason(one)])) : null);
}

// reading(app, { none }): `none` is what stands where there are no judgements, null: nothing. `node` to put into the page, `draw(trial)` for another one, `fill(whole)` for a cut text.
function reading(app, { none = "No judgements were recorded." } = {}) {
  const box = h("input", { type: "search", placeholder: "Search this transcript", "aria-label": "Search this transcript" });
  const found = h("span", { class: "ek-soft", role: "status" });
  const node = h("div", { class: "ek-reading" });
  const formatted = h("button", { type: "button", "aria-pressed": "false", title: "Show Markdown as it is meant, or as it is written", onclick: () => app.ask({ kind: "format", markdown: !trial.markdown }) }, "Markdown");
  let trial = null;
  let items = [];
  let texts = [];

  const go = (at) => {
    const item = items[at];
    item.hidden = false;
    const target = item.querySelector("mark") || item;
    target.scrollIntoView({ block: "center", behavior: "auto" });
    target.setAttribute("tabindex", "-1");
    target.focus({ preventScroll: true });
  };

  const search = () => {
    const wanted = box.value.trim().toLowerCase();
    const hits = [];
    items.forEach((item, at) => {
      const fits = wanted === "" || texts[at].some((text) => text.includes(wanted));
      item.hidden = !fits;
      if (!fits || wanted === "") return;
      hits.push(item);
      const folds = [...item.querySelectorAll(":scope > details, :scope > .ek-part")];
      folds.forEach((one, index) => { if (one.ekFill && texts[at][index + 1]?.includes(wanted)) one.ekFill(); });
    });
    paint(hits, wanted);
    found.textContent = wanted ? `${hits.length} of ${counted(items.length, "message")}` : "";
  };

  // The words that were looked for, coloured where the browser can do so without touching the text.
  const paint = (hits, wanted) => {
    if (!globalThis.CSS?.highlights || !globalThis.Highlight) return;
    const ranges = [];
    for (const item of hits) {
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
  };

  const copy = async () => {
    try { await navigator.clipboard.writeText(trial.source); found.textContent = "Copied."; }
    catch { found.textContent = "This browser does not let a page copy; select the place instead."; }
  };

  const draw = (given) => {
    trial = given;
    if (!trial) { node.replaceChildren(); items = []; return; }
    formatted.setAttribute("aria-pressed", String(trial.markdown));
    texts = trial.messages.map((one) => [one.role.toLowerCase(), ...one.parts.map((part) => (part.summary + " " + part.pieces.map(([words]) => words).join("")).toLowerCase())]);
    items = trial.messages.map((one, at) => h("li", { class: "ek-" + one.kind }, h("div", { class: "ek-role" }, one.role), one.parts.map((part, index) => ekPart(part, at, index, app.ask))));
    const messages = h("ol", { class: "ek-messages", "aria-label": "Messages" }, items.length ? items : h("li", null, "No messages and no output were recorded."));
    const scores = h("ul", { class: "ek-scores", "aria-label": "Judgements" }, trial.judgements.length ? trial.judgements.map((one) => ekJudgement(one, go)) : h("li", null, none));
    node.replaceChildren(...[
      h("p", { class: "ek-title" }, h("strong", null, trial.title[0].toUpperCase() + trial.title.slice(1))),
      h("p", { class: "ek-meta" }, trial.severity ? h("span", null, "severity ", word(trial.severity)) : null, trial.facts.map((fact) => h("span", null, fact)),
        trial.source ? h("span", null, h("code", null, trial.source), " ", h("button", { type: "button", class: "ek-quiet", onclick: copy }, "Copy")) : null),
      trial.asked.length ? h("details", { class: "ek-asked" }, h("summary", null, "What the case asks and expects"), trial.asked.map(([name, text]) => [h("p", null, h("strong", null, name)), h("pre", null, text)])) : null,
      h("div", { class: "ek-row" }, box, formatted, found),
      h("div", { class: "ek-columns" }, messages, trial.judgements.length || none ? scores : null),
    ].filter(Boolean));
    if (box.value) search();
  };

  const fill = (whole) => {
    if (!whole) return;
    const place = node.querySelector(`[data-part="${whole.message}-${whole.part}"]`);
    if (!place) return;
    place.replaceChildren(h("pre", null, ekMarked(whole.pieces)));
    texts[whole.message][whole.part + 1] = whole.pieces.map(([words]) => words).join("").toLowerCase();
  };

  box.addEventListener("input", calm(search, 120));
  return { node, draw, fill };
}
