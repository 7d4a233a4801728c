// Two transcripts side by side. Words that differ are <del> and <ins>: announced, underlined and colored.
// Where a whole section differs, a bar marks it and the words stay plain.
function sections(parts, tag) {
  return parts.map(([head, pieces]) => {
    const isAll = tag !== "span" && pieces.length === 1 && pieces[0][1];
    const text = element("pre", { class: isAll ? `ek-all ek-all-${tag}` : null }, pieces.map(([words, differs]) => (differs ? element(tag, null, words) : words)));
    return head ? element("details", { open: pieces.some(([, differs]) => differs) }, element("summary", null, head), text) : text;
  });
}

function scoreTable(scores) {
  const isBoth = ([, , a, b]) => a !== null && b !== null;
  const change = (by) => {
    if (!by) return { class: "ek-muted", content: "same" };
    return by < 0 ? { class: "ek-down", content: `▼ ${number(-by)} lower` } : { class: "ek-up", content: `▲ ${number(by)} higher` };
  };
  const both = scores.filter(isBoth);
  const alone = scores.filter((one) => !isBoth(one)).map(([criterion, grader, a, b]) => `${criterion}, ${grader}: ${a === null ? `candidate ${number(b)}` : `baseline ${number(a)}`}`);
  return [
    both.length ? table(["Criterion", "Grader", ...numeric("Baseline", "Candidate", "Change")], both.map(([criterion, grader, a, b]) => [criterion, { class: "ek-muted", content: grader }, number(a), number(b), change(b - a)]), { rowHeads: true, "aria-label": "Scores" })
      : muted("No scores for both trials"),
    alone.length > 0 && muted(`${count(alone.length, "score")} for one trial only: ${alone.join("; ")}`),
  ];
}

function render({ model, el }) {
  const app = mount({ model, el, name: "difference", label: "Two transcripts side by side" });
  const bar = row();
  const scores = element("div", { class: "ek-diff-scores" });
  const list = element("div", { class: "ek-diff-rows" });

  const drawHead = (head) => {
    const side = (name, index) => select(name, head.options[index].map((text, at) => [at, text]), head.chosen[index],
      (chosen) => app.send({ kind: "sides", baseline: index ? head.chosen[0] : chosen, candidate: index ? chosen : head.chosen[1] }));
    const goToFirst = () => { const first = list.querySelector("[data-first]"); first?.scrollIntoView({ block: "center" }); first?.focus({ preventScroll: true }); };
    replace(bar, element("strong", null, `Case ${head.case}`), head.severity && element("span", null, "severity ", badge(head.severity)), side("Baseline", 0), side("Candidate", 1),
      button("Show first difference", goToFirst, { disabled: !head.differs }), app.status);
    replace(scores, scoreTable(head.scores));
  };

  const same = (turns) => {
    const roles = turns.slice(0, 6).map((one) => one.role).join(", ");
    const folded = fold(`${count(turns.length, "turn")} alike: ${roles}${turns.length > 6 ? ", …" : ""}`);
    folded.className = "ek-alike";
    folded.addEventListener("toggle", () => {
      if (!folded.open || folded.children.length > 1) return;
      folded.append(...turns.map((one) => element("div", { class: "ek-alike-turn" }, element("div", { class: "ek-role" }, `${one.left} ${one.role}`), sections(one.before, "span"))));
    });
    return folded;
  };
  const different = (turn, isFirst) => {
    const side = (index, parts, tag, name) => element("div", { class: `ek-diff-side ${index === null ? "ek-diff-none" : ""}`, role: "group", "aria-label": name },
      element("div", { class: "ek-role" }, index === null ? hint("no turn") : `turn ${index} ${turn.role}`), sections(parts, tag));
    return element("div", { class: "ek-diff-row", tabindex: isFirst ? "-1" : null, "data-first": isFirst },
      isFirst && element("div", { class: "ek-diff-first" }, "First difference"), side(turn.left, turn.before, "del", "Baseline"), side(turn.right, turn.after, "ins", "Candidate"));
  };
  const drawRows = (rows) => {
    const first = rows.findIndex((one) => !one.same);
    const shown = [];
    for (let index = 0; index < rows.length; index += 1) {
      if (rows[index].same) {
        const next = rows.findIndex((one, at) => at > index && !one.same);
        const end = next < 0 ? rows.length : next;
        shown.push(same(rows.slice(index, end)));
        index = end - 1;
      } else shown.push(different(rows[index], index === first));
    }
    replace(list, element("div", { class: "ek-diff-heads", "aria-hidden": "true" }, element("strong", null, "Baseline"), element("strong", null, "Candidate")), shown,
      first < 0 && muted(rows.length ? "No differences" : "No messages in either trial"));
  };

  app.root.append(bar, scores, list);
  app.draw({ head: drawHead, rows: drawRows });
  return app.close;
}

export default { render };
