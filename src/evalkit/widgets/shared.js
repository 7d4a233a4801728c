// Shared by every view. Text reaches the page through textContent only. Nothing here uses the network.

// Attributes that cannot load or run anything; no other is set.
const PLAIN_ATTRIBUTES = /^(class|id|for|type|role|name|value|min|max|step|placeholder|tabindex|title|scope|rows|cols|colspan|lang|autocomplete|spellcheck|list|aria-[a-z]+|data-[a-z-]+)$/;
const SWITCHES = ["disabled", "checked", "selected", "multiple", "open", "hidden", "readOnly", "required"];
const isShown = (child) => child !== null && child !== undefined && child !== false;

// element("button", { class: "ek-quiet", onclick: f }, "text", node, ...): functions are listeners; null and false are skipped.
function element(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined) continue;
    if (typeof value === "function") node.addEventListener(name.replace(/^on/, ""), value);
    else if (SWITCHES.includes(name)) node[name] = Boolean(value);
    else if (value !== false && PLAIN_ATTRIBUTES.test(name)) node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter(isShown));
  return node;
}

function svg(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (isShown(value) && !/href|^on/i.test(name)) node.setAttribute(name, String(value));
  }
  node.append(...children.flat(Infinity).filter(isShown));
  return node;
}

let lastId = 0;
const unique = (stem) => `ek-${stem}-${(lastId += 1)}`;
const number = (value, digits = 2) => (value === null || value === undefined ? "–" : Number(value).toFixed(digits).replace("-", "−"));
// count(1, "trial") is "1 trial".
const count = (value, noun = "") => `${Number(value).toLocaleString("en-US")}${noun && ` ${noun}${value === 1 ? "" : "s"}`}`;
// Cut the middle of a long name: names differ at their ends more often.
const shorten = (text, limit) => (text.length <= limit ? text : `${text.slice(0, Math.floor(limit / 2) - 1)}…${text.slice(-Math.ceil(limit / 2))}`);
// Let a name break after its separators only.
const breakable = (text) => text.split(/(?<=[/_.:-])/).flatMap((part, index) => (index ? [document.createElement("wbr"), part] : [part]));
const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

const button = (text, onclick, attributes) => element("button", { type: "button", onclick, ...attributes }, text);
const heading = (...children) => element("p", { class: "ek-head" }, children);
const paragraph = (...children) => element("p", null, children);
const muted = (...children) => element("p", { class: "ek-muted" }, children);
const hint = (...children) => element("span", { class: "ek-muted" }, children);
const row = (...children) => element("div", { class: "ek-row" }, children);
const fold = (summary, ...children) => element("details", null, element("summary", null, summary), children);
const region = (label, name = "") => element("div", { class: `ek-scroll ${name}`, tabindex: 0, role: "region", "aria-label": label });
// A severity or verdict: the word and its color.
const badge = (text) => element("span", { class: `ek-word ek-is-${String(text).replace(/[^a-z]+/g, "-")}` }, text);

// A control with its label.
function field(text, control, attributes) {
  control.id = control.id || unique("field");
  return element("span", { class: "ek-field", ...attributes }, element("label", { for: control.id }, text), control);
}

// select("Score", [[value, text], ...], chosen, change); a value may be null.
function select(label, options, chosen, change) {
  const control = element("select", { "data-keep": label, onchange: () => change(options[control.selectedIndex][0]) },
    options.map(([value, text]) => element("option", { selected: value === chosen }, text)));
  return field(label, control);
}

const numeric = (...names) => names.map((content) => ({ content, numeric: true }));
// table(["Case", { content: "Score", numeric: true }], [[cell, ...], { cells, ...attributes }, ...], { rowHeads, ...attributes })
// A cell is text, a node, or { content, ...attributes }.
function table(head, rows, { rowHeads = false, cellRole = null, ...attributes } = {}) {
  const described = (cell) => (isShown(cell?.content) ? cell : { content: isShown(cell) ? cell : "–" });
  const columns = head.map(described);
  const cell = (tag, given, index, more) => {
    const { content, numeric, class: name, ...rest } = described(given);
    const classes = [columns[index].numeric && "ek-num", name].filter(Boolean).join(" ");
    return element(tag, { ...more, ...rest, class: classes || null }, content);
  };
  const heads = columns.map((column, index) => cell("th", column, index, { scope: "col", role: cellRole && "columnheader" }));
  const body = rows.map((given) => {
    const { cells, ...rest } = Array.isArray(given) ? { cells: given } : given;
    const make = (one, index) => cell(rowHeads && !index ? "th" : "td", one, index, { scope: rowHeads && !index ? "row" : null, role: cellRole });
    return element("tr", { role: cellRole && "row", ...rest }, cells.map(make));
  });
  return element("table", attributes, element("thead", { role: cellRole && "rowgroup" }, element("tr", { role: cellRole && "row" }, heads)),
    element("tbody", { role: cellRole && "rowgroup" }, body));
}

// Replace the children, and give the focus back to the element with the same data-keep.
function replace(node, ...children) {
  const key = node.contains(document.activeElement) ? document.activeElement.closest("[data-keep]")?.dataset.keep : null;
  node.replaceChildren(...children.flat(Infinity).filter(isShown));
  if (!key) return;
  const same = [...node.querySelectorAll("[data-keep]")].filter((one) => one.dataset.keep === key);
  (same.find((one) => one.tabIndex === 0) || same[0])?.focus();
}

async function copy(text) {
  try { await navigator.clipboard.writeText(text); return "Copied"; } catch { return "Select and copy by hand"; }
}

