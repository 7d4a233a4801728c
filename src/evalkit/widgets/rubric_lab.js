// Reword a rubric at the left; the changes, their cost and their effect at the right.
const SAMPLES = [["disagreements", "Judge and humans disagree"], ["failures", "Failures, most severe first"], ["borderline", "Near the pass threshold"], ["random", "Random sample"]];

function render({ model, el }) {
  const app = mount({ model, el, name: "rubric_lab", label: "Rubric lab" });
  const tabs = element("div", { class: "ek-row", role: "group", "aria-label": "Criteria" });
  const description = element("textarea", { rows: 5 });
  const anchors = element("div", { class: "ek-anchors" });
  const changes = element("div", { class: "ek-diff" });
  const version = hint();
  const undo = button("Undo changes", () => app.send({ kind: "undo" }));
  const save = button("Save rubric", () => app.send({ kind: "save" }));
  const cost = element("div", { role: "status", "aria-label": "Affected scores and cost" });
  const choice = element("select", null, SAMPLES.map(([value, text]) => element("option", { value }, text)));
  const limit = element("input", { type: "number", min: 1, max: 1000, step: 1 });
  const rejudge = button("Rejudge trials", () => app.send({ kind: "rejudge" }, 600000), { class: "ek-main" });
  const progress = element("p", { class: "ek-muted", role: "status" });
  const result = element("div", { class: "ek-result" });
  let chosen = null;

  // Typing is sent after a pause, and at once when the box is left: else choosing another criterion would drop it.
  const edits = (box, change) => {
    const later = debounce(() => app.send({ kind: "edit", ...change(box.value) }), 350);
    box.addEventListener("input", () => later());
    box.addEventListener("change", () => later.now());
    return box;
  };
  edits(description, (text) => ({ description: text }));
  for (const control of [choice, limit]) {
    control.addEventListener("change", () => app.send({ kind: "sample", choice: choice.value, most: clamp(Math.round(Number(limit.value)) || 1, 1, 1000) }));
  }
  const anchor = ([score, text]) => {
    const box = edits(element("textarea", { rows: 2 }), (value) => ({ anchors: { [score]: value } }));
    box.value = text;
    return field(score, box, { class: "ek-field ek-anchor" });
  };

  const drawEditor = (editor) => {
    const isChanged = (name) => editor.changed.includes(name);
    tabs.replaceChildren(...editor.criteria.map(([name, label]) => button([shorten(label, 28), isChanged(name) && hint(" reworded")].filter(Boolean), () => app.send({ kind: "pick", criterion: name }),
      { "aria-pressed": String(name === editor.chosen), title: label })));
    // While somebody types, the boxes are left alone.
    const isTyping = anchors.contains(document.activeElement) || document.activeElement === description;
    if (chosen !== editor.chosen || !isTyping) {
      chosen = editor.chosen;
      description.value = editor.description;
      anchors.replaceChildren(...editor.anchors.map(anchor));
    }
    const piece = ([text, kind]) => (kind === "same" ? text : element(kind === "added" ? "ins" : "del", null, text));
    changes.replaceChildren(...editor.differences.map(([part, pieces]) => paragraph(element("strong", null, part), " ", pieces.map(piece))));
    if (!editor.differences.length) changes.append(muted("No changes"));
    version.textContent = editor.version === editor.saved ? `version ${editor.saved}, saved` : `version ${editor.version}, saved is ${editor.saved}`;
    undo.disabled = !isChanged(editor.chosen);
    save.disabled = !editor.path || !editor.changed.length;
    save.title = editor.path ? `Saves ${editor.path}` : "Pass path='suite.yaml' to rubric_lab";
    rejudge.disabled = !editor.changed.length;
  };
  const drawSample = (sample) => {
    choice.value = sample.choice;
    if (document.activeElement !== limit) limit.value = sample.most;
    rejudge.textContent = `Rejudge ${count(sample.trials, "trial")}`;
  };
  const drawResult = (given) => {
    if (!given) { result.replaceChildren(muted("No result yet. Reword a criterion, then rejudge trials")); return; }
    const scores = region("Scores under both wordings");
    const verdict = ([before, after]) => (before === after ? badge(before) : [badge(before), " → ", badge(after)]);
    const reasons = (one) => fold("Show both", paragraph(element("strong", null, "before "), one.reasons[0]), paragraph(element("strong", null, "after "), one.reasons[1]));
    scores.append(table(["Case", "Criterion", ...numeric("Before", "After", "Human"), "Verdict", { content: element("span", { class: "ek-hear" }, "Change") }, "Reasons"], given.rows.map((one) => [
      [element("strong", null, one.case), " ", badge(one.severity), element("div", { class: "ek-muted" }, `${one.run}, epoch ${one.epoch}`)],
      one.criterion, one.before, one.after, one.human, verdict(one.verdicts), one.moved, { class: "ek-reasons", content: reasons(one) }])));
    replace(result, given.words.map((line, index) => element("p", { class: index ? null : "ek-result-line" }, line)), scores,
      given.left > 0 && muted(`… and ${count(given.left)} more in .diff.scores`));
  };

  app.root.append(element("div", { class: "ek-lab" },
    element("div", { class: "ek-edits" }, heading("Rubric ", version), tabs, field("Description", description, { class: "ek-field ek-wide" }), heading("Score anchors"), anchors, row(undo, save)),
    element("div", { class: "ek-shows" }, heading("Changes"), changes, heading("Affected scores"), cost,
      row(field("Trials", choice), field("Limit", limit), rejudge), progress, app.status, heading("Result"), result)));
  app.draw({ editor: drawEditor, sample: drawSample, result: drawResult, progress: (text) => { progress.textContent = text; },
    cost: (lines) => cost.replaceChildren(...lines.map((line) => paragraph(line))) });
  return app.close;
}

export default { render };
