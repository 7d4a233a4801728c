// Filter bars and a score histogram, a table of the matching trials, and the selected trial.
const HEADS = {
  agent_version: "Version", model: "Model", grader: "Graded by", severity: "Severity", verdict: "Verdict", tags: "Tag",
  domain: "Domain", case: "Case", failure: "Failure", epoch: "Epoch", run: "Run", score: "Score",
};
const VERDICTS = ["fail", "unscored", "pass"];
const NUMERIC = ["epoch", "score"];
const BADGES = ["verdict", "severity"];

// One bar per value, split by verdict; long names stand above their bar.
function bars({ column, rows }, press) {
  const longest = Math.max(1, ...rows.map((one) => one.count));
  const name = ({ label }) => {
    if (BADGES.includes(column)) return badge(label);
    if (label.length <= 34) return label;
    return [element("span", { "aria-hidden": "true", title: label }, shorten(label, 34)), element("span", { class: "ek-hear" }, label)];
  };
  return element("div", { class: rows.some((one) => one.label.length > 15) ? "ek-bars ek-tall" : "ek-bars", role: "group", "aria-label": HEADS[column] },
    rows.map((one, index) => {
      const pieces = VERDICTS.filter((verdict) => one.verdicts[verdict]).map((verdict) => {
        const piece = element("span", { class: `ek-piece ek-fill-${verdict}` });
        piece.style.width = `${(100 * one.verdicts[verdict]) / longest}%`;
        return [piece, `${count(one.verdicts[verdict])} ${verdict}`];
      });
      const counts = pieces.map(([, text]) => text).join(", ");
      return element("button", { type: "button", class: "ek-bar", "aria-pressed": String(one.pressed), "data-keep": `${column} ${index}`, title: counts, onclick: () => press(one.name) },
        element("span", { class: "ek-bar-name" }, name(one)), element("span", { class: "ek-track", "aria-hidden": "true" }, pieces.map(([piece]) => piece)),
        element("span", { class: "ek-bar-count" }, count(one.count)), element("span", { class: "ek-hear" }, counts && `: ${counts}`));
    }));
}

function histogram({ low, high, width, bins, threshold, range }, choose) {
  const most = Math.max(1, ...bins.map(([, ...counts]) => counts.reduce((sum, one) => sum + one, 0)));
  const counts = bins.map(([bin, pass, fail, unscored]) => `${number(low + bin * width, 1)}: ${pass} pass, ${fail} fail${unscored ? `, ${unscored} unscored` : ""}`);
  const plotted = plot({ width: 230, height: 128, x: [low, high], y: [0, most], label: `Scores of the trials: ${counts.join("; ") || "none"}`, left: 34, yFormat: count });
  for (const [bin, pass, fail, unscored] of bins) {
    const x = plotted.x(low + bin * width) + 0.5;
    let base = 0;
    [fail, unscored, pass].forEach((height, index) => {
      if (height) {
        plotted.inside.append(svg("rect", { class: `ek-fill-${VERDICTS[index]}`, x, y: plotted.y(base + height),
          width: Math.max(1, plotted.x(low + (bin + 1) * width) - x - 0.5), height: plotted.y(base) - plotted.y(base + height) }));
      }
      base += height;
    });
  }
  if (threshold !== null && threshold > low && threshold <= high) plotted.inside.append(plotted.rule(threshold));
  // A brushed range ends at the edges of bins: limits that can be read and written down.
  const edge = (value, round) => Number((low + round((value - low) / width) * width).toFixed(6));
  brush(plotted, range, (from, to) => (from === null ? choose(null, null) : choose(edge(from, Math.floor), edge(to, Math.ceil))));
  return plotted.node;
}

