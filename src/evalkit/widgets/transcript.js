// One trial, with steps to the next and the previous one.
function render({ model, el }) {
  const app = mount({ model, el, name: "transcript", label: "Transcript" });
  const pane = reading(app);
  const place = hint();
  const [before, after] = [["Previous", -1], ["Next", 1]].map(([text, by]) => button(text, () => app.send({ kind: "step", by })));
  app.root.append(row(before, after, place, app.status), pane.node);
  app.draw({
    place({ index, of }) {
      place.textContent = `Trial ${count(index + 1)} of ${count(of)}`;
      before.disabled = index === 0;
      after.disabled = index === of - 1;
    },
    trial: pane.draw,
    whole: pane.fill,
  });
  return app.close;
}

export default { render };
