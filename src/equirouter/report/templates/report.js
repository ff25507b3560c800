const line = (one, x, y) => ({ name: one.name, colour: one.colour, dash: one.dash, thin: one.anchor, x, y });
const performanceAt = (one, i) => `${one.name}: performance ${one.y[i].toFixed(4)} at ${usd(1000 * one.x[i])} per 1,000 queries`;
const costPerformance = new Chart(byId("cost-performance"), {
  label: "mean performance against mean cost",
  lines: data.series.map((one) => line(one, one.cost, one.performance)),
  xTitle: "mean cost, USD per query", yTitle: "mean performance", yFormat: short, say: performanceAt,
});
new Chart(byId("call-share"), {
  label: "calls to the strongest model",
  lines: data.series.map((one) => line(one, one.x, one.shares[data.strongest])),
  xTitle: data.shareLabel, yTitle: "calls to the strongest", yFormat: (value) => `${Math.round(100 * value)} %`,
  yRange: [-0.02, 1.03], say: (one, i) => `${one.name}: ${percent(one.y[i])} of the queries at ${short(one.x[i])}`,
});

function drawStack() {
  const one = data.series[Number(byId("stack-router").value)];
  let below = one.x.map(() => 0);
  const lines = data.models.map((model, m) => {
    const y = below.map((value, i) => value + one.shares[m][i]);
    const made = { name: model.name, colour: model.colour, x: one.x, y, area: below, share: one.shares[m] };
    below = y;
    return made;
  });
  byId("call-stack").replaceChildren();
  new Chart(byId("call-stack"), {
    label: `calls of ${one.name} to every model`, lines, xTitle: data.shareLabel, yTitle: "calls",
    yFormat: (value) => `${Math.round(100 * value)} %`, yRange: [0, 1.001],
    say: (model, i) => `${model.name}: ${percent(model.share[i])} at ${short(model.x[i])}`,
  });
}

function sortBy(table, column, button) {
  const heading = button.closest("th");
  const ascending = heading.getAttribute("aria-sort") !== "ascending";
  table.querySelectorAll("th[aria-sort]").forEach((one) => one.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const body = table.tBodies[0];
  const compare = (left, right) => {
    const [a, b] = [left, right].map((row) => row.cells[column].dataset.value);
    if (a === "" || b === "") return (a === "") - (b === ""); // never reached: always last
    const order = column === 0 ? a.localeCompare(b) : Number(a) - Number(b);
    return ascending ? order : -order;
  };
  body.append(...[...body.rows].sort(compare));
}

for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("thead button").forEach((button, column) => {
    button.addEventListener("click", () => sortBy(table, column, button));
  });
}
data.series.forEach((one, index) => {
  byId("stack-router").append(node("option", { value: String(index) }, one.name));
  byId("router").append(node("option", { value: String(index) }, one.name));
});
const first = String(data.series.indexOf(state.router));
byId("stack-router").value = first;
byId("router").value = first;
byId("by-setting").append(data.setting);
byId("stack-router").addEventListener("change", drawStack);
byId("router").addEventListener("change", (event) => {
  state.router = data.series[Number(event.target.value)];
  state.pinned = null;
  setSlider();
  explore();
});
for (const choice of document.querySelectorAll("input[name=by]")) {
  choice.addEventListener("change", () => {
    state.by = choice.value;
    setSlider();
    explore();
  });
}
byId("place").addEventListener("input", explore);
byId("requests").addEventListener("input", explore);
byId("pin").addEventListener("click", () => {
  state.pinned = here().at;
  explore();
});
drawStack();
setSlider();
explore();
