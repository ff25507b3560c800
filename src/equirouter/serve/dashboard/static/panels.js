// The panels above the table: figures, collapse, latency, upstreams, feedback, alarms.

import { bar, el, number, show, svg, swatch, table } from "./dom.js";
import { clock, count, day, milliseconds, money, percent, plural } from "./format.js";

export function figures(data) {
  const all = data.totals;
  const baseline = all.cost_usd + all.saved_usd;
  const isCompared = all.strongest_usd > 0;
  const rated = data.feedback.reduce((sum, one) => sum + one.count, 0);
  const quality = rated
    ? data.feedback.reduce((sum, one) => sum + one.mean * one.count, 0) / rated : null;
  const seconds = data.until - data.since;
  show("figures", [
    figure("Spent", money(all.cost_usd),
      all.estimated ? `${plural(all.estimated, "request", "requests")} with estimated tokens`
        : `${money(all.requests ? all.cost_usd / all.requests : null)} a request`),
    figure("Saved", isCompared ? money(all.saved_usd) : "–", isCompared
      ? `${percent(all.saved_usd / baseline)} of ${money(baseline)} with `
        + `${data.strongest || "the strongest"}` : "nothing to compare with yet",
    isCompared ? (all.saved_usd < 0 ? "bad" : "good") : null),
    figure("Requests", count(all.requests), `${perMinute(all.requests, seconds)}, `
      + `${percent(all.requests ? all.routed / all.requests : null)} routed`),
    figure("Errors", all.requests ? percent(all.errors / all.requests, 1) : "–",
      `${count(all.errors)} of ${count(all.requests)}, ${plural(all.fallbacks, "fallback", "fallbacks")}`,
      all.requests && all.errors / all.requests > 0.01 ? "bad" : null),
    figure("Decision, median", milliseconds(data.latency.decision?.p50),
      data.latency.decision?.count ? `99 % within ${milliseconds(data.latency.decision.p99)}`
        : "nothing routed"),
    figure("Feedback, mean", quality === null ? "–" : quality.toFixed(2),
      rated ? plural(rated, "answer rated", "answers rated") : "none yet"),
    ...meanSpend(data.status.pipeline?.pacing),
  ]);
}

// Of the requests that leave the choice to pipeline.spend_usd, since this worker started.
function meanSpend(pacing) {
  if (!pacing) return [];
  return [figure("Mean spend", money(pacing.mean_usd),
    `aimed at ${money(pacing.spend_usd)}, ${plural(pacing.requests, "request", "requests")}`)];
}

function perMinute(requests, seconds) {
  const rate = requests / (seconds / 60);
  if (rate >= 1) return `${rate.toFixed(rate < 10 ? 1 : 0)} a minute`;
  return `${(rate * 60).toFixed(1)} an hour`;
}

function figure(name, value, below, kind) {
  return el("div", { class: `figure ${kind || ""}` }, el("h2", {}, name),
    el("p", { class: "value" }, value), el("p", { class: "muted" }, below || " "));
}

export function alarms(data) {
  const said = [];
  for (const one of data.collapse.filter((state) => state.alarm)) {
    said.push([el("b", {}, "Routing has collapsed"), ` for ${one.class}: `
      + `${data.strongest || "the strongest model"} gets ${percent(one.share)} of the last `
      + `${plural(one.requests, "request", "requests")}, ${percent(one.expected)} was expected.`]);
  }
  const pairs = data.cascades.agreement;
  if (pairs.drifts) {
    said.push([el("b", {}, "Agreement has drifted"), `: ${percent(pairs.share)} of the last `
      + `${plural(pairs.decisions, "pair", "pairs")} were accepted, ${percent(pairs.expected)} was expected.`]);
  }
  for (const one of data.drift.filter((alarm) => alarm.is_on && !OWN_ALARMS.includes(alarm.kind))) {
    said.push([el("b", {}, `Drift: ${one.kind}`), one.about ? `, ${one.about}` : "", `, ${drifted(one)}.`]);
  }
  if (data.canary?.state === "rolled back") {
    said.push([el("b", {}, `Version ${data.canary.version} was rolled back`), `: ${data.canary.why}.`]);
  }
  for (const one of data.upstreams.filter((upstream) => upstream.state === "open")) {
    said.push([el("b", {}, `The circuit of ${one.name} is open`), ": it is not called for a while."]);
  }
  // an alert is read out when it changes, so it must not be made again every few seconds
  const text = said.map((parts) => parts.map((part) => part.textContent ?? part).join("")).join();
  const node = document.getElementById("alarms");
  if (node.dataset.text === text) return;
  node.dataset.text = text;
  node.replaceChildren(...said.map((parts) => el("p", { class: "alarm" }, warning(), el("span", {}, parts))));
}

