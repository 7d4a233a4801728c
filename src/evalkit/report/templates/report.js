// Runs once the page is there: pictures become charts, folds open for print, the table of cases gets its filter.
for (const figure of document.querySelectorAll("figure.chart")) {
  const spec = JSON.parse(figure.querySelector("script").textContent);
  const box = figure.querySelector(".drawing");
  const drawn = document.createElement("div");
  // The card is white, and shows at its edge where there is more: the drawing must not cover that.
  spec.config = Object.assign({}, spec.config, { aria: false, background: "transparent" });
  delete spec.background;
  vegaEmbed(drawn, spec, { ast: true, renderer: "svg", actions: false, mode: "vega-lite", logLevel: 1 })
    .then((result) => {
      // The box is labelled with the description: a reader hears that, not every mark.
      drawn.querySelector("svg").setAttribute("aria-hidden", "true");
      box.replaceChildren(drawn);
      figure.dataset.drawn = "yes";
      figure.view = result.view;
    })
    .catch((error) => console.error("chart", figure.id, error));
}

const folds = () => document.querySelectorAll("details.print");
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...folds()].filter((fold) => !fold.open);
  for (const fold of opened) fold.open = true;
});
addEventListener("afterprint", () => {
  for (const fold of opened) fold.open = false;
  opened = [];
});

// A link to something inside a fold opens the fold.
const reveal = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
  if (target) target.scrollIntoView();
};
addEventListener("hashchange", reveal);
reveal();

for (const wrap of document.querySelectorAll("[data-filter]")) {
  const rows = [...wrap.querySelectorAll("tbody tr")];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const label = document.createElement("label");
  label.className = "filter";
  label.textContent = "Filter rows ";
  const box = document.createElement("input");
  box.type = "search";
  const status = document.createElement("span");
  status.setAttribute("role", "status");
  label.append(box);
  wrap.prepend(label, status);
  box.addEventListener("input", () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, at) => {
      row.hidden = !words.every((word) => texts[at].includes(word));
      if (!row.hidden) shown += 1;
    });
    // What fits may lie in the fold.
    for (const fold of wrap.querySelectorAll("details.more")) {
      if (words.length && fold.dataset.was === undefined) fold.dataset.was = fold.open ? "open" : "";
      fold.open = words.length ? Boolean(fold.querySelector("tbody tr:not([hidden])")) : fold.dataset.was === "open";
      if (!words.length) delete fold.dataset.was;
    }
    status.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
  });
}
