// One trial, with steps to the next and the one before.
function render({ model, el }) {
  const app = start({ model, el, name: "transcript", label: "Transcript" });
  const pane = reading(app);
  const place = h("span", { class: "ek-soft" });
  const step = (by, words) => h("button", { type: "button", onclick: () => app.ask({ kind: "step", by }) }, words);
  const before = step(-1, "Previous");
  const after = step(1, "Next");
  const drawPlace = () => {
    const { at, of } = app.get("place");
    place.textContent = `Trial ${counted(at + 1)} of ${counted(of)}`;
    before.disabled = at === 0;
    after.disabled = at === of - 1;
  };
  const drawTrial = () => pane.draw(app.get("trial"));
  app.root.append(h("div", { class: "ek-row" }, before, after, place, app.status), pane.node);
  app.on("change:place", drawPlace);
  app.on("change:trial", drawTrial);
  app.on("change:whole", () => pane.fill(app.get("whole")));
  drawPlace();
  drawTrial();
  return app.close;
}

export default { render };