function render({ model, el }) {
  const app = mount({ model, el, name: "explorer", label: "Explorer" });
  const pane = reading(app);
  const search = element("input", { type: "search", "data-keep": "search", placeholder: "Transcripts and rationales", oninput: debounce(() => app.send({ kind: "search", text: search.value }), 250) });
  const bar = row();
  const total = element("strong", { class: "ek-count" });
  const scores = element("div", { class: "ek-chart ek-distribution" });
  const columns = element("div", { class: "ek-facets" });
  const list = element("div", { class: "ek-list" });
  const code = element("pre", { tabindex: "0", "aria-label": "Code for this selection" });
  const copied = button("Copy", async () => { copied.textContent = await copy(code.textContent); }, { class: "ek-quiet" });

  const drawHead = (head) => {
    if (document.activeElement !== search) search.value = head.search;
    const named = (names) => names.map((name) => [name, name || "not given"]);
    const [baseline, candidate] = head.flips || head.versions.slice(-2);
    const flips = (...sides) => app.send({ kind: "flips", sides: sides.length ? sides : null });
    const only = element("input", { type: "checkbox", id: unique("flips"), "data-keep": "flips", checked: Boolean(head.flips), onchange: () => (only.checked ? flips(baseline, candidate) : flips()) });
    const measure = (change) => app.send({ kind: "measure", criterion: head.criterion, grader: head.grader, ...change });
    replace(bar, field("Search", search),
      head.criteria.length > 1 && select("Score", [[null, "Mean of the criteria"], ...named(head.criteria)], head.criterion, (criterion) => measure({ criterion })),
      head.graders.length > 1 && select("Grader", [...(head.grader === null ? [[null, "Judge"]] : []), ...named(head.graders)], head.grader, (grader) => measure({ grader })),
      head.versions.length > 1 && element("span", { class: "ek-field" }, only, element("label", { for: only.id }, "Flips only")),
      head.flips && select("Baseline", named(head.versions), baseline, (name) => flips(name, candidate)),
      head.flips && select("Candidate", named(head.versions), candidate, (name) => flips(baseline, name)),
      head.filtered && button("Clear filters", () => { search.value = ""; app.send({ kind: "reset" }); }));
    total.textContent = `${count(head.left)} of ${count(head.of, "trial")}`;
  };

  const drawScores = (given) => {
    const range = (low, high) => app.send({ kind: "range", low, high });
    const limit = (index) => element("input", { type: "number", step: "any", min: given.low, max: given.high, value: given.range ? given.range[index] : "",
      placeholder: number(index ? given.high : given.low, 0), "data-keep": index ? "to" : "from", onchange: () => range(...limits.map(({ value }) => (value === "" ? null : Number(value)))) });
    const limits = [limit(0), limit(1)];
    replace(scores, element("p", { class: "ek-chart-title" }, "Score"), histogram(given, range), row(field("from", limits[0]), field("to", limits[1]),
      given.without > 0 && hint(`${count(given.without)} unscored`)));
  };

  const drawFacets = (facets) => replace(columns, facets.map((facet) => {
    const { column, more, all } = facet;
    return element("div", { class: all ? "ek-chart ek-facet-all" : "ek-chart" }, element("p", { class: "ek-chart-title" }, HEADS[column]),
      bars(facet, (value) => app.send({ kind: "choose", column, value })),
      (more > 0 || all) && button(all ? "Show fewer" : `Show ${count(more)} more`, () => app.send({ kind: "all", column }), { class: "ek-quiet", "data-keep": `${column} all` }),
      all && more > 0 && hint(` ${count(more)} not shown. Use the search`));
  }));

  const pick = (index) => { const { height } = app.get("table"); if (height) app.send({ kind: "pick", row: clamp(index, 0, height - 1) }); };
  const drawTable = ({ columns: names, rows, first, height, pages, page, row: selected, sort, descending }) => {
    const heads = names.map((name) => ({ numeric: NUMERIC.includes(name), "aria-sort": sort !== name ? null : descending ? "descending" : "ascending",
      content: button(HEADS[name] + (sort !== name ? "" : descending ? " ↓" : " ↑"), () => app.send({ kind: "sort", column: name }), { "data-keep": `sort ${name}` }) }));
    const cell = (text, index) => {
      if (BADGES.includes(names[index])) return text ? badge(text) : hint("not given");
      return { content: shorten(text, 18) || hint("–"), title: text.length > 18 ? text : null };
    };
    const isOnPage = selected !== null && selected >= first && selected < first + rows.length;
    const body = rows.map((cells, index) => ({ cells: cells.map(cell), "data-keep": "row", onclick: () => pick(first + index),
      "aria-selected": String(first + index === selected), tabindex: (isOnPage ? first + index === selected : index === 0) ? "0" : "-1" }));
    const turn = (text, to) => button(text, () => app.send({ kind: "page", to }), { "data-keep": text, disabled: to < 0 || to >= pages });
    replace(list, element("div", { class: "ek-scroll" }, table(heads, body, { cellRole: "gridcell", role: "grid", "aria-label": "Trials", "aria-rowcount": height + 1 })),
      height === 0 && muted("No trials match. Clear filters"),
      row(turn("Previous page", page - 1), turn("Next page", page + 1), hint(`page ${count(page + 1)} of ${count(pages)}`)));
  };

  app.keys((key, target) => {
    const step = { j: 1, k: -1, ...(list.contains(target) && { ArrowDown: 1, ArrowUp: -1 }) }[key];
    return step && (() => pick((app.get("table").row ?? 0) + step));
  });
  app.root.append(bar, row(total, hint(element("kbd", null, "j"), " ", element("kbd", null, "k"), " next and previous trial"), app.status),
    element("div", { class: "ek-charts" }, scores, columns),
    element("div", { class: "ek-halves" }, list, element("div", { class: "ek-pane", tabindex: "0", role: "region", "aria-label": "Selected trial" }, pane.node)),
    fold("Code", copied, code));
  app.draw({ head: drawHead, distribution: drawScores, facets: drawFacets, table: drawTable, trial: pane.draw, whole: pane.fill,
    code: (text) => { code.textContent = text; copied.textContent = "Copy"; } });
  return app.close;
}

export default { render };
