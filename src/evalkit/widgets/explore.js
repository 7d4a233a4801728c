// Charts that filter, a table of the trials that are left, and the one that is read.
const EK_NAMES = { agent_version: "Version", model: "Model", grader: "Graded by", severity: "Severity", verdict: "Verdict", tags: "Tag", domain: "Domain", case: "Case", failure: "Failure", epoch: "Epoch", run: "Run", score: "Score" };

function ekSelect(label, options, chosen, change) {
  const control = h("select", { onchange: () => change(control.value === "\u0000" ? null : control.value) },
    options.map(([value, words]) => h("option", { value: value === null ? "\u0000" : value, selected: value === chosen }, words)));
  return labelled(label, control);
}

function render({ model, el }) {
  const app = start({ model, el, name: "explorer", label: "Explorer" });
  const pane = reading(app);
  const box = h("input", { type: "search", placeholder: "Transcripts and rationales", oninput: calm(() => app.ask({ kind: "search", text: box.value }), 250) });
  const bar = h("div", { class: "ek-row" });
  const count = h("strong", { class: "ek-count" });
  const charts = h("div", { class: "ek-charts" });
  const scores = h("div", { class: "ek-chart ek-distribution" });
  const columns = h("div", { class: "ek-facets" });
  const table = h("div", { class: "ek-list" });
  const code = h("pre", { tabindex: "0", "aria-label": "Code that gives this selection" });
  charts.append(scores, columns);

  const drawHead = () => {
    const head = app.get("head");
    const all = (words, names) => [[null, words], ...names.map((name) => [name, name])];
    if (document.activeElement !== box) box.value = head.search;
    const sides = head.versions.length > 1 ? head.versions.slice(-2) : null;
    const [baseline, candidate] = head.flips || sides || [];
    const only = sides && h("input", { type: "checkbox", checked: Boolean(head.flips), onchange: () => app.ask({ kind: "flips", sides: only.checked ? [baseline, candidate] : null }) });
    const side = (label, chosen, change) => ekSelect(label, head.versions.map((name) => [name, name]), chosen, change);
    const focused = document.activeElement?.dataset?.keep;
    const measure = head.criteria.length > 1 && ekSelect("Score", all("mean of the criteria", head.criteria), head.criterion, (value) => app.ask({ kind: "measure", criterion: value, grader: head.grader }));
    const grader = head.graders.length > 1 && ekSelect("Scores by", head.grader === null ? all("the judge", head.graders) : head.graders.map((name) => [name, name || "not given"]), head.grader, (value) => app.ask({ kind: "measure", criterion: head.criterion, grader: value }));
    const flipsBox = only && h("span", { class: "ek-field" }, (() => { only.id = unique("flips"); only.dataset.keep = "flips"; return only; })(), h("label", { for: only.id }, "Flips only"));
    const kept = [
      labelled("Search", box), measure, grader, flipsBox,
      head.flips && side("from", baseline, (value) => app.ask({ kind: "flips", sides: [value, candidate] })),
      head.flips && side("to", candidate, (value) => app.ask({ kind: "flips", sides: [baseline, value] })),
      head.filtered && h("button", { type: "button", onclick: () => { box.value = ""; app.ask({ kind: "reset" }); } }, "Reset"),
    ].filter(Boolean);
    const typing = document.activeElement === box;
    bar.replaceChildren(...kept);
    if (typing) box.focus();
    if (focused) bar.querySelector(`[data-keep="${focused}"]`)?.focus();
    count.textContent = `${counted(head.left)} of ${counted(head.of, "trial")}`;
  };

  const drawScores = () => {
    const given = app.get("distribution");
    const most = Math.max(1, ...given.bins.map(([, ...counts]) => counts[0] + counts[1] + counts[2]));
    const label = `Scores of the trials: ${given.bins.map(([bin, pass, fail, unscored]) => `${number(given.low + bin * given.width, 1)}: ${pass} pass, ${fail} fail${unscored ? `, ${unscored} unscored` : ""}`).join("; ") || "none"}`;
    const made = plot({ width: 230, height: 128, x: [given.low, given.high], y: [0, most], label, left: 34, yFormat: counted });
    for (const [bin, pass, fail, unscored] of given.bins) {
      let base = 0;
      for (const [verdict, many] of [["fail", fail], ["unscored", unscored], ["pass", pass]]) {
        if (!many) continue;
        const x = made.x(given.low + bin * given.width) + 0.5;
        made.inside.append(s("rect", { class: `ek-fill-${verdict}`, x, y: made.y(base + many), width: Math.max(1, made.x(given.low + (bin + 1) * given.width) - x - 0.5), height: made.y(base) - made.y(base + many) }));
        base += many;
      }
    }
    if (given.threshold > given.low && given.threshold <= given.high) made.inside.append(s("line", { class: "ek-rule", x1: made.x(given.threshold), x2: made.x(given.threshold), y1: made.edge.top, y2: made.height - made.edge.bottom }));
    // What is brushed is whole bins: a limit that can be read, and written down.
    const whole = (value, round) => Number((given.low + round((value - given.low) / given.width) * given.width).toFixed(6));
    brush(made, given.range, (low, high) => app.ask(low === null ? { kind: "range", low: null, high: null } : { kind: "range", low: whole(low, Math.floor), high: whole(high, Math.ceil) }));
    const limit = (name, at) => {
      const control = h("input", { type: "number", step: "any", min: given.low, max: given.high, value: given.range ? given.range[at] : "", placeholder: number(at ? given.high : given.low, 0), "data-keep": name, onchange: () => {
        const read = (one) => { const typed = scores.querySelector(`[data-keep="${one}"]`).value; return typed === "" ? null : Number(typed); };
        app.ask({ kind: "range", low: read("from"), high: read("to") });
      } });
      return labelled(name, control);
    };
    const focused = scores.contains(document.activeElement) ? document.activeElement.dataset.keep : null;
    scores.replaceChildren(h("p", { class: "ek-label" }, "Score"), made.svg, h("div", { class: "ek-row" }, limit("from", 0), limit("to", 1),
      given.without ? h("span", { class: "ek-soft" }, `${counted(given.without)} without a score`) : null));
    if (focused) scores.querySelector(`[data-keep="${focused}"]`)?.focus();
  };

  const drawFacets = () => {
    const inside = columns.contains(document.activeElement) ? document.activeElement.dataset.keep : null;
    columns.replaceChildren(...app.get("facets").map((facet) => {
      const rows = facet.rows.map((row) => ({ ...row, shown: row.label }));
      const made = bars({ label: EK_NAMES[facet.column], rows, press: (value) => app.ask({ kind: "choose", column: facet.column, value }),
        shown: (row) => (["verdict", "severity"].includes(facet.column) ? word(row.shown) : row.shown.length > 34 ? [h("span", { "aria-hidden": "true", title: row.shown }, clipped(row.shown, 34)), h("span", { class: "ek-hear" }, row.shown)] : row.shown) });
      [...made.children].forEach((button, at) => { button.dataset.keep = `${facet.column} ${at}`; });
      const turn = (facet.more || facet.all) && h("button", { type: "button", class: "ek-quiet", "data-keep": `${facet.column} all`, onclick: () => app.ask({ kind: "all", column: facet.column }) },
        facet.all ? "fewer" : `and ${counted(facet.more)} more`);
      return h("div", { class: facet.all ? "ek-chart ek-facet-all" : "ek-chart" }, h("p", { class: "ek-label" }, EK_NAMES[facet.column]), made, turn,
        facet.all && facet.more ? h("span", { class: "ek-soft" }, ` ${counted(facet.more)} not shown: search for them`) : null);
    }));
    if (inside) [...columns.querySelectorAll("[data-keep]")].find((one) => one.dataset.keep === inside)?.focus();
  };

  const pick = (row) => { const { height } = app.get("table"); if (height) app.ask({ kind: "pick", row: between(row, 0, height - 1) }); };
  const turn = (to) => app.ask({ kind: "page", to });
  const drawTable = () => {
    const given = app.get("table");
    const inside = table.contains(document.activeElement) ? document.activeElement : null;
    const focused = inside?.dataset.keep || (inside ? "row" : null);
    const cell = (text, at) => {
      const name = given.columns[at];
      if (["verdict", "severity"].includes(name)) return h("td", { role: "gridcell" }, text ? word(text) : h("span", { class: "ek-soft" }, "not given"));
      return h("td", { role: "gridcell", class: name === "score" || name === "epoch" ? "ek-num" : null, title: text.length > 18 ? text : null }, clipped(text, 18) || h("span", { class: "ek-soft" }, "–"));
    };
    const heads = given.columns.map((name) => h("th", { scope: "col", role: "columnheader", class: name === "score" || name === "epoch" ? "ek-num" : null, "aria-sort": given.sort !== name ? null : given.descending ? "descending" : "ascending" },
      h("button", { type: "button", "data-keep": `sort ${name}`, onclick: () => app.ask({ kind: "sort", column: name }) }, EK_NAMES[name] + (given.sort !== name ? "" : given.descending ? " ↓" : " ↑"))));
    const rows = given.rows.map((row, at) => {
      const here = given.first + at === given.row;
      return h("tr", { role: "row", "aria-selected": String(here), tabindex: here || (at === 0 && (given.row < given.first || given.row >= given.first + given.rows.length)) ? "0" : "-1", onclick: () => pick(given.first + at) }, row.map(cell));
    });
    const page = (to, words) => { const button = h("button", { type: "button", "data-keep": words, onclick: () => turn(to) }, words); button.disabled = to < 0 || to >= given.pages; return button; };
    table.replaceChildren(...[
      h("div", { class: "ek-scroll" }, h("table", { role: "grid", "aria-label": "Trials", "aria-rowcount": given.height + 1 }, h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)), h("tbody", { role: "rowgroup" }, rows))),
      given.height === 0 ? h("p", { class: "ek-soft" }, "No trial fits every filter.") : null,
      h("div", { class: "ek-row" }, page(given.page - 1, "Previous page"), page(given.page + 1, "Next page"), h("span", { class: "ek-soft" }, `page ${counted(given.page + 1)} of ${counted(given.pages)}`))].filter(Boolean));
    const selected = table.querySelector('tr[aria-selected="true"]');
    if (focused === "row") (selected || table.querySelector('tr[tabindex="0"]'))?.focus();
    else if (focused) [...table.querySelectorAll("[data-keep]")].find((one) => one.dataset.keep === focused)?.focus();
  };

  app.root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const inTable = table.contains(event.target);
    const by = { j: 1, k: -1, ...(inTable ? { ArrowDown: 1, ArrowUp: -1 } : {}) }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    pick((app.get("table").row ?? 0) + by);
  });

  const copy = h("button", { type: "button", class: "ek-quiet", onclick: async () => { try { await navigator.clipboard.writeText(code.textContent); copy.textContent = "Copied"; } catch { copy.textContent = "Select the lines and copy them"; } } }, "Copy");
  const drawCode = () => { code.textContent = app.get("code"); copy.textContent = "Copy"; };
  app.root.append(bar, h("div", { class: "ek-row" }, count, h("span", { class: "ek-soft" }, h("kbd", null, "j"), " ", h("kbd", null, "k"), " next and previous trial"), app.status), charts,
    h("div", { class: "ek-halves" }, table, h("div", { class: "ek-pane", tabindex: "0", role: "region", "aria-label": "The trial that is read" }, pane.node)),
    h("details", null, h("summary", null, "As code"), copy, code));

  const draws = { head: drawHead, distribution: drawScores, facets: drawFacets, table: drawTable, code: drawCode, trial: () => pane.draw(app.get("trial")), whole: () => pane.fill(app.get("whole")) };
  for (const [part, draw] of Object.entries(draws)) { app.on(`change:${part}`, draw); if (part !== "whole") draw(); }
  return app.close;
}

export default { render };
