/* Moves along one router's operating points and says what each gives. */
const byId = (id) => document.getElementById(id);
const routers = data.series.filter((one) => !one.anchor);
const asked = 0.98;
const state = { router: cheapest(), by: "quality", pinned: null };

/* The router that needs least for the quality that the page opens with. */
function cheapest() {
  const cost = (one) => keeping(one, asked).cost;
  return routers.reduce((best, one) => (cost(one) < cost(best) ? one : best), routers[0] || data.series[0]);
}

function strongestOnly() {
  const shares = data.models.map((_, i) => (i === data.strongest ? 1 : 0));
  return { ...data.always, shares, at: null };
}

function at(router, i) {
  return {
    performance: router.performance[i], cost: router.cost[i], at: i,
    shares: router.shares.map((one) => one[i]),
  };
}

/* The cheapest place that keeps a share of the strongest model's performance; it is one itself. */
function keeping(router, quality) {
  const least = quality * data.always.performance - 1e-9;
  return router.performance.reduce(
    (best, value, i) => (value >= least && router.cost[i] < best.cost ? at(router, i) : best),
    strongestOnly());
}

function here() {
  const slider = byId("place");
  return state.by === "quality" ? keeping(state.router, Number(slider.value)) : at(state.router, Number(slider.value));
}

function setSlider() {
  const slider = byId("place");
  const last = state.router.cost.length - 1;
  const [min, max, step, value] = state.by === "quality" ? [0.8, 1, 0.005, asked] : [0, last, 1, last];
  Object.assign(slider, { min, max, step });
  slider.value = String(value);
}

function placeText(found) {
  const setting = found.at === null ? `always ${data.models[data.strongest].name}` : `${data.setting}: ${short(state.router.point[found.at])}`;
  return state.by === "setting" ? setting : `quality ${Number(byId("place").value).toFixed(3)}; ${setting}`;
}

function showFigures(found) {
  const always = data.always;
  const requests = Math.max(0, Number(byId("requests").value) || 0);
  const share = always.cost > 0 ? `${percent(found.cost / always.cost)} of always ${data.models[data.strongest].name}` : "";
  byId("per-thousand").textContent = usd(1000 * found.cost);
  byId("of-always").textContent = share;
  byId("performance").textContent = found.performance.toFixed(4);
  byId("quality").textContent = `${percent(found.performance / always.performance)} of the strongest model's`;
  byId("bill").textContent = usd(requests * found.cost);
  byId("bill-always").textContent = `${usd(requests * always.cost)} for the strongest model alone`;
}

function showCalls(found) {
  const called = data.models.map((model, i) => ({ ...model, share: found.shares[i] }))
    .filter((model) => model.share >= 0.0005).sort((a, b) => b.share - a.share);
  byId("calls").replaceChildren(...called.map((model) => node(
    "li", {}, node("span", { class: "name" }, model.name),
    node("span", { class: "bar", style: `--share:${model.share}` }), node("span", { class: "figure" }, percent(model.share)))));
}

function modelOf(row, place) {
  if (place === null) return data.strongest;
  return row.reduce((model, [first, other]) => (first <= place ? other : model), row[0][1]);
}

function showSamples(found) {
  const rows = data.samples && data.samples.chosen[state.router.name];
  byId("samples").hidden = !rows;
  if (!rows) return;
  const changed = rows.map((row, i) => [modelOf(row, state.pinned), modelOf(row, found.at), i]).filter(([a, b]) => a !== b);
  const compared = state.pinned === null ? `always ${data.models[data.strongest].name}` : `${data.setting}: ${short(state.router.point[state.pinned])}`;
  byId("changed").textContent = `${changed.length} of ${rows.length} sample queries go to another model than with ${compared}`;
  byId("changes").replaceChildren(...changed.map(([before, now, i]) => node(
    "tr", {}, node("th", { scope: "row" }, data.samples.queries[i], ...(data.samples.texts.length ? [node("small", {}, data.samples.texts[i])] : [])),
    node("td", {}, data.models[before].name), node("td", {}, data.models[now].name))));
}

function explore() {
  const found = here();
  byId("where").textContent = placeText(found);
  byId("place").setAttribute("aria-valuetext", placeText(found));
  showFigures(found);
  showCalls(found);
  showSamples(found);
  costPerformance.mark = { x: found.cost, y: found.performance };
  costPerformance.draw();
}