// The root of a view. `draw({ part: show })` calls show(value) now and on every change. `send` sends an event; `pending()`
// counts unanswered ones. `keys(find)` runs find(key, target) on a key press outside fields. render() returns `close`.
function mount({ model, el, name, label }) {
  const status = element("span", { class: "ek-status", role: "status" });
  const root = element("section", { class: `ek ek-${name}`, "aria-label": label });
  const listeners = [];
  let [timer, open] = [null, 0];
  const on = (part, work) => { model.on(`change:${part}`, work); listeners.push([`change:${part}`, work]); };
  const draw = (parts) => Object.entries(parts).forEach(([part, show]) => {
    const update = () => show(model.get(part));
    on(part, update);
    update();
  });
  const isSilent = () => { status.textContent = "The kernel does not respond. Run the cell again."; };
  draw({ status(answer) {
    open = Math.max(0, open - 1);
    clearTimeout(timer);
    root.removeAttribute("aria-busy");
    status.textContent = answer?.text || "";
  } });
  const send = (event, timeout_ms = 8000) => {
    root.setAttribute("aria-busy", "true");
    clearTimeout(timer);
    timer = setTimeout(isSilent, timeout_ms);
    open += 1;
    try { model.send(event); } catch { open = 0; isSilent(); }
  };
  const keys = (find) => root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^(input|textarea|select)$/i.test(event.target.tagName)) {
      if (event.key === "Escape") root.focus();
      return;
    }
    const work = find(event.key, event.target);
    if (!work) return;
    event.preventDefault();
    work();
  });
  // A key pressed here must not trigger a shortcut of the notebook.
  root.addEventListener("keydown", (event) => event.stopPropagation());
  root.dataset.lmSuppressShortcuts = "true";
  el.replaceChildren(root);
  const close = () => { clearTimeout(timer); listeners.forEach(([event, work]) => model.off(event, work)); };
  return { root, status, send, on, draw, keys, close, pending: () => open, get: (part) => model.get(part) };
}

// Run after a pause in typing or dragging; `now` runs at once if a call waits.
function debounce(work, wait_ms = 150) {
  let timer = null;
  const stop = () => { clearTimeout(timer); timer = null; };
  const later = (...given) => { stop(); timer = setTimeout(() => { stop(); work(...given); }, wait_ms); };
  later.now = (...given) => { if (timer !== null) { stop(); work(...given); } };
  later.waits = () => timer !== null;
  return later;
}

function scale([low, high], [from, to]) {
  const span = high - low || 1;
  const position = (value) => from + ((value - low) / span) * (to - from);
  position.back = (place) => clamp(low + ((place - from) / (to - from)) * span, Math.min(low, high), Math.max(low, high));
  return position;
}

function ticks(low, high, limit = 6) {
  const rough = (high - low || 1) / limit;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((m) => m >= rough - 1e-12);
  const values = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + 1e-9; value += step) values.push(Number(value.toFixed(10)));
  return values;
}

// Axes; marks go into `inside`, `x` and `y` are scales.
function plot({ width, height, x, y, xTitle = "", label, yFormat = String, left = 36 }) {
  const edge = { left, right: 8, top: 6, bottom: xTitle ? 34 : 20 };
  const right = scale(x, [edge.left, width - edge.right]);
  const up = scale(y, [height - edge.bottom, edge.top]);
  const inside = svg("g", {});
  const tick = (text, at, anchor = "middle") => svg("text", { class: "ek-tick", ...at, "text-anchor": anchor }, text);
  const node = svg("svg", { class: "ek-plot", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label },
    ticks(...y, 4).map((value) => [svg("line", { class: "ek-grid", x1: edge.left, x2: width - edge.right, y1: up(value), y2: up(value) }),
      tick(yFormat(value), { x: edge.left - 5, y: up(value) + 4 }, "end")]),
    ticks(...x, 6).map((value) => tick(String(value), { x: right(value), y: height - edge.bottom + 15 })),
    xTitle && tick(xTitle, { x: (edge.left + width - edge.right) / 2, y: height - 4 }),
    inside);
  const rule = (value) => svg("line", { class: "ek-rule", x1: right(value), x2: right(value), y1: edge.top, y2: height - edge.bottom });
  return { node, inside, x: right, y: up, width, height, edge, rule };
}

// Drag over a plot: `choose(low, high)` on release, `choose(null)` after a click.
function brush({ node, x, width, height, edge }, range, choose) {
  const box = svg("rect", { class: "ek-brush", y: edge.top, height: height - edge.top - edge.bottom });
  const show = (low, high) => { box.setAttribute("x", x(low)); box.setAttribute("width", Math.max(0, x(high) - x(low))); };
  if (range) show(...range);
  const place = (event) => { const seen = node.getBoundingClientRect(); return x.back(((event.clientX - seen.left) * width) / seen.width); };
  let from = null;
  node.append(box);
  node.classList.add("ek-brushable");
  node.addEventListener("pointerdown", (event) => { from = place(event); node.setPointerCapture(event.pointerId); show(from, from); event.preventDefault(); });
  node.addEventListener("pointermove", (event) => { if (from !== null) show(Math.min(from, place(event)), Math.max(from, place(event))); });
  node.addEventListener("pointerup", (event) => {
    if (from === null) return;
    const [low, high] = [from, place(event)].sort((a, b) => a - b);
    from = null;
    if (x(high) - x(low) < 4) choose(null); else choose(low, high);
  });
}
