// Judging by keyboard: the trial at the left, what is asked at the right.
function render({ model, el }) {
  const app = start({ model, el, name: "labeller", label: "Label answers" });
  const pane = reading(app, { none: null });  // hidden, or none: no word of either
  const head = h("div", { class: "ek-asks" });
  const points = h("div", { class: "ek-points", role: "group", "aria-label": "Score" });
  const note = h("textarea", { rows: 2, placeholder: "Why (optional)", "aria-label": "Why this score" });
  const other = h("input", { type: "number", step: "any", "aria-label": "Score" });
  const words = h("p", { class: "ek-soft" });
  const figures = h("div", { role: "status", "aria-label": "What the labels say so far" });
  const bar = h("progress", { max: 1, value: 0 });
  bar.max = 1;
  const give = (score) => app.ask({ kind: "give", score, note: note.value });
  const go = (by) => app.ask({ kind: "go", by });
  const before = h("button", { type: "button", onclick: () => go(-1) }, "Back ", h("kbd", null, "k"));
  const after = h("button", { type: "button", onclick: () => go(1) }, "Skip ", h("kbd", null, "j"));
  const unsure = h("button", { type: "button", onclick: () => give(null) }, "Cannot tell ", h("kbd", null, "?"));
  const reveal = h("button", { type: "button", class: "ek-quiet", onclick: () => app.ask({ kind: "reveal" }) }, "Show what the judge said");

  const drawTask = () => {
    const task = app.get("task");
    head.replaceChildren(h("p", { class: "ek-head" }, task.criterion, " ", h("span", { class: "ek-soft" }, task.place)), h("p", null, task.description));
    const keys = task.points.every((one) => one.score >= 0 && one.score <= 9);
    points.replaceChildren(...(task.points.length ? task.points.map((one) => h("button", { type: "button", class: "ek-point", "aria-pressed": String(task.told && task.given === one.score), onclick: () => give(one.score) },
      h("span", { class: "ek-digit" }, one.score), h("span", null, one.words || (keys ? "" : " "))))
      : [other, h("button", { type: "button", class: "ek-main", onclick: () => other.value !== "" && give(Number(other.value)) }, "Give")]));
    if (document.activeElement !== note) note.value = task.note;
    other.value = task.given ?? "";
    reveal.hidden = !(task.blind && task.told && !task.revealed);
  };
  const drawProgress = () => {
    const made = app.get("progress");
    words.textContent = `${made.rater}: ${made.words}`;
    bar.max = made.of;
    bar.value = made.done;
    bar.setAttribute("aria-label", made.words);
    before.disabled = made.at === 0;
    after.disabled = made.at === made.of - 1;
  };
  const drawFigures = () => figures.replaceChildren(...app.get("figures").lines.map((one) => h("p", null, one)));
  const drawTrial = () => pane.draw(app.get("trial"));

  app.root.setAttribute("tabindex", "0");
  app.root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^(input|textarea|select)$/i.test(event.target.tagName)) {
      if (event.key === "Escape") app.root.focus();
      return;
    }
    const task = app.get("task");
    const at = task.points.find((one) => String(one.score) === event.key);
    if (at) give(at.score);
    else if (event.key === "?") give(null);
    else if (event.key === "j") go(1);
    else if (event.key === "k") go(-1);
    else if (event.key === "n") note.focus();
    else return;
    event.preventDefault();
  });

  const side = h("div", { class: "ek-side" }, head, points, note, h("div", { class: "ek-row" }, before, after, unsure, reveal), app.status,
    h("p", { class: "ek-soft" }, "Keys: the score, ", h("kbd", null, "n"), " note, ", h("kbd", null, "j"), " next, ", h("kbd", null, "k"), " back, ", h("kbd", null, "?"), " cannot tell, ", h("kbd", null, "Esc"), " out of the note"),
    bar, words, h("p", { class: "ek-head" }, "So far"), figures);
  app.root.append(h("div", { class: "ek-labelling" }, pane.node, side));
  for (const [part, work] of Object.entries({ task: drawTask, progress: drawProgress, figures: drawFigures, trial: drawTrial })) { app.on(`change:${part}`, work); work(); }
  app.on("change:whole", () => pane.fill(app.get("whole")));
  return app.close;
}

export default { render };
