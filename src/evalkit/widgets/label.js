// Label by keyboard: the trial at the left, the criterion and the results at the right.
function render({ model, el }) {
  const app = mount({ model, el, name: "labeler", label: "Label answers" });
  const pane = reading(app, { none: null });  // hidden or missing: the view does not tell
  const criterion = element("div");
  const scores = element("div", { class: "ek-points", role: "group", "aria-label": "Score" });
  const note = element("textarea", { rows: 2, placeholder: "Reason (optional)", "aria-label": "Reason" });
  const typed = element("input", { type: "number", step: "any", "aria-label": "Score" });
  const words = muted();
  const results = element("div", { role: "status", "aria-label": "Results" });
  const bar = element("progress", { max: 1, value: 0 });
  const give = (score) => app.send({ kind: "give", score, note: note.value });
  const go = (by) => app.send({ kind: "go", by });
  const keyed = (text, key, work) => button([`${text} `, element("kbd", null, key)], work);
  const before = keyed("Back", "k", () => go(-1));
  const after = keyed("Skip", "j", () => go(1));
  const reveal = button("Show judge scores", () => app.send({ kind: "reveal" }), { class: "ek-quiet" });

  const drawTask = (task) => {
    criterion.replaceChildren(heading(task.criterion, " ", hint(task.place)), paragraph(task.description));
    scores.replaceChildren(...(task.points.length
      ? task.points.map(({ score, anchor }) => button([element("span", { class: "ek-digit" }, score), element("span", null, anchor)], () => give(score),
        { class: "ek-point", "aria-pressed": String(task.labeled && task.score === score) }))
      : [typed, button("Save score", () => typed.value !== "" && give(Number(typed.value)), { class: "ek-main" })]));
    if (document.activeElement !== note) note.value = task.note;
    typed.value = task.score ?? "";
    reveal.hidden = !(task.blind && task.labeled && !task.revealed);
  };
  const drawProgress = (progress) => {
    words.textContent = `${progress.rater}: ${progress.words}`;
    bar.max = progress.of;
    bar.value = progress.done;
    bar.setAttribute("aria-label", progress.words);
    before.disabled = progress.index === 0;
    after.disabled = progress.index === progress.of - 1;
  };

  app.root.setAttribute("tabindex", "0");
  app.keys((key) => {
    const point = app.get("task").points.find(({ score }) => String(score) === key);
    if (point) return () => give(point.score);
    return { "?": () => give(null), j: () => go(1), k: () => go(-1), n: () => note.focus() }[key];
  });
  const keys = [["n", "note"], ["j", "next"], ["k", "back"], ["?", "cannot tell"], ["Esc", "leave the note"]];
  app.root.append(element("div", { class: "ek-labeling" }, pane.node, element("div", { class: "ek-side" }, criterion, scores, note,
    row(before, after, keyed("Cannot tell", "?", () => give(null)), reveal), app.status,
    muted("Keys: the score", keys.map(([key, text]) => [", ", element("kbd", null, key), ` ${text}`])),
    bar, words, heading("Results"), results)));
  app.draw({ task: drawTask, progress: drawProgress, results: (lines) => results.replaceChildren(...lines.map((line) => paragraph(line))), trial: pane.draw, whole: pane.fill });
  return app.close;
}

export default { render };
