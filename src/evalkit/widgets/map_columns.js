// The columns of a table: samples, a role each, what is read, and the code to keep.
function render({ model, el }) {
  const app = mount({ model, el, name: "map_columns", label: "Map columns" });
  const read = element("div", { class: "ek-map-read", role: "status" });
  const place = region("Columns");
  const code = element("pre", { class: "ek-map-code", tabindex: 0 });
  const say = hint();
  const keep = button("Copy code", async () => { say.textContent = await copy(code.textContent); });
  const reset = button("Reset to the guess", () => app.send({ kind: "reset" }), { class: "ek-quiet" });
  app.root.append(read, place, row(keep, reset, say, app.status), code);
  const draw = () => {
    const { roles, scales } = app.get("choices");
    const named = (list) => list.map((text) => [text, text]);
    const pick = (label, list, chosen, change) => {
      const options = list.includes(chosen) ? named(list) : [[chosen, chosen], ...named(list)];
      return element("select", { "aria-label": label, "data-keep": label, onchange: (event) => change(options[event.target.selectedIndex][0]) },
        options.map(([value, text]) => element("option", { selected: value === chosen }, text)));
    };
    const rows = app.get("columns").map((column, index) => ({
      class: column.role === "not read" ? "ek-muted" : null,
      cells: [
        breakable(column.name),
        column.samples.map((text) => element("span", { class: "ek-map-sample" }, text)),
        pick(`Role of ${column.name}`, roles, column.role, (role) => app.send({ kind: "role", column: index, role })),
        column.scale === null ? "" : pick(`Scale of ${column.name}`, scales, column.scale, (scale) => app.send({ kind: "scale", column: index, scale })),
      ],
    }));
    replace(place, table(["Column", "Samples", "Role", "Scale"], rows, { rowHeads: true }));
  };
  app.on("choices", draw);
  app.draw({
    columns: draw,
    read({ text, lost, questions }) {
      replace(read, heading(text), questions.map((question) => muted(`Open: ${question}`)), lost.map((reason) => muted(reason)));
    },
    code(text) { code.textContent = text; },
  });
  return app.close;
}

export default { render };
