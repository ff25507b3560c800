// Puts the page together: what is asked when, and what happens live.

import { forgetKey, get, hasKey, keepKey, listen, Refused } from "./api.js";
import { shareChart, spendChart } from "./charts.js";
import { Decisions, detail } from "./decisions.js";
import { el, show } from "./dom.js";
import { PANELS, alarms, figures, footer } from "./panels.js";
import { offerTrial } from "./trial.js";

const OTHER = "#909090";
const EVERY_MS = 10000;
const SOON_MS = 1500;
const PAGE = 50;

const state = { period: "24h", data: null, isLive: true, feed: null, timer: null, asked: 0 };

const colours = (model) => state.data?.models.find((one) => one.name === model)?.colour || OTHER;
const decisions = new Decisions(document.getElementById("decisions"), colours, remember);

// --- the place in the address: #24h or #24h/REQUEST-ID

function place() {
  const [period, ...id] = decodeURIComponent(location.hash.slice(1)).split("/");
  return { period, id: id.join("/") || null };
}

function remember(id) {
  history.replaceState(null, "", `#${state.period}${id ? `/${encodeURIComponent(id)}` : ""}`);
}

// --- the summary

function draw() {
  const { data } = state;
  if (!data) return;
  alarms(data);
  figures(data);
  for (const panel of PANELS) panel.draw(data, colours);
  footer(data);
  decisions.recolour();
  charts();
}

function charts() {
  if (!state.data) return;
  for (const [id, make] of [["spend", spendChart], ["share", shareChart]]) {
    const node = document.getElementById(id);
    const isRead = node.contains(document.activeElement) || node.matches(":hover");
    // a bar that is being read must not go from under the pointer
    if (!isRead || node.childElementCount === 0 || node.dataset.period !== state.period
        || node.dataset.width !== String(node.clientWidth)) {
      make(node, state.data);
      node.dataset.period = state.period;
      node.dataset.width = String(node.clientWidth);
    }
  }
}

async function refresh() {
  clearTimeout(state.timer);
  state.asked = Date.now();
  const { period } = state;
  try {
    const data = await get(`/admin/summary?period=${period}`);
    if (period !== state.period) return; // another one was chosen meanwhile
    state.data = data;
    notice("gone", null);
    draw();
  } catch (error) {
    if (error instanceof Refused) {
      askForKey();
      return;
    }
    notice("gone", `The gateway does not answer (${error.message}). What is below may be old.`);
  }
  if (state.isLive) state.timer = setTimeout(refresh, EVERY_MS);
}

// New requests came: the figures follow soon, but not for each of them.
function refreshSoon() {
  clearTimeout(state.timer);
  state.timer = setTimeout(refresh, Math.max(SOON_MS - (Date.now() - state.asked), 0));
}

// --- the table

async function newest() {
  const found = await get(`/admin/decisions?limit=${PAGE}`);
  decisions.add(found.decisions);
  document.getElementById("older").hidden = found.before === null;
}

async function older() {
  const found = await get(`/admin/decisions?limit=${PAGE}&before=${decisions.last}`);
  decisions.add(found.decisions, { isOlder: true });
  document.getElementById("older").hidden = found.before === null;
}

async function find(id) {
  if (!id) {
    show("found");
    return;
  }
  try {
    show("found", detail(await get(`/admin/decisions/${encodeURIComponent(id)}`), colours));
    remember(id);
  } catch (error) {
    show("found", el("p", { class: "bad" }, `${id}: ${error.message}`));
  }
}

// --- live

async function follow() {
  const feed = new AbortController();
  state.feed = feed; // another one takes its place after a pause
  let wait = 1000;
  while (state.feed === feed) {
    try {
      live("live");
      await listen("/admin/events", (name, data) => {
        wait = 1000;
        if (name === "open") newest();
        if (name === "unreadable") notice("store", "The gateway cannot read its store.");
        if (name !== "decisions") return;
        notice("store", null);
        decisions.add(data);
        refreshSoon();
      }, feed.signal);
    } catch (error) {
      if (error instanceof Refused) return; // the summary asks for the key
    }
    if (state.feed !== feed) return;
    live("lost");
    await new Promise((done) => { setTimeout(done, wait); });
    wait = Math.min(wait * 2, 30000);
  }
}

function live(word) {
  const button = document.getElementById("live");
  button.className = word;
  button.setAttribute("aria-pressed", String(state.isLive));
  button.querySelector("span").textContent
    = { live: "Live", lost: "Reconnecting", paused: "Paused" }[word];
}

function pause() {
  state.isLive = !state.isLive;
  if (state.isLive) {
    begin();
    return;
  }
  clearTimeout(state.timer);
  state.feed?.abort();
  state.feed = null;
  live("paused");
}

// --- notices and the key

const notices = new Map();

function notice(name, text) {
  if ((notices.get(name) || null) === text) return;
  if (text) notices.set(name, text);
  else notices.delete(name);
  show("notices", [...notices.values()].map((one) => el("p", { class: "notice" }, one)));
}

function askForKey() {
  const dialog = document.getElementById("key-dialog");
  if (hasKey()) document.getElementById("key-says").textContent = "That is not an admin key.";
  forgetKey();
  live("paused");
  if (!dialog.open) dialog.showModal();
}

function begin() {
  refresh();
  follow();
}

// --- start

offerTrial(colours, askForKey);
document.getElementById("recent").before(...PANELS.map(({ id, title }) =>
  el("section", {}, el("h2", {}, title), el("div", { id }))));
document.getElementById("periods").addEventListener("change", (event) => {
  state.period = event.target.value;
  remember(null);
  refresh();
});
document.getElementById("live").addEventListener("click", pause);
document.getElementById("older").addEventListener("click", older);
document.getElementById("find").addEventListener("submit", (event) => {
  event.preventDefault();
  find(document.getElementById("find-id").value.trim());
});
document.getElementById("key-form").addEventListener("submit", () => {
  const input = document.getElementById("key");
  keepKey(input.value.trim());
  input.value = "";
  begin();
});
new ResizeObserver(charts).observe(document.getElementById("spend"));

const asked = place();
const radio = document.querySelector(`#periods input[value="${CSS.escape(asked.period)}"]`);
if (radio) {
  radio.checked = true;
  state.period = asked.period;
}
begin();
if (asked.id) {
  document.getElementById("find-id").value = asked.id;
  find(asked.id);
}
