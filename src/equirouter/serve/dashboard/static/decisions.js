// The table of recent decisions. Each row opens to "why this model".

import { get } from "./api.js";
import { bar, el, number, swatch, table } from "./dom.js";
import { clock, count, milliseconds, money, percent, short, when } from "./format.js";

const MOST = 500;
const BY = { named: "named", policy: "router", session: "session", cascade: "two at once", explore: "explored", shadow: "shadow", router_failure: "router failed", unreadable: "unreadable" };
const OUTCOMES = { ok: "answered", status: "error", connect: "not reached", timeout: "time-out",
  broken: "broken off", refused: "not called", cancelled: "given up by the client" };
const ROLES = { first: "of two at once", escalation: "one more", audit: "asked to check", check: "judged an answer" };
const COLUMNS = [["Time", ""], ["Asked for", "second"], ["Answered by", ""], ["Decided by", "third"],
  ["Status", ""], ["Cost", "number"], ["Saved", "number second"], ["Decision", "number third"],
  ["Total", "number second"], ["Calls", "number third"], ["Feedback", "number third"]];

export class Decisions {
  constructor(node, colours, onOpen) {
    this.colours = colours;
    this.onOpen = onOpen;
    this.rows = new Map(); // request id -> its row, and below it the opened one
    this.body = el("tbody");
    this.nothing = el("p", { class: "empty" });
    this.table = el("table", { class: "decisions" },
      el("caption", { class: "unseen" }, "Recent decisions, the newest first"),
      el("thead", {}, el("tr", {}, COLUMNS.map(([name, kind]) =>
        el("th", { scope: "col", class: kind }, name)))), this.body);
    node.replaceChildren(this.table, this.nothing);
    this.told();
  }

  get last() {
    return this.numbers.length ? Math.min(...this.numbers) : null;
  }

  get numbers() {
    return [...this.rows.values()].map((one) => one.document.number);
  }

  // Newest first, at the top; a request that is already there (feedback came) is drawn again.
  add(documents, { isOlder = false } = {}) {
    const order = isOlder ? documents : [...documents].reverse();
    for (const document of order) {
      const known = this.rows.get(document.request_id);
      const row = this.row(document);
      if (known) {
        known.row.replaceWith(row);
        if (known.detail) row.querySelector("button").setAttribute("aria-expanded", "true");
        this.rows.set(document.request_id, { ...known, row, document });
        continue;
      }
      if (isOlder) this.body.append(row);
      else this.body.prepend(row);
      this.rows.set(document.request_id, { row, document });
    }
    if (!isOlder) this.shorten();
    this.told();
  }

  // A page that is open for a week must not grow for a week; what is opened stays.
  shorten() {
    const old = [...this.rows.entries()].sort((a, b) => b[1].document.number - a[1].document.number)
      .slice(MOST);
    for (const [id, { row, detail }] of old) {
      if (detail) continue;
      row.remove();
      this.rows.delete(id);
    }
  }

  // Rows may be there before the summary that gives models their colours, or know a new model first.
  recolour() {
    for (const { row, document } of this.rows.values()) {
      row.querySelector(".swatch rect")?.setAttribute("fill", this.colours(document.model));
    }
  }

  told() {
    this.table.hidden = this.rows.size === 0;
    this.nothing.hidden = this.rows.size > 0;
    this.nothing.replaceChildren("No requests yet. Point an OpenAI client at ",
      el("code", {}, `${location.origin}/v1`), " and ask for the model ",
      el("code", {}, "equirouter/auto"), ".");
  }

  row(document) {
    const cells = [
      el("button", { type: "button", class: "open", "aria-expanded": "false",
        "aria-label": `Why this model: request at ${clock(document.time)}`,
        onclick: () => this.toggle(document.request_id) },
      when(document.time, Date.now() / 1000)),
      el("span", { class: "asked" }, document.requested_model),
      document.model === null ? el("span", { class: "bad" }, "nobody")
        : el("span", { class: "name" }, swatch(this.colours(document.model)), document.model),
      BY[document.decided_by] || "–",
      el("span", { class: document.status >= 500 ? "bad" : null }, String(document.status)),
      money(document.cost_usd),
      saved(document),
      milliseconds(document.decided_by === "named" ? null : document.decision_ms),
      milliseconds(document.total_ms),
      count(document.attempts),
      document.score === null ? "–" : document.score.toFixed(2),
    ];
    return el("tr", {}, cells.map((cell, index) => el("td", { class: COLUMNS[index][1] }, cell)));
  }

  async toggle(id) {
    const known = this.rows.get(id);
    const button = known.row.querySelector("button");
    if (known.detail) {
      known.detail.remove();
      known.detail = null;
      button.setAttribute("aria-expanded", "false");
      this.onOpen(null);
      return;
    }
    const box = el("td", { colspan: COLUMNS.length }, "…");
    known.detail = el("tr", { class: "detail" }, box);
    known.row.after(known.detail);
    button.setAttribute("aria-expanded", "true");
    this.onOpen(id);
    try {
      box.replaceChildren(detail(await get(`/admin/decisions/${encodeURIComponent(id)}`), this.colours));
    } catch (error) {
      box.replaceChildren(el("p", { class: "bad" }, `It could not be read: ${error.message}`));
    }
  }
}

function saved(document) {
  if (document.strongest_usd === null || document.cost_usd === null) return "–";
  return money(document.strongest_usd - document.cost_usd);
}

export function detail(document, colours) {
  return el("article", { class: "why", "aria-label": "Why this model" },
    el("div", { class: "because" }, document.why.map((sentence) => el("p", {}, sentence))),
    el("div", { class: "two" },
      el("div", {}, el("h3", {}, "Models that were weighed"), models(document, colours),
        el("h3", {}, "Calls"), attempts(document, colours)),
      el("div", {}, el("h3", {}, "The request"), facts(document))),
    texts(document));
}

