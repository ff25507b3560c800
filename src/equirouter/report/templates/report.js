"use strict";
const data = JSON.parse(document.getElementById("charts").textContent);
const darkScheme = matchMedia("(prefers-color-scheme: dark)");
const touch = matchMedia("(pointer: coarse)").matches;
const select = document.getElementById("stack-router");
const config = {
  displaylogo: false,
  showSendToCloud: false, // plotly's default is a button that sends the data away
  plotlyServerURL: "",
  typesetMath: false,
  responsive: true,
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
};

function layout(xTitle, yTitle, more) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = {
    gridcolor: colour("--line"), linecolor: colour("--line"), zeroline: false, automargin: true,
  };
  return {
    paper_bgcolor: colour("--paper"),
    plot_bgcolor: colour("--paper"),
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: colour("--ink") },
    margin: { l: 56, r: 12, t: 34, b: 48 },
    hovermode: more.hovermode || "closest",
    hoverlabel: { bgcolor: colour("--tint"), font: { color: colour("--ink") } },
    // on a phone a finger on a chart scrolls the page
    dragmode: touch ? false : "zoom",
    xaxis: { ...axis, title: { text: xTitle }, ...(more.xaxis || {}) },
    yaxis: { ...axis, title: { text: yTitle }, ...(more.yaxis || {}) },
    legend: { orientation: "h", y: -0.22, yanchor: "top", x: 0, ...(more.legend || {}) },
  };
}

function same(values) {
  return values.every((value) => value === values[0]);
}

function line(series, x, y, hover) {
  const point = same(x) && same(y);
  return {
    type: "scatter",
    mode: point ? "markers" : "lines",
    name: series.anchor ? `<i>${series.name}</i>` : series.name,
    x: point ? x.slice(-1) : x,
    y: point ? y.slice(-1) : y,
    line: { color: series.colour, dash: series.dash, width: series.anchor ? 1.6 : 2.6 },
    marker: { color: series.colour, size: 10, symbol: "diamond" },
    hovertemplate: `<b>%{fullData.name}</b><br>${hover}<extra></extra>`,
  };
}

function drawCostPerformance() {
  const hover = "performance %{y:.4f}<br>cost %{x:.3g} USD per query";
  const traces = data.series.map((one) => line(one, one.cost, one.performance, hover));
  Plotly.react(
    "cost-performance", traces,
    layout("mean cost, USD per query", "mean performance", {}), config);
}

function drawCallShare() {
  const hover = "%{y:.1%} of the queries<br>%{x:.3g} USD";
  const traces = data.series.map((one) => line(one, one.x, one.shares[data.strongest], hover));
  Plotly.react(
    "call-share", traces,
    layout(data.shareLabel, "calls to the strongest", {
      yaxis: { tickformat: ".0%", range: [-0.02, 1.03] },
    }), config);
}

function drawStack() {
  const one = data.series[Number(select.value)];
  const paper = getComputedStyle(document.documentElement).getPropertyValue("--paper").trim();
  const traces = data.models.map((model, index) => ({
    type: "scatter",
    mode: "lines",
    stackgroup: "models",
    name: model.name,
    x: one.x,
    y: one.shares[index],
    line: { width: 0.7, color: paper }, // keeps neighbours apart
    fillcolor: model.colour,
    hovertemplate: "%{fullData.name} %{y:.1%}<extra></extra>",
  }));
  Plotly.react(
    "call-stack", traces,
    layout(data.shareLabel, "calls", {
      yaxis: { tickformat: ".0%", range: [0, 1] },
      xaxis: { hoverformat: ".3g" },
      legend: { traceorder: "normal" },
      hovermode: "x unified",
    }), config);
}

function draw() {
  drawCostPerformance();
  drawCallShare();
  drawStack();
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
  const option = document.createElement("option");
  option.value = String(index);
  // plotly's escapes, undone: an option shows its text as it is
  option.textContent = one.name.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
  select.append(option);
});
const firstRouter = data.series.findIndex((one) => !one.anchor);
select.value = String(Math.max(firstRouter, 0));
select.addEventListener("change", drawStack);
darkScheme.addEventListener("change", draw);
draw();