function warning() {
  return svg("svg", { class: "sign", viewBox: "0 0 20 18", "aria-hidden": "true" },
    svg("path", { d: "M10 1 L19 17 H1 Z" }),
    svg("path", { class: "sign-mark", d: "M10 7v4.5M10 14v.4" }));
}

function collapse(data) {
  if (!data.collapse.length) {
    show("collapse", empty("Nothing was routed since the gateway started."));
    return;
  }
  show("collapse",
    el("p", { class: "muted" }, `Share of ${data.strongest || "the strongest model"} now, `
      + "against its share in the calibration."
      + (data.cascades.requests ? " Counted is whom one call would go to, before two are asked." : "")),
    el("ul", { class: "rows" }, data.collapse.map((one) => el("li", {},
      el("div", { class: "row-head" }, el("span", { class: "name" }, one.class), badge(one)),
      bar(one.share ?? 0, { kind: one.alarm ? "bar-bad" : "bar-fill", marks: [
        ...(one.expected === null ? [] : [{ at: one.expected, kind: "expected" }]),
        ...(one.limit === null ? [] : [{ at: one.limit, kind: "limit" }])] }),
      el("p", { class: "muted" }, `${percent(one.share)} of `
        + `${plural(one.requests, "request", "requests")}, expected ${percent(one.expected)}`
        + (one.alarm || one.limit === null ? ""
          : `; evidence for an alarm ${percent(one.evidence)}`))))),
    el("p", { class: "legend muted" },
      key("expected", "expected"), key("limit", "too much, if it lasts")));
}

const ENDS = [["accepted", "Answered by one of the two"], ["escalated", "One more was asked"],
  ["kept", "One more could not be asked"]];

function cascades(data) {
  const all = data.cascades;
  document.getElementById("cascades").closest("section").hidden = !all.requests; // off by default
  if (!all.requests) return;
  const of = all.requests;
  show("cascades",
    el("p", {}, el("b", { class: all.saved_usd < 0 ? "bad" : "good" }, `${money(all.saved_usd)} saved`),
      ` in ${plural(of, "request", "requests")}, ${percent(all.saved_usd / all.strongest_usd)} of what `
        + `${data.strongest || "the strongest"} alone would have cost.`),
    el("ul", { class: "rows" }, ENDS.map(([name, says]) => el("li", {},
      el("div", { class: "row-head" }, el("span", { class: "name" }, says),
        el("span", {}, count(all.ended[name] || 0),
          el("span", { class: "muted" }, ` · ${percent((all.ended[name] || 0) / of)}`))),
      bar((all.ended[name] || 0) / of)))),
    agreement(all.agreement));
}

// Of the pairs that this worker asked since it started, or since the last pipeline.
function agreement(state) {
  if (!state.decisions) return null;
  const now = `${percent(state.share)} of the last ${plural(state.decisions, "pair", "pairs")} accepted`;
  return el("p", { class: state.drifts ? "bad" : "muted" },
    state.expected === null ? `${now}.` : `${now}, ${percent(state.expected)} expected.`);
}

// Those that stand above with words of their own.
const OWN_ALARMS = ["collapse", "agreement"];

function drifted(one) {
  return `${one.what}: ${percent(one.value)} over the last ${count(one.n)}, `
    + `${percent(one.expected, 1)} expected`;
}

const section = (id) => document.getElementById(id).closest("section");

