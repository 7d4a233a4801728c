// Two transcripts side by side. Words that differ are <del> and <ins>: said to a screen reader, underlined, and coloured.
// Where all of a section differs, a bar at its side says so, and the words stay easy to read.
function ekSide(sections, tag) {
  return sections.map(([head, pieces]) => {
    const all = tag !== "span" && pieces.length === 1 && pieces[0][1];
    const text = h("pre", { class: all ? `ek-all ek-all-${tag}` : null }, all ? h(tag, null, pieces[0][0]) : pieces.map(([words, differs]) => (differs ? h(tag, null, words) : words)));
    return head ? h("details", { open: pieces.some(([, differs]) => differs) }, h("summary", null, head), text) : text;
  });
}

function render({ model, el }) {
  const app = start({ model, el, name: "difference", label: "Two transcripts side by side" });
  const bar = h("div", { class: "ek-row" });
  const scores = h("div", { class: "ek-diff-scores" });
  const list = h("div", { class: "ek-diff-rows" });
  let first = null;

  const drawHead = () => {
    const head = app.get("head");
    const select = (label, side) => {
      const control = h("select", { "data-keep": label, onchange: () => app.ask({ kind: "sides", baseline: side ? head.at[0] : control.selectedIndex, candidate: side ? control.selectedIndex : head.at[1] }) },
        head.options[side].map((name, at) => h("option", { value: at, selected: at === Math.min(head.at[side], head.options[side].length - 1) }, name)));
      return labelled(label, control);
    };
    const keep = bar.contains(document.activeElement) ? document.activeElement.dataset.keep : null;
    bar.replaceChildren(...[h("strong", null, `Case ${head.case}`), head.severity && h("span", null, "severity ", word(head.severity)), select("Baseline", 0), select("Candidate", 1),
      h("button", { type: "button", disabled: head.first === null, onclick: () => { first?.scrollIntoView({ block: "center" }); first?.focus({ preventScroll: true }); } }, "First difference"), app.status].filter(Boolean));
    if (keep) bar.querySelector(`[data-keep="${keep}"]`)?.focus();
    const cell = (value) => h("td", { class: "ek-num" }, number(value));
    const change = (a, b) => {
      if (a === null || b === null) return h("td", { class: "ek-num ek-soft" }, "–");
      const by = b - a;
      return h("td", { class: `ek-num ${by < 0 ? "ek-down" : by > 0 ? "ek-up" : "ek-soft"}` }, by < 0 ? `▼ ${number(-by)} lower` : by > 0 ? `▲ ${number(by)} higher` : "same");
    };
    const both = head.scores.filter(([, , a, b]) => a !== null && b !== null);
    const alone = head.scores.length - both.length;
    scores.replaceChildren(...[both.length
      ? h("table", { "aria-label": "Scores of both" }, h("thead", null, h("tr", null, h("th", { scope: "col" }, "Criterion"), h("th", { scope: "col" }, "Grader"), h("th", { scope: "col", class: "ek-num" }, "Baseline"), h("th", { scope: "col", class: "ek-num" }, "Candidate"), h("th", { scope: "col", class: "ek-num" }, "Change"))),
        h("tbody", null, both.map(([criterion, grader, a, b]) => h("tr", null, h("th", { scope: "row" }, criterion), h("td", { class: "ek-soft" }, grader), cell(a), cell(b), change(a, b)))))
      : h("p", { class: "ek-soft" }, "No judgement was recorded of both."),
    alone ? h("p", { class: "ek-soft" }, `${counted(alone, "more score")} of one side alone: ${head.scores.filter((one) => !both.includes(one)).map(([c, g, a, b]) => `${c}, ${g}: ${a === null ? `candidate ${number(b)}` : `baseline ${number(a)}`}`).join("; ")}`) : null].filter(Boolean));
  };

  const turn = (at) => (at === null ? h("span", { class: "ek-soft" }, "no turn here") : `turn ${at}`);
  const drawRows = () => {
    const rows = app.get("rows");
    const start = app.get("head").first;
    first = null;
    const made = [];
    for (let at = 0; at < rows.length; at += 1) {
      const row = rows[at];
      if (row.same) {
        const from = at;
        while (at + 1 < rows.length && rows[at + 1].same) at += 1;
        const alike = rows.slice(from, at + 1);
        const fold = h("details", { class: "ek-alike" }, h("summary", null, `${counted(alike.length, "turn")} alike: ${alike.slice(0, 6).map((one) => one.role).join(", ")}${alike.length > 6 ? ", …" : ""}`));
        fold.addEventListener("toggle", () => { if (fold.open && fold.children.length === 1) fold.append(...alike.map((one) => h("div", { class: "ek-alike-turn" }, h("div", { class: "ek-role" }, `${one.left} ${one.role}`), ekSide(one.before, "span")))); });
        made.push(fold);
        continue;
      }
      const side = (place, sections, tag, name) => h("div", { class: `ek-diff-side ${place === null ? "ek-diff-none" : ""}`, role: "group", "aria-label": name }, h("div", { class: "ek-role" }, turn(place), place === null ? null : ` ${row.role}`), ekSide(sections, tag));
      const node = h("div", { class: "ek-diff-row", tabindex: at === start ? "-1" : null },
        at === start ? h("div", { class: "ek-diff-first" }, "First difference") : null, side(row.left, row.before, "del", "Baseline"), side(row.right, row.after, "ins", "Candidate"));
      if (at === start) first = node;
      made.push(node);
    }
    list.replaceChildren(h("div", { class: "ek-diff-heads", "aria-hidden": "true" }, h("strong", null, "Baseline"), h("strong", null, "Candidate")), ...made);
    if (start === null) list.append(h("p", { class: "ek-soft" }, rows.length ? "The two are alike in every turn." : "Neither has a message."));
  };

  app.root.append(bar, scores, list);
  app.on("change:head", () => { drawHead(); drawRows(); });
  app.on("change:rows", drawRows);
  drawHead();
  drawRows();
  return app.close;
}

export default { render };
