// The pass rule with sliders, and its effect.
const DASHES = ["", "5 3", "1.5 2.5", "8 3 2 3", "3 3", "10 4"];
const percent = (rate, digits = 0) => `${number(100 * rate, digits)}%`;

function slider({ text, low, high, step, value, title, format = number, set }) {
  const shown = element("output", { class: "ek-value" });
  const control = element("input", { type: "range", min: low, max: high, step, title });
  const show = (next) => { shown.textContent = format(next); control.setAttribute("aria-valuetext", shown.textContent); };
  const later = debounce(() => set(Number(control.value)), 60);
  control.value = value;
  show(value);
  control.addEventListener("input", () => { show(Number(control.value)); later(); });
  const node = field(text, control, { class: "ek-field ek-slider" });
  node.append(shown);
  // A slider that is dragged, or moved and not sent yet, is left alone.
  const put = (next) => {
    if (control.matches(":active") || later.waits()) return;
    control.value = next;
    show(next);
  };
  return { node, put };
}

function rateBar({ rate, low, high, before }, target) {
  const x = scale([0, 1], [2, 218]);
  const bar = (name, from, to) => svg("line", { class: name, x1: x(from), x2: x(to), y1: 11, y2: 11 });
  const dot = (name, value, r) => svg("circle", { class: name, cx: x(value), cy: 11, r });
  return svg("svg", { class: "ek-rate", viewBox: "0 0 220 22", width: 220, height: 22, "aria-hidden": "true" },
    bar("ek-grid", 0, 1),
    target > 0 && svg("line", { class: "ek-rule", x1: x(target), x2: x(target), y1: 1, y2: 21 }),
    before !== null && dot("ek-was", before, 4),
    rate !== null && [bar("ek-span", low, high), dot("ek-now", rate, 4.5)]);
}

function curvePlot({ mean, high, lines }) {
  const shown = mean === null ? "none" : number(mean);
  const points = lines.flatMap((one) => one.points.map(([x]) => x));
  if (!points.length) return null;
  const plotted = plot({ width: 460, height: 190, x: [Math.min(...points), high], y: [0, 1], xTitle: "minimum mean", label: `Pass rate by threshold of the mean. Now ${shown}.`, yFormat: percent, left: 42 });
  const key = lines.map(({ name, points: ends }, index) => {
    const dash = { class: "ek-line", "stroke-dasharray": DASHES[index % DASHES.length] };
    const path = ends.map(([x, y], at) => `${at ? "L" : "M"}${plotted.x(x).toFixed(1)},${plotted.y(y).toFixed(1)}`).join("");
    const near = mean !== null && ends.reduce((best, point) => (Math.abs(point[0] - mean) < Math.abs(best[0] - mean) ? point : best), ends[0]);
    plotted.inside.append(svg("path", { fill: "none", ...dash, d: path }));
    if (near) plotted.inside.append(svg("circle", { class: "ek-now", cx: plotted.x(mean), cy: plotted.y(near[1]), r: 4 }));
    const sample = svg("svg", { width: 30, height: 8, "aria-hidden": "true" }, svg("line", { ...dash, x1: 0, x2: 30, y1: 4, y2: 4 }));
    return element("span", { title: name }, sample, ` ${shorten(name, 40)}`);
  });
  if (mean !== null) plotted.inside.append(plotted.rule(mean));
  return [plotted.node, element("p", { class: "ek-muted ek-key" }, key)];
}