function versions(data) {
  const { versions: all, why } = data.versions;
  section("versions").hidden = !all.length && !why;
  if (!all.length) {
    show("versions", el("p", { class: "bad" }, why));
    return;
  }
  show("versions", table("Versions", ["Version", "Made", number("Queries"), number("Quality kept"), number("Cost")],
    all.map((one) => [
      [one.version, " ", ["current", "canary", "damaged", "refused"].filter((mark) => one[mark])
        .map((mark) => el("span", { class: `badge ${MARKS[mark]}` }, mark))],
      one.made_at ? `${day(Date.parse(one.made_at) / 1000)}, ${one.how}` : "–",
      number(count(one.n_queries)), number(percent(one.kept, 1)),
      number(percent(one.cost ?? one.expected_cost, 1))]),
    { kind: "stack", notes: all.map((one) => one.damaged ?? one.refused) }),
  el("p", { class: "muted" }, "Quality and cost are shares of the strongest model's, in the test of each "
    + "version; queries are those that its promise rests on."));
}

const MARKS = { current: "good", canary: "", damaged: "bad", refused: "bad" };
const MEASURES = {
  cost: ["Cost, 1 is usual", (mean) => (mean === null ? "–" : mean.toFixed(2))],
  errors: ["Failed", (mean) => percent(mean, 2)],
  feedback: ["Feedback", (mean) => (mean === null ? "–" : (1 - mean).toFixed(2))], // kept as what lacks
};

function canary(data) {
  const one = data.canary;
  section("canary").hidden = !one; // off by default
  if (!one) return;
  const share = one.share ? ` on ${percent(one.share)} of the conversations beside ${one.over}` : "";
  const isOver = one.state !== "running";
  show("canary",
    el("p", {}, el("b", { class: one.state === "rolled back" || one.state === "failed" ? "bad" : null },
      `Version ${one.version} is ${one.state}`), isOver ? null : share, one.why ? `: ${one.why}` : null, "."),
    one.evidence ? el("ul", { class: "rows" }, Object.entries(one.evidence).map(([name, found]) => {
      const [title, said] = MEASURES[name];
      return el("li", {},
        el("div", { class: "row-head" }, el("span", { class: "name" }, title),
          el("span", {}, said(found.mean[1]), el("span", { class: "muted" }, ` against ${said(found.mean[0])}`))),
        el("p", { class: "muted" }, `${plural(found.n[1], "conversation", "conversations")} against ${count(found.n[0])}`),
        evidence("worse", found.worse, "bar-bad"), evidence("not worse", found.not_worse, "bar-fill"));
    })) : null,
    one.evidence ? el("p", { class: "muted" }, "Each conversation counts once. A full bar is shown: one "
      + "“worse” rolls it back, all “not worse” make it current.") : null);
}

function evidence(of, share, kind) {
  return el("div", { class: "evidence" }, el("span", { class: "muted" }, of), bar(share, { kind }),
    el("span", { class: "muted" }, percent(share)));
}

function learning(data, colours) {
  const { explore, shadow, models, queries, complete } = data.learning;
  const isOff = !explore.share && !shadow.share && !models.length;
  section("learning").hidden = isOff; // off by default
  if (isOff) return;
  const spent = (name, one) => el("p", {}, el("b", {}, name), `: ${percent(one.share, 1)} of requests, `
    + `${money(one.today_usd)}${one.limit_usd_per_day === null ? "" : ` of ${money(one.limit_usd_per_day)}`} today`);
  const mean = (score) => number(score === null ? "–" : score.toFixed(2));
  show("learning", spent("Explored", explore), spent("Shadow answers", shadow),
    queries ? el("p", {}, el("b", {}, plural(queries, "query", "queries")), " scored by graders, ",
      el("b", {}, count(complete)), " of them for every model: rows to learn from.") : null,
    models.length ? table("What was learned of models", ["Model", number("Explored"), number("Shadow"),
      number("Cost"), number("Rated"), number("Mean score"), number("Predicted")],
      models.map((one) => [[swatch(colours(one.model)), one.model], number(count(one.explored)),
        number(count(one.shadow)), number(money(one.cost_usd)), number(count(one.rated)),
        mean(one.mean), mean(one.predicted)]), { kind: "stack" }) : empty("Nothing in this period."));
}

