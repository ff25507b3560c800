// "Try a query": the decision on a text, by /v1/route. No model is called.

import { post, Refused } from "./api.js";
import { bar, el, number, show, swatch, table } from "./dom.js";
import { milliseconds, money, percent, short } from "./format.js";

const byId = (id) => document.getElementById(id);
const BY = { policy: "the router", router_failure: "the rule for a failed router", unreadable: "the rule for texts that cannot be read" };

export function offerTrial(colours, askForKey) {
  byId("try-by").addEventListener("change", () => {
    const value = byId("try-value");
    value.disabled = byId("try-by").value === "";
    value.required = !value.disabled;
  });
  byId("try-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const by = byId("try-by").value;
    const control = by ? { equirouter: { [by]: Number(byId("try-value").value) } } : {};
    try {
      const found = await post("/v1/route", {
        model: "equirouter/auto",
        messages: [{ role: "user", content: byId("try-text").value }],
        ...control,
      });
      show("tried", said(found), weighed(found, colours));
    } catch (error) {
      if (error instanceof Refused) askForKey();
      else show("tried", el("p", { class: "bad" }, error.message));
    }
  });
}

function said(found) {
  const first = found.ranking[0];
  if (!first) return el("p", { class: "bad" }, "No model may answer: each is ruled out below.");
  const { cascade } = found;
  const plan = cascade
    ? [el("b", {}, cascade.models.join(" and ")), " would be asked at once. All calls are expected to cost ",
      el("b", {}, money(cascade.expected_cost_usd)),
      cascade.p_escalate === null ? "." : `; one more model is asked in ${percent(cascade.p_escalate)} of such queries.`]
    : [el("b", {}, first.model), " would be asked. The call is expected to cost ",
      el("b", {}, money(first.predicted_cost_usd)), `, at most ${money(first.upper_cost_usd)}.`];
  const facts = [
    `Decided by ${BY[found.decided_by] || found.decided_by}`,
    found.setting === null ? null : `at ${found.setting} = ${short(found.value)}`,
    found.confidence === null ? null : `confidence ${percent(found.confidence)}`,
    found.far ? "the query is unlike those that it learned from" : null,
    found.fits === false ? "nothing fits the budget" : null,
    `in ${milliseconds(found.decision_ms)}`,
  ];
  return [el("p", {}, plan), el("p", { class: "muted" }, `${facts.filter(Boolean).join(", ")}.`)];
}

function weighed(found, colours) {
  const ranks = new Map(found.ranking.map((one, index) => [one.model, { ...one, rank: index + 1 }]));
  const models = [...new Set([...ranks.keys(), ...Object.keys(found.removed),
    ...Object.keys(found.scores || {})])];
  const score = (model) => found.scores?.[model] ?? ranks.get(model)?.score ?? null;
  const scores = models.map(score).filter((value) => value !== null);
  const [low, high] = [Math.min(...scores), Math.max(...scores)];
  const share = (value) => (low >= 0 && high <= 1 ? value : 0.05 + 0.95 * ((value - low) / (high - low || 1)));
  return table("Models that were weighed",
    ["Model", number("Order"), "Score", number("Predicted"), number("At most"), "Outcome"],
    models.map((model) => [
      el("span", { class: "name" }, swatch(colours(model)), model),
      number(ranks.get(model)?.rank ?? "–"),
      { is: score(model) === null ? "–" : el("span", { class: "score" },
        bar(share(score(model)), { colour: colours(model) }), score(model).toFixed(3)), as: "score-cell" },
      number(money(found.predicted_costs_usd?.[model] ?? ranks.get(model)?.predicted_cost_usd)),
      number(money(ranks.get(model)?.upper_cost_usd)),
      { is: verdict(model, ranks.get(model), found), as: "verdict" }]),
    { kind: "stack", notes: models.map((model) => found.removed[model]) });
}

function verdict(model, one, found) {
  if (found.cascade?.models.includes(model) || (!found.cascade && one?.rank === 1)) return el("b", {}, "asked first");
  if (found.removed[model]) return el("span", { class: "muted" }, "ruled out");
  return one ? "could answer" : el("span", { class: "muted" }, "not a candidate");
}
