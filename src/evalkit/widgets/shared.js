// What every view is built with. Text reaches the page through textContent only: it is never markup.
// Nothing here, and nothing in a view, asks the network for anything.

// h("button", { class: "ek-quiet", onclick: f, "aria-label": "..." }, "words", node, ...): an element.
// Attributes are those that cannot load or run anything; functions are listeners; false and null are left out.
const PLAIN_ATTRIBUTES = /^(class|id|for|type|role|name|value|min|max|step|placeholder|tabindex|title|scope|rows|cols|colspan|lang|autocomplete|spellcheck|list|aria-[a-z]+|data-[a-z-]+)$/;
const SWITCHES = ["disabled", "checked", "selected", "multiple", "open", "hidden", "readOnly", "required"];
function h(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined) continue;
    if (typeof value === "function") node.addEventListener(name.replace(/^on/, ""), value);
    else if (SWITCHES.includes(name)) node[name] = Boolean(value);
    else if (value !== false && PLAIN_ATTRIBUTES.test(name)) node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

// The same in SVG.
function s(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (typeof value === "function") node.addEventListener(name.replace(/^on/, ""), value);
    else if (value !== null && value !== undefined && !/href|^on/i.test(name)) node.setAttribute(name, String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

let ekCount = 0;
const unique = (stem) => `ek-${stem}-${(ekCount += 1)}`;
const number = (value, digits = 2) => (value === null || value === undefined ? "–" : Number(value).toFixed(digits));
// A count, with its word where one is given: counted(1, "trial") is "1 trial".
const counted = (value, one = "") => `${Number(value).toLocaleString("en-US")}${one && ` ${one}${value === 1 ? "" : "s"}`}`;
// A long name without its middle: what tells names apart stands at their ends more often than not.
const clipped = (text, most) => (text.length <= most ? text : `${text.slice(0, Math.floor(most / 2) - 1)}…${text.slice(-Math.ceil(most / 2))}`);
// A name that may break behind its separators, and not inside a word.
const breakable = (text) => text.split(/(?<=[/_.:-])/).flatMap((part, at) => (at ? [document.createElement("wbr"), part] : [part]));
// A severity or a verdict: always the word, and its colour.
const word = (text) => h("span", { class: `ek-word ek-is-${String(text).replace(/[^a-z]+/g, "-")}` }, text);

// A field with its label; `control` gets an id.
function labelled(text, control, attributes) {
  control.id = control.id || unique("field");
  return h("span", { class: "ek-field", ...attributes }, h("label", { for: control.id }, text), control);
}

// start({ model, el, name, label }): the root of a view. `ask` sends a message to the panel and waits for its answer;
// `waiting()` is how many are not answered yet; `on("change:part", draw)` draws anew; a render() returns `close`.
function start({ model, el, name, label }) {
  const status = h("span", { class: "ek-status", role: "status" });
  const root = h("section", { class: `ek ek-${name}`, "aria-label": label });
  const listeners = [];
  let clock = null;
  let open = 0;
  const on = (event, draw) => { model.on(event, draw); listeners.push([event, draw]); };
  const silent = () => { status.textContent = "The kernel does not answer; run the cell again."; };
  const answered = () => {
    open = Math.max(0, open - 1);
    clearTimeout(clock);
    root.removeAttribute("aria-busy");
    status.textContent = (model.get("told") || {}).text || "";
  };
  on("change:told", answered);
  // `patience`: milliseconds until a silent kernel is said to be silent; what takes long says so itself.
  const ask = (message, patience = 8000) => {
    root.setAttribute("aria-busy", "true");
    clearTimeout(clock);
    clock = setTimeout(silent, patience);
    open += 1;
    try { model.send(message); } catch { open = 0; silent(); }
  };
  // Shortcuts of the notebook must not fire while somebody works here: a in a box is a letter, not a new cell.
  root.addEventListener("keydown", (event) => event.stopPropagation());
  root.dataset.lmSuppressShortcuts = "true";
  el.replaceChildren(root);
  const close = () => { clearTimeout(clock); listeners.forEach(([event, draw]) => model.off(event, draw)); };
  return { root, status, ask, on, close, waiting: () => open, get: (part) => model.get(part) };
}

// Wait until somebody has stopped typing or dragging; `now` does at once what still waits.
function calm(work, wait = 150) {
  let clock = null;
  const stop = () => { clearTimeout(clock); clock = null; };
  const later = (...given) => { stop(); clock = setTimeout(() => { stop(); work(...given); }, wait); };
  later.now = (...given) => { if (clock !== null) { stop(); work(...given); } };
  later.waits = () => clock !== null;
  return later;
}

// Charts: own small SVG from aggregated numbers.
const between = (value, low, high) => Math.max(low, Math.min(high, value));
function scale([low, high], [from, to]) {
  const span = high - low || 1;
  const there = (value) => from + ((value - low) / span) * (to - from);
  there.back = (place) => between(low + ((place - from) / (to - from)) * span, Math.min(low, high), Math.max(low, high));
  return there;
}

function ticks(low, high, most = 6) {
  const rough = (high - low || 1) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((m) => m >= rough - 1e-12);
  const made = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + 1e-9; at += step) made.push(Number(at.toFixed(10)));
  return made;
}

// plot({ width, height, x, y, label, format }): axes; `inside` is where marks go, `x` and `y` are scales.
function plot({ width = 320, height = 120, x, y, xTitle = "", yTitle = "", label, xFormat = String, yFormat = String, left = 36 }) {
  const edge = { left, right: 8, top: 6, bottom: xTitle ? 34 : 20 };
  const right = scale(x, [edge.left, width - edge.right]);
  const up = scale(y, [height - edge.bottom, edge.top]);
  const inside = s("g", {});
  const svg = s("svg", { class: "ek-plot", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label },
    ticks(...y, 4).map((at) => s("g", {}, s("line", { class: "ek-grid", x1: edge.left, x2: width - edge.right, y1: up(at), y2: up(at) }),
      s("text", { class: "ek-tick", x: edge.left - 5, y: up(at) + 4, "text-anchor": "end" }, yFormat(at)))),
    ticks(...x, 6).map((at) => s("text", { class: "ek-tick", x: right(at), y: height - edge.bottom + 15, "text-anchor": "middle" }, xFormat(at))),
    xTitle ? s("text", { class: "ek-tick", x: (edge.left + width - edge.right) / 2, y: height - 4, "text-anchor": "middle" }, xTitle) : null,
    yTitle ? s("text", { class: "ek-tick", x: 10, y: (edge.top + height - edge.bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 10 ${(edge.top + height - edge.bottom) / 2})` }, yTitle) : null,
    inside);
  return { svg, inside, x: right, y: up, width, height, edge };
}

// A path through points [[x, y], ...] in a plot's own units.
const line = (plotted, points, attributes) => s("path", { fill: "none", ...attributes, d: points.map(([x, y], at) => `${at ? "L" : "M"}${plotted.x(x).toFixed(1)},${plotted.y(y).toFixed(1)}`).join("") });

// Let somebody drag over a plot from left to right; `chosen(low, high)` when let go, `chosen(null)` after a click.
function brush(plotted, range, chosen) {
  const { svg, x, width, height, edge } = plotted;
  const box = s("rect", { class: "ek-brush", y: edge.top, height: height - edge.top - edge.bottom });
  const show = (low, high) => { box.setAttribute("x", x(low)); box.setAttribute("width", Math.max(0, x(high) - x(low))); };
  if (range) show(...range);
  const place = (event) => { const seen = svg.getBoundingClientRect(); return x.back(((event.clientX - seen.left) * width) / seen.width); };
  let from = null;
  svg.append(box);
  svg.classList.add("ek-brushable");
  svg.addEventListener("pointerdown", (event) => { from = place(event); svg.setPointerCapture(event.pointerId); show(from, from); event.preventDefault(); });
  svg.addEventListener("pointermove", (event) => { if (from !== null) { const at = place(event); show(Math.min(from, at), Math.max(from, at)); } });
  svg.addEventListener("pointerup", (event) => {
    if (from === null) return;
    const [low, high] = [from, place(event)].sort((a, b) => a - b);
    from = null;
    if (x(high) - x(low) < 4) chosen(null); else chosen(low, high);
  });
}

// Horizontal bars that can be pressed, long names on a line of their own: [{ name, count, of, pressed, verdicts: { pass, fail, unscored } }, ...].
function bars({ label, rows, press, shown = (row) => row.name }) {
  const most = Math.max(1, ...rows.map((row) => row.count));
  const tall = rows.some((row) => String(row.shown ?? row.name ?? "").length > 15);
  return h("div", { class: tall ? "ek-bars ek-tall" : "ek-bars", role: "group", "aria-label": label },
    rows.map((row) => {
      const parts = ["fail", "unscored", "pass"].filter((verdict) => row.verdicts?.[verdict]);
      const said = parts.map((verdict) => `${counted(row.verdicts[verdict])} ${verdict}`).join(", ");
      const track = h("span", { class: "ek-track", "aria-hidden": "true" });
      for (const verdict of parts) {
        const piece = h("span", { class: `ek-piece ek-fill-${verdict}` });
        piece.style.width = `${(100 * row.verdicts[verdict]) / most}%`;
        track.append(piece);
      }
      return h("button", { type: "button", class: "ek-bar", "aria-pressed": String(Boolean(row.pressed)), title: said, onclick: () => press(row.name) },
        h("span", { class: "ek-bar-name" }, shown(row)), track,
        h("span", { class: "ek-bar-count" }, counted(row.count)), h("span", { class: "ek-hear" }, said ? `: ${said}` : ""));
    }));
}
