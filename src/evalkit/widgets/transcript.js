// The transcript with a search box. Text reaches the page through textContent only: it is never markup.
function make(tag, name, text) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text != null) node.textContent = text;
  return node;
}

function marked(tag, pieces) {
  const node = make(tag);
  for (const [text, quoted] of pieces) node.append(quoted ? make("mark", null, text) : document.createTextNode(text));
  return node;
}

function folded(part) {
  const details = make("details");
  details.open = part.open;
  details.append(make("summary", null, part.summary), marked("pre", part.pieces));
  return details;
}

function message(one) {
  const item = make("li", "ek-" + one.kind);
  item.append(make("div", "ek-role", one.role));
  for (const part of one.parts) item.append(part.summary ? folded(part) : marked("pre", part.pieces));
  return item;
}

function judgement(one) {
  const item = make("li");
  const line = make("p");
  line.append(make("strong", null, one.criterion), " ", make("span", "ek-score", one.score), " ", make("span", "ek-grader", one.grader + (one.sample === "1" ? "" : ", sample " + one.sample)));
  item.append(line);
  if (one.rationale) item.append(make("p", null, one.rationale));
  if (one.evidence) item.append(make("blockquote", null, "Quoted: " + one.evidence));
  return item;
}

function render({ model, el }) {
  const draw = () => {
    const state = model.get("state");
    const root = make("div", "ek-transcript");
    root.append(make("p", "ek-title", state.title), make("p", "ek-meta", state.meta));
    const box = make("input");
    box.type = "search";
    box.placeholder = "Search this transcript";
    box.setAttribute("aria-label", "Search this transcript");
    const status = make("span", "ek-status");
    status.setAttribute("role", "status");
    const bar = make("p");
    bar.append(box, status);
    const columns = make("div", "ek-columns");
    const messages = make("ol", "ek-messages");
    const scores = make("ul", "ek-scores");
    const items = state.messages.map(message);
    const texts = items.map((item) => item.textContent.toLowerCase());
    messages.append(...items);
    scores.append(...state.scores.map(judgement));
    columns.append(messages, scores);
    root.append(bar, columns);
    const search = () => {
      const word = box.value.trim().toLowerCase();
      let found = 0;
      items.forEach((item, at) => {
        item.hidden = word !== "" && !texts[at].includes(word);
        if (!item.hidden) found += 1;
        if (word && !item.hidden) item.querySelectorAll("details").forEach((d) => { d.open = d.open || d.textContent.toLowerCase().includes(word); });
      });
      status.textContent = word ? `${found} of ${items.length} messages` : "";
    };
    box.addEventListener("input", search);
    el.replaceChildren(root);
  };
  draw();
  model.on("change:state", draw);
}

export default { render };