const NEAR = 0.05; // below it there is nothing to look at

function drift(data) {
  const all = data.drift;
  section("drift").hidden = !all.some((one) => !OWN_ALARMS.includes(one.kind)); // off by default
  const shown = all.filter((one) => one.is_on || one.evidence > NEAR).slice(0, 8);
  show("drift",
    el("p", { class: "muted" }, `${plural(all.length, "alarm", "alarms")} watched, `
      + `${all.filter((one) => one.is_on).length} on.`),
    el("ul", { class: "rows" }, shown.map((one) => el("li", {},
      el("div", { class: "row-head" },
        el("span", { class: "name" }, one.about ? `${one.kind}, ${one.about}` : one.kind),
        el("span", { class: `badge ${one.is_on ? "bad" : ""}` }, one.is_on ? "alarm" : `${percent(one.evidence)} of the evidence`)),
      bar(one.value, { kind: one.is_on ? "bar-bad" : "bar-fill",
        marks: one.expected === null ? [] : [{ at: one.expected, kind: "expected" }] }),
      el("p", { class: "muted" }, drifted(one))))),
    shown.length ? null : empty("Nothing is near an alarm."));
}

function key(kind, text) {
  return el("span", { class: "key" }, svg("svg", { class: "swatch", viewBox: "0 0 10 10",
    "aria-hidden": "true" }, svg("line", { class: `mark ${kind}`, x1: 5, x2: 5, y1: 0, y2: 10 })), text);
}

function badge(one) {
  if (one.alarm) return el("span", { class: "badge bad" }, "collapsed");
  if (one.expected === null) return el("span", { class: "badge" }, "nothing to compare with");
  if (!one.is_enough) return el("span", { class: "badge" }, "too few to tell");
  return el("span", { class: "badge good" }, "as expected");
}

const PHASES = [["decision", "Decision"], ["first_byte", "First byte"], ["upstream", "Upstream"]];

function latency(data) {
  const known = PHASES.filter(([phase]) => data.latency[phase]?.count);
  if (!known.length) {
    show("latency", empty("No answers in this period."));
    return;
  }
  const decision = data.latency.decision?.p50;
  const upstream = data.latency.upstream?.p50;
  const ends = known.flatMap(([phase]) => [data.latency[phase].p50, data.latency[phase].p99]);
  const low = Math.floor(Math.log10(Math.max(Math.min(...ends), 0.01)));
  const high = Math.max(Math.ceil(Math.log10(Math.max(...ends, 0.1))), low + 1);
  const at = (ms) => `${((Math.log10(Math.max(ms, 10 ** low)) - low) / (high - low)) * 100}%`;
  show("latency",
    decision && upstream ? el("p", {}, "The decision is ",
      el("b", {}, percent(decision / (decision + upstream), 2)), " of a median answer's time.") : null,
    el("ul", { class: "rows" }, known.map(([phase, name]) => {
      const found = data.latency[phase];
      return el("li", {},
        el("div", { class: "row-head" }, el("span", { class: "name" }, name),
          el("span", {}, milliseconds(found.p50), el("span", { class: "muted" },
            ` · ${milliseconds(found.p95)} · ${milliseconds(found.p99)}`))),
        svg("svg", { class: "range", "aria-hidden": "true" },
          svg("line", { class: "range-ground", x1: 0, x2: "100%", y1: 7, y2: 7 }),
          svg("line", { class: "range-line", x1: at(found.p50), x2: at(found.p99), y1: 7, y2: 7 }),
          svg("circle", { class: "range-dot", cx: at(found.p50), cy: 7, r: 5 }),
          svg("line", { class: "range-mark", x1: at(found.p95), x2: at(found.p95), y1: 2, y2: 12 }),
          svg("line", { class: "range-mark", x1: at(found.p99), x2: at(found.p99), y1: 2, y2: 12 })));
    })),
    el("p", { class: "axis muted", "aria-hidden": "true" },
      el("span", {}, milliseconds(10 ** low)), el("span", {}, milliseconds(10 ** high))),
    el("p", { class: "muted" }, "Median, 95 % and 99 %, on a logarithmic scale."));
}