function render({ model, el }) {
  const app = mount({ model, el, name: "tuner", label: "Tune the pass rule" });
  const first = app.get("rule");
  const set = (change) => app.send({ kind: "set", ...change });
  const shown = first.mixed ? (value) => percent(value) : number;
  // A slider whose lowest place, one step below the scale, means no condition.
  const optional = ({ low, high, step, value, format = number, change, ...rest }) => {
    const none = low - step;
    const isNone = (next) => next < low - 1e-9;
    const made = slider({ ...rest, low: none, high, step, value: value ?? none, format: (next) => (isNone(next) ? "–" : format(next)), set: (next) => change(isNone(next) ? null : next) });
    return { node: made.node, put: (next) => made.put(next ?? none) };
  };
  const condition = (text, name) => optional({ ...first, text, value: first[name], format: shown, change: (value) => set(value === null ? { drop: name } : { [name]: value }) });
  const mean = condition("Minimum mean", "mean");
  const floor = condition("Minimum score", "floor");
  const target = slider({ text: "Pass rate", low: 0, high: 1, step: 0.01, value: first.target, format: (rate) => (rate ? percent(rate) : "none"), set: (value) => set({ target: value }) });
  const criteria = first.criteria.map(({ name, label, weight, gate, binary, low, high, step, lower }) => ({
    label: lower ? `${label} (lower is better)` : label,
    weight: binary ? null : slider({ text: "Weight", low: 0, high: 5, step: 0.25, value: weight, title: `Weight of ${label} in the mean`, set: (value) => set({ weight: { [name]: value } }) }),
    gate: optional({ text: lower ? "Maximum" : "Minimum", low: low ?? 0, high: high ?? 1, step, value: gate, title: `${lower ? "Maximum" : "Minimum"} score of ${label}, whatever the mean`, change: (value) => set({ gate: { [name]: value } }) }),
  }));
  const words = element("p", { class: "ek-result-line" });
  const reset = button("Reset", () => app.send({ kind: "reset" }));
  const save = button("Save rule", () => app.send({ kind: "save" }), { class: "ek-main" });
  const groups = region("Pass rates");
  const severities = region("Pass rates by severity");
  const curve = element("div");
  const agreement = muted();
  const flips = element("p", { class: "ek-result-line", role: "status" });
  const flipped = region("Trials that change verdict", "ek-flips");

  // The answer to an earlier move would put back a slider that was moved since: wait for the last answer.
  const place = () => {
    if (app.pending()) return;
    const rule = app.get("rule");
    mean.put(rule.mean);
    floor.put(rule.floor);
    target.put(rule.target);
    rule.criteria.forEach(({ weight, gate }, index) => { criteria[index].weight?.put(weight); criteria[index].gate.put(gate); });
  };
  app.draw({
    rule(rule) {
      place();
      words.textContent = rule.words;
      reset.disabled = rule.same;
      reset.title = `Base rule: ${rule.base}`;
      save.title = `Saves ${rule.path}`;
    },
    groups({ target: goal, rows }) {
      const head = ["Version", "Pass rate, 0 to 100%", ...numeric("Now", "Base rule", "Cases", "Unscored"), ...(goal ? ["Target"] : [])];
      const body = rows.map((one) => ({ title: one.method, cells: [{ title: one.name, content: element("strong", null, shorten(one.name, 40)) }, rateBar(one, goal),
        one.words, one.before === null ? "–" : percent(one.before, 1), count(one.n), count(one.unscored), ...(goal ? [one.gate] : [])] }));
      replace(groups, table(head, body, { rowHeads: true }), muted(`● now with its interval (${rows[0]?.method || ""}), ○ base rule`));
    },
    severities({ names, rows }) {
      const head = ["Severity", ...names.map((name) => ({ content: shorten(name, 12), title: name, numeric: true }))];
      const cell = (one) => (one ? { title: one.title, content: [one.words, one.fails > 0 && hint(` ${count(one.fails)} fail`)].filter(Boolean) } : "");
      severities.replaceChildren(table(head, rows.map(({ name, cells }) => [badge(name), ...cells.map(cell)]), { rowHeads: true }));
    },
    flipped({ words: summary, rows, left }) {
      flips.textContent = summary;
      flipped.hidden = rows.length === 0;
      replace(flipped, table(["Severity", "Case", "Run", ...numeric("Epoch", "Mean"), "Base rule", "Now"],
        rows.map(([severity, name, run, epoch, score, before, after]) => [badge(severity), name, run, epoch, score, badge(before), badge(after)])),
      left > 0 && muted(`… and ${count(left)} more in .flips`));
    },
    agreement(text) { agreement.textContent = text || "No human labels. Add some with ek.label(evals, rater=...)"; },
    curve(given) { replace(curve, curvePlot(given)); },
  });

  const controls = element("div", { class: "ek-controls" }, heading("Rule"), mean.node, floor.node,
    criteria.map(({ label, weight, gate }) => element("fieldset", null, element("legend", null, label), weight?.node, gate.node)),
    heading("Target"), target.node, row(reset, save), app.status);
  const details = element("div", { class: "ek-two" }, element("div", null, heading("Pass rate by threshold"), curve),
    element("div", null, heading("By severity"), severities, heading("Agreement with human labels"), agreement));
  app.root.append(first.notice ? muted(first.notice) : "",
    element("div", { class: "ek-tuning" }, controls, element("div", { class: "ek-shown" }, words, groups, details, flips, flipped)));
  app.on("status", place);
  return app.close;
}

export default { render };
