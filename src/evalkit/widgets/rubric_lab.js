// Reword a rubric at the left; at the right what that makes stale, what it costs, and what it did.
function render({ model, el }) {
  const app = start({ model, el, name: "rubric_lab", label: "Rubric lab" });
  const tabs = h("div", { class: "ek-row", role: "group", "aria-label": "Criteria" });
  const description = h("textarea", { rows: 5 });
  const anchors = h("div", { class: "ek-anchors" });
  const differences = h("div", { class: "ek-diff" });
  const undo = h("button", { type: "button", onclick: () => app.ask({ kind: "undo" }) }, "Undo this criterion");
  const save = h("button", { type: "button", onclick: () => app.ask({ kind: "save" }) }, "Save the rubric");
  const cost = h("div", { role: "status", "aria-label": "What is stale, and what judging again costs" });
  const choice = h("select", null, [["disagreements", "people and the judge differ"], ["failures", "failures, the worst first"], ["borderline", "near the rule's mean"], ["random", "a random draw"]].map(([value, words]) => h("option", { value }, words)));
  const most = h("input", { type: "number", min: 1, max: 1000, step: 1 });
  const rejudge = h("button", { type: "button", class: "ek-main", onclick: () => app.ask({ kind: "rejudge" }, 600000) }, "Judge again");
  const progress = h("p", { class: "ek-soft", role: "status" });
  const result = h("div", { class: "ek-result" });
  const version = h("span", { class: "ek-soft" });
  let shown = null;

  const edited = calm((change) => app.ask({ kind: "edit", ...change }), 350);
  description.addEventListener("input", () => edited({ description: description.value }));
  // Who leaves a box has said it: else another criterion that is chosen at once would take the words away.
  description.addEventListener("change", () => edited.now({ description: description.value }));
  const sampled = () => app.ask({ kind: "sample", choice: choice.value, most: between(Math.round(Number(most.value)) || 1, 1, 1000) });
  choice.addEventListener("change", sampled);
  most.addEventListener("change", sampled);

  const drawEditor = () => {
    const now = app.get("editor");
    tabs.replaceChildren(...now.criteria.map(([name, shownName]) => h("button", { type: "button", "aria-pressed": String(name === now.chosen), title: shownName, onclick: () => app.ask({ kind: "pick", criterion: name }) }, clipped(shownName, 28), now.changed.includes(name) ? h("span", { class: "ek-soft" }, " reworded") : null)));
    // Another criterion, or an undo: the boxes are filled anew; while somebody types they are left alone.
    const typing = anchors.contains(document.activeElement) || document.activeElement === description;
    if (shown !== now.chosen || !typing) {
      shown = now.chosen;
      description.value = now.description;
      anchors.replaceChildren(...now.anchors.map(([score, text]) => {
        const box = h("textarea", { rows: 2 });
        box.value = text;
        const tell = calm(() => app.ask({ kind: "edit", anchors: { [score]: box.value } }), 350);
        box.addEventListener("input", tell);
        box.addEventListener("change", tell.now);
        return labelled(score, box, { class: "ek-field ek-anchor" });
      }));
    }
    differences.replaceChildren(...(now.differences.length ? now.differences.map(([part, pieces]) => h("p", null, h("strong", null, part === "description" ? "description" : `score ${part}`), " ", pieces.map(([text, kind]) => (kind === "same" ? text : h(kind === "added" ? "ins" : "del", null, text)))))
      : [h("p", { class: "ek-soft" }, "As it was saved.")]));
    version.textContent = now.version === now.saved ? `version ${now.saved}, as saved` : `version ${now.version}, saved is ${now.saved}`;
    undo.disabled = !now.changed.includes(now.chosen);
    save.disabled = !now.path || !now.changed.length;
    save.title = now.path ? `Writes ${now.path}` : "rubric_lab(..., path='suite.yaml') says where to";
    rejudge.disabled = !now.changed.length;
  };
  const drawCost = () => cost.replaceChildren(...app.get("cost").lines.map((line) => h("p", null, line)));
  const drawSample = () => { const now = app.get("sample"); choice.value = now.choice; if (document.activeElement !== most) most.value = now.most; rejudge.textContent = `Judge ${counted(now.trials)} trials again`; };
  const drawProgress = () => { progress.textContent = app.get("progress"); };
  const drawResult = () => {
    const now = app.get("result");
    if (!now) { result.replaceChildren(h("p", { class: "ek-soft" }, "Reword a criterion and judge again: what changed will stand here.")); return; }
    result.replaceChildren(...now.words.map((line, at) => h("p", { class: at ? null : "ek-says" }, line)),
      h("div", { class: "ek-scroll", tabindex: 0, role: "region", "aria-label": "Scores by both wordings" }, h("table", null, h("thead", null, h("tr", null, ["case", "criterion", "before", "after", "people", "verdict", "", "reasons"].map((name) => h("th", { scope: "col", class: ["before", "after", "people"].includes(name) ? "ek-num" : null }, name || h("span", { class: "ek-hear" }, "moved"))))),
        h("tbody", null, now.rows.map((row) => h("tr", null,
          h("td", null, h("strong", null, row.case), " ", word(row.severity), h("div", { class: "ek-soft" }, `${row.run}, epoch ${row.epoch}`)), h("td", null, row.criterion),
          h("td", { class: "ek-num" }, row.before), h("td", { class: "ek-num" }, row.after), h("td", { class: "ek-num" }, row.human),
          h("td", null, word(row.verdicts[0]), row.verdicts[0] === row.verdicts[1] ? null : [" → ", word(row.verdicts[1])]), h("td", null, row.moved),
          h("td", { class: "ek-reasons" }, h("details", null, h("summary", null, "both reasons"), h("p", null, h("strong", null, "before "), row.was || "–"), h("p", null, h("strong", null, "after "), row.now || "–")))))))),
      now.left ? h("p", { class: "ek-soft" }, `and ${counted(now.left)} more: .diff.scores in Python has them all`) : "");
  };

  app.root.append(h("div", { class: "ek-lab" },
    h("div", { class: "ek-edits" }, h("p", { class: "ek-head" }, "The rubric ", version), tabs, labelled("What it judges", description, { class: "ek-field ek-wide" }), h("p", { class: "ek-head" }, "What each score means"), anchors, h("div", { class: "ek-row" }, undo, save)),
    h("div", { class: "ek-shows" }, h("p", { class: "ek-head" }, "What differs"), differences, h("p", { class: "ek-head" }, "What that makes stale"), cost,
      h("div", { class: "ek-row" }, labelled("Trials", choice), labelled("at most", most), rejudge), progress, app.status, h("p", { class: "ek-head" }, "What it did"), result)));
  for (const [part, work] of Object.entries({ editor: drawEditor, cost: drawCost, sample: drawSample, progress: drawProgress, result: drawResult })) { app.on(`change:${part}`, work); work(); }
  return app.close;
}

export default { render };