const FAILURES = { status: "errors", connect: "not reached", timeout: "time-outs",
  broken: "broken off", refused: "not called", cancelled: "given up by the client" };
const STATES = { closed: ["●", "closed", "good"], "half-open": ["◐", "half open", ""],
  open: ["○", "open", "bad"] };

function upstreams(data) {
  const statuses = Object.entries(data.statuses);
  if (!data.upstreams.length && !statuses.length) {
    show("upstreams", empty("No calls in this period."));
    return;
  }
  show("upstreams",
    table("Upstreams", ["Upstream", "Circuit", number("Calls"), number("Answered"), "Failures"],
      data.upstreams.map(({ name, state, outcomes }) => {
        const calls = Object.entries(outcomes).filter(([outcome]) => outcome !== "refused")
          .reduce((sum, [, one]) => sum + one, 0);
        const failed = Object.entries(outcomes).filter(([outcome]) => outcome !== "ok")
          .map(([outcome, one]) => `${count(one)} ${FAILURES[outcome] || outcome}`);
        const [sign, word, kind] = STATES[state] || ["", "–", ""];
        return [name, { is: [el("span", { "aria-hidden": "true" }, sign), ` ${word}`], as: kind },
          number(count(calls)),
          number(calls ? percent((outcomes.ok || 0) / calls, 1) : "–"),
          failed.join(", ") || "none"];
      })),
    el("h3", {}, "Answers by status"),
    statuses.length ? el("ul", { class: "chips" }, statuses.map(([status, one]) =>
      el("li", { class: status >= 500 ? "bad" : null }, el("b", {}, status), ` ${count(one)}`)))
      : empty("None."));
}

function feedback(data, colours) {
  if (!data.feedback.length) {
    show("feedback", empty("No feedback in this period. Clients send it to "),
      el("code", {}, "POST /v1/feedback"));
    return;
  }
  const order = (one) => data.models.findIndex(({ name }) => name === one.model);
  const sorted = [...data.feedback].sort((a, b) => order(a) - order(b));
  show("feedback", el("ul", { class: "rows" }, sorted.map((one) => el("li", {},
    el("div", { class: "row-head" },
      el("span", { class: "name" }, swatch(colours(one.model)), one.model),
      el("span", {}, one.mean.toFixed(2), el("span", { class: "muted" },
        ` · ${plural(one.count, "answer", "answers")}${one.count < 20 ? ", too few to compare" : ""}`))),
    bar(one.mean, { colour: colours(one.model) })))),
    el("p", { class: "muted" }, "Mean score, from 0 to 1. Models answer different queries, so a lower "
      + "mean need not be a weaker model."));
}

export function footer(data) {
  const read = (name, value) => {
    if (value !== null && typeof value === "object") return value.id ?? null; // of the pipeline
    if (name.endsWith("_at")) return `${day(value)} ${clock(value)}`;
    return typeof value === "number" ? count(value) : value;
  };
  const known = Object.entries(data.status).map(([name, value]) => [name, read(name, value)])
    .filter(([, value]) => value !== null);
  show("footer", el("dl", {}, known.map(([name, value]) => el("div", {},
    el("dt", {}, name.replaceAll("_", " ")), el("dd", {}, String(value))))));
}

const empty = (text) => el("span", { class: "muted" }, text);

// The panels below the charts, in their order. What each draws is in the summary: see view.py.
export const PANELS = [
  { id: "collapse", title: "Collapse now", draw: collapse },
  { id: "cascades", title: "Two models at once", draw: cascades },
  { id: "versions", title: "Versions", draw: versions },
  { id: "canary", title: "Canary", draw: canary },
  { id: "learning", title: "Exploration and shadow answers", draw: learning },
  { id: "drift", title: "Drift", draw: drift },
  { id: "latency", title: "Latency", draw: latency },
  { id: "upstreams", title: "Upstreams and errors", draw: upstreams },
  { id: "feedback", title: "Quality from feedback", draw: feedback },
];
