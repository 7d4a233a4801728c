// The pass rule with sliders, and what it does.
const ekDashes = ["", "5 3", "1.5 2.5", "8 3 2 3", "3 3", "10 4"];

function ekSlider({ text, low, high, step, value, title, said = (v) => number(v), set }) {
  const shown = h("output", { class: "ek-value" }, said(value));
  const control = h("input", { type: "range", min: low, max: high, step, value, title, "aria-valuetext": said(value) });
  control.value = value;
  const tell = calm(() => set(Number(control.value)), 60);
  control.addEventListener("input", () => {
    shown.textContent = said(Number(control.value));
    control.setAttribute("aria-valuetext", shown.textContent);
    tell();
  });
  const node = labelled(text, control, { class: "ek-field ek-slider" });
  node.append(shown);
  // What somebody is dragging, or moved and did not send yet, is theirs; the panel's answer moves the others.
  const put = (next) => {
    if (control.matches(":active") || tell.waits()) return;
    control.value = next;
    shown.textContent = said(next);
    control.setAttribute("aria-valuetext", shown.textContent);
  };
  return { node, put };
}

function ekRate(row, target) {
  const at = scale([0, 1], [2, 218]);
  const bar = (attributes) => s("line", { y1: 11, y2: 11, ...attributes });
  const svg = s("svg", { class: "ek-rate", viewBox: "0 0 220 22", width: 220, height: 22, "aria-hidden": "true" },
    bar({ class: "ek-grid", x1: at(0), x2: at(1) }),
    target ? s("line", { class: "ek-rule", x1: at(target), x2: at(target), y1: 1, y2: 21 }) : null,
    row.before === null ? null : s("circle", { class: "ek-was", cx: at(row.before), cy: 11, r: 4 }),
    row.rate === null ? null : [bar({ class: "ek-span", x1: at(row.low), x2: at(row.high) }), s("circle", { class: "ek-now", cx: at(row.rate), cy: 11, r: 4.5 })]);
  return svg;
}