function models(document, colours) {
  if (!document.models.length) return el("p", { class: "muted" }, "None: the request was refused.");
  const scores = document.models.map((one) => one.score).filter((score) => score !== null);
  const [low, high] = [Math.min(...scores), Math.max(...scores)];
  // estimates of performance are from 0 to 1; scores that only rank are shown from the lowest on
  const isShare = low >= 0 && high <= 1;
  const share = (score) => (isShare ? score : 0.05 + 0.95 * ((score - low) / (high - low || 1)));
  const score = (one) => (one.score === null ? "–" : el("span", { class: "score" },
    bar(share(one.score), { colour: colours(one.model) }), one.score.toFixed(3)));
  return table("Models that were weighed",
    ["Model", number("Order"), "Score", number("Predicted"), number("At most"), "Outcome"],
    document.models.map((one) => [
      el("span", { class: "name" }, swatch(colours(one.model)), one.model),
      number(one.rank ?? "–"), { is: score(one), as: "score-cell" },
      number(money(one.predicted_cost_usd)), number(money(one.upper_usd)),
      { is: verdict(one), as: "verdict" }]),
    { kind: "stack", notes: document.models.map((one) => one.removed) });
}

function verdict(one) {
  if (one.served) return el("b", {}, "answered");
  if (one.asked) return "was asked";
  if (one.removed) return el("span", { class: "muted" }, "ruled out");
  return one.rank === null ? el("span", { class: "muted" }, "not a candidate") : "could answer";
}

function attempts(document, colours) {
  if (!document.attempt_list.length) return el("p", { class: "muted" }, "No upstream was called.");
  return el("ol", { class: "rows calls" }, document.attempt_list.map((one) => el("li", {},
    el("div", { class: "row-head" },
      el("span", { class: "name" }, swatch(colours(one.model)), `${one.model} at ${one.upstream}`),
      el("span", {}, milliseconds(one.ms))),
    bar(one.ms / Math.max(document.total_ms, 1e-9), { colour: one.outcome === "ok"
      ? colours(one.model) : null, kind: "bar-bad",
    from: (one.started_ms || 0) / Math.max(document.total_ms, 1e-9) }),
    said(one),
    el("p", { class: one.outcome === "ok" ? "muted" : "bad" }, [ROLES[one.role], ...signals(one),
      ended(one, document.stream), one.status, one.error, one.cost_usd === null ? null : `charged ${money(one.cost_usd)}`]
      .filter(Boolean).join(", ")))));
}

function signals(one) {
  const said = Object.entries(one.signals || {}).filter(([name]) => !name.endsWith(".cost_usd"));
  return said.map(([name, value]) => `${name} ${value.toFixed(2)}`);
}

// Of a cascade. Without texts only which answers are equal is known.
function said(one) {
  if (one.answer_id === null) return null;
  if (one.answer_id === 0) return el("p", {}, "No final answer");
  return el("p", {}, "Final answer ", one.answer === null ? `no. ${one.answer_id}` : el("b", {}, one.answer));
}

function ended(one, isStream) {
  const isWhole = ["first", "audit", "check"].includes(one.role);
  if (one.outcome === "ok" && isStream && !isWhole) return "began to answer"; // its time is that until then
  return OUTCOMES[one.outcome] || one.outcome;
}

function facts(document) {
  const tokens = document.tokens;
  const first = document.models.find((one) => one.rank === 1);
  const known = [
    ["Request id", el("code", {}, document.request_id)],
    ["Asked for", document.setting === null ? document.requested_model
      : `${document.requested_model} (${document.setting} = ${short(document.value)})`],
    ["Cost", `${money(document.cost_usd)}${document.charged_by ? `, by ${document.charged_by}` : ""}`
      + (tokens?.estimated ? ", from counted tokens" : "")],
    ["Over its budget by", document.over_budget_usd === null ? null : money(document.over_budget_usd)],
    ["The provider says", document.reported_usd === null ? null : money(document.reported_usd)],
    ["Service tier", document.service_tier],
    ["Predicted, all calls", document.expected_usd === null ? null : money(document.expected_usd)],
    ["Predicted, at most", first && document.expected_usd === null ? `${money(first.predicted_cost_usd)}, ${money(first.upper_usd)}` : null],
    ["With the strongest", document.strongest_usd === null ? null : money(document.strongest_usd)],
    ["Tokens in", tokens && `${count(tokens.input)}`
      + (tokens.cached_input ? `, of which ${count(tokens.cached_input)} from the cache` : "")],
    ["Tokens out", tokens && `${count(tokens.output)}`
      + (tokens.reasoning ? `, of which ${count(tokens.reasoning)} of reasoning` : "")],
    ["Decision, first byte, total", [document.decision_ms, document.first_byte_ms, document.total_ms]
      .map(milliseconds).join(", ")],
    ["Confidence", document.confidence === null ? null : percent(document.confidence)],
    ["Feedback", document.score === null ? null
      : [document.score.toFixed(2), document.comment].filter(Boolean).join(": ")],
    ["Key", document.key], ["Session", document.session], ["Pipeline", document.pipeline],
    ["Error", document.error],
  ];
  return el("dl", { class: "facts" }, known.filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function texts(document) {
  const kept = [["Prompt", document.prompt], ["Answer", document.answer]].filter(([, text]) => text !== null);
  if (!kept.length) {
    return el("p", { class: "muted" }, "Texts are not kept. To keep them: ", el("code", {}, "log_texts = true"),
      " in ", el("code", {}, "[log]"), ".");
  }
  return kept.map(([name, text]) => el("details", {}, el("summary", {}, name), el("pre", {}, text)));
}