function render({ model, el }) {
  const app = start({ model, el, name: "tuner", label: "Tune the pass rule" });
  const first = app.get("rule");
  const set = (change) => app.ask({ kind: "set", ...change });
  const whole = { low: first.low, high: first.high, step: first.step };
  const mean = ekSlider({ text: "Mean at least", ...whole, value: first.mean, set: (value) => set({ mean: value }) });
  const floor = ekSlider({ text: "None below", ...whole, value: first.floor, set: (value) => set({ floor: value }) });
  const target = ekSlider({ text: "Pass rate", low: 0, high: 1, step: 0.01, value: first.target, said: (v) => (v ? `${Math.round(100 * v)} %` : "none"), set: (value) => set({ target: value }) });
  const none = first.low - first.step;
  const criteria = first.criteria.map((one) => ({
    weight: one.binary ? null : ekSlider({ text: "weight", low: 0, high: 5, step: 0.25, value: one.weight, title: `Weight of ${one.shown} in the mean`, set: (value) => set({ weight: { [one.name]: value } }) }),
    gate: ekSlider({ text: "must reach", low: none, high: first.high, step: first.step, value: one.gate ?? none, title: `What ${one.shown} must reach, whatever the mean`, said: (v) => (v < first.low - 1e-9 ? "–" : number(v)), set: (value) => set({ gate: { [one.name]: value < first.low - 1e-9 ? null : value } }) }),
  }));
  const words = h("p", { class: "ek-says" });
  const reset = h("button", { type: "button", onclick: () => app.ask({ kind: "reset" }) }, "Back to the base rule");
  const keep = h("button", { type: "button", class: "ek-main", onclick: () => app.ask({ kind: "keep" }) }, "Write the rule");
  const groups = h("div", { class: "ek-scroll", tabindex: 0, role: "region", "aria-label": "Pass rates" });
  const severities = h("div", { class: "ek-scroll", tabindex: 0, role: "region", "aria-label": "Pass rates by severity" });
  const curve = h("div", null);
  const agreed = h("p", { class: "ek-soft" });
  const flips = h("p", { class: "ek-says", role: "status" });
  const table = h("div", { class: "ek-scroll ek-flips", tabindex: 0, role: "region", "aria-label": "Trials whose verdict differs" });

  // An answer to an earlier move would put a slider back that was moved since: they follow when all is answered.
  const place = () => {
    if (app.waiting()) return;
    const rule = app.get("rule");
    mean.put(rule.mean); floor.put(rule.floor); target.put(rule.target);
    rule.criteria.forEach((one, at) => { criteria[at].weight?.put(one.weight); criteria[at].gate.put(one.gate ?? none); });
  };
  const draw = {
    rule() {
      const rule = app.get("rule");
      place();
      words.textContent = rule.words;
      reset.disabled = rule.same;
      reset.title = `Base rule: ${rule.base}`;
      keep.title = `Writes ${rule.path}`;
    },
    groups() {
      const goal = app.get("rule").target;
      const rows = app.get("groups");
      groups.replaceChildren(h("table", null, h("thead", null, h("tr", null, h("th", { scope: "col" }, "version"), h("th", { scope: "col" }, "pass rate, 0 to 100 %"), h("th", { scope: "col", class: "ek-num" }, "now"), h("th", { scope: "col", class: "ek-num" }, "base rule"), h("th", { scope: "col", class: "ek-num" }, "cases"), h("th", { scope: "col", class: "ek-num" }, "unscored"), goal ? h("th", { scope: "col" }, "target") : null)),
        h("tbody", null, rows.map((row) => h("tr", { title: row.method }, h("th", { scope: "row", title: row.name }, h("strong", null, clipped(row.name, 40))), h("td", null, ekRate(row, goal)), h("td", { class: "ek-num" }, row.words),
          h("td", { class: "ek-num" }, row.before === null ? "–" : `${(100 * row.before).toFixed(1)}%`), h("td", { class: "ek-num" }, counted(row.n)), h("td", { class: "ek-num" }, counted(row.unscored)), goal ? h("td", null, row.gate) : null)))),
        h("p", { class: "ek-soft" }, `● now with its interval (${rows[0]?.method || ""}), ○ under the base rule`));
    },
    severities() {
      const { names, rows } = app.get("severities");
      severities.replaceChildren(h("table", null, h("thead", null, h("tr", null, h("th", { scope: "col" }, "severity"), names.map((name) => h("th", { scope: "col", class: "ek-num", title: name }, clipped(name, 12))))),
        h("tbody", null, rows.map((row) => h("tr", null, h("th", { scope: "row" }, word(row.name)), row.cells.map((cell) => h("td", { class: "ek-num", title: cell?.title }, cell ? [cell.words, cell.fails ? h("span", { class: "ek-soft" }, ` ${counted(cell.fails)} fail`) : null] : "")))))));
    },
    flipped() {
      const { words: said, rows, left } = app.get("flipped");
      flips.textContent = said;
      table.hidden = rows.length === 0;
      table.replaceChildren(h("table", null, h("thead", null, h("tr", null, ["severity", "case", "run", "epoch", "mean", "base rule", "now"].map((name) => h("th", { scope: "col", class: ["epoch", "mean"].includes(name) ? "ek-num" : null }, name)))),
        h("tbody", null, rows.map((row) => h("tr", null, h("td", null, word(row.severity)), h("td", null, row.case), h("td", null, row.run), h("td", { class: "ek-num" }, row.epoch), h("td", { class: "ek-num" }, number(row.mean)), h("td", null, word(row.before)), h("td", null, word(row.after)))))),
        left ? h("p", { class: "ek-soft" }, `and ${counted(left)} more: .flips in Python has them all`) : "");
    },
    agreed() { agreed.textContent = app.get("agreed")?.words || "Nobody has labelled these trials: how the verdicts compare with people's is not known."; },
    curve() {
      const { at, lines } = app.get("curve");
      const rule = app.get("rule");
      const points = lines.flatMap((one) => one.points.map(([x]) => x));
      if (!points.length) { curve.replaceChildren(); return; }
      const plotted = plot({ width: 460, height: 190, x: [Math.min(...points), rule.high], y: [0, 1], xTitle: "mean that a trial must reach", label: `Pass rate at every threshold of the mean. Now ${number(at)}.`, yFormat: (v) => `${Math.round(100 * v)}%`, left: 42 });
      lines.forEach((one, index) => {
        plotted.inside.append(line(plotted, one.points, { class: "ek-line", "stroke-dasharray": ekDashes[index % ekDashes.length] }));
        const near = one.points.reduce((best, point) => (Math.abs(point[0] - at) < Math.abs(best[0] - at) ? point : best), one.points[0]);
        if (near) plotted.inside.append(s("circle", { class: "ek-now", cx: plotted.x(at), cy: plotted.y(near[1]), r: 4 }));
      });
      plotted.inside.append(s("line", { class: "ek-rule", x1: plotted.x(at), x2: plotted.x(at), y1: plotted.edge.top, y2: plotted.height - plotted.edge.bottom }));
      const key = h("p", { class: "ek-soft ek-key" }, lines.map((one, index) => h("span", { title: one.name }, s("svg", { width: 30, height: 8, "aria-hidden": "true" }, s("line", { class: "ek-line", x1: 0, x2: 30, y1: 4, y2: 4, "stroke-dasharray": ekDashes[index % ekDashes.length] })), ` ${clipped(one.name, 40)}`)));
      curve.replaceChildren(plotted.svg, key);
    },
  };

  const controls = h("div", { class: "ek-controls" }, h("p", { class: "ek-head" }, "The rule"), mean.node, floor.node,
    first.criteria.map((one, at) => h("fieldset", null, h("legend", null, one.shown), criteria[at].weight?.node, criteria[at].gate.node)),
    h("p", { class: "ek-head" }, "The target"), target.node,
    h("div", { class: "ek-row" }, reset, keep), app.status);
  const shown = h("div", { class: "ek-shown" }, words, groups, h("div", { class: "ek-two" }, h("div", null, h("p", { class: "ek-head" }, "Pass rate at every threshold"), curve), h("div", null, h("p", { class: "ek-head" }, "By severity"), severities, h("p", { class: "ek-head" }, "Against people"), agreed)), flips, table);
  app.root.append(...[first.notice ? h("p", { class: "ek-soft" }, first.notice) : null, h("div", { class: "ek-tuning" }, controls, shown)].filter(Boolean));
  for (const [part, work] of Object.entries(draw)) { app.on(`change:${part}`, work); work(); }
  app.on("change:rule", draw.groups);
  app.on("change:told", place);
  return app.close;
}

export default { render };
