// The page: one query, its answers blind; every key is stored before the next one counts.
const token = location.hash.slice(1);
const WORDS = [[0, "wrong", "1"], [0.5, "half", "2"], [1, "right", "3"]];
let query = null;
let here = 0;
let waiting = Promise.resolve();

const element = (id) => document.getElementById(id);

async function ask(path, body) {
  const response = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

// one after the other, so that no key overtakes another; what was meant for a query that is gone
// meanwhile is dropped
function onShown(work) {
  const shown = query;
  return then(async () => {
    if (shown !== null && query === shown) await work();
  });
}

function then(work) {
  waiting = waiting.then(work).catch((error) => end(`This was not stored: ${error.message}`));
  return waiting;
}

function end(text) {
  element("end").textContent = text;
  element("end").hidden = false;
}

async function next() {
  const state = await counted();
  show(state.query);
  if (state.query === null) end("All queries are scored. Thank you: this page can be closed.");
}

async function counted() {
  const state = await ask("api/next");
  element("progress").textContent = `${state.done} of ${state.total} queries, as ${state.person}`;
  element("bar").max = Math.max(state.total, 1);
  element("bar").value = state.done;
  return state;
}

function show(given) {
  query = given;
  here = given === null ? 0 : Math.max(0, given.answers.findIndex((one) => one.score === null));
  element("query").textContent = given === null ? "" : given.text;
  element("query").scrollTop = 0;
  element("reference").textContent = given?.reference ?? "";
  element("known").hidden = !given?.reference;
  reveal(false);
  draw();
}

// hidden until it is asked for, so that it sways nobody who would rather judge alone
function reveal(shown = element("reference").hidden) {
  element("reference").hidden = !(shown && query?.reference);
  element("reveal").setAttribute("aria-expanded", String(!element("reference").hidden));
}

function draw() {
  const list = element("answers");
  list.replaceChildren(...(query === null ? [] : query.answers.map(item)));
  list.querySelector(".here")?.scrollIntoView({ block: "nearest" });
}

function item(answer, place) {
  const row = document.createElement("li");
  row.className = place === here ? "here" : "";
  row.setAttribute("aria-label", `Answer ${place + 1}`);
  const text = document.createElement("pre");
  text.textContent = answer.text;
  const scores = document.createElement("div");
  scores.className = "scores";
  for (const [score, word, key] of WORDS) {
    const button = document.createElement("button");
    button.append(word, " ", Object.assign(document.createElement("kbd"), { textContent: key }));
    button.setAttribute("aria-pressed", String(answer.score === score));
    button.onclick = () => rate(score, place);
    scores.append(button);
  }
  const best = document.createElement("button");
  best.append("best ", Object.assign(document.createElement("kbd"), { textContent: "b" }));
  best.onclick = () => choose(place);
  scores.append(best);
  row.append(text, scores);
  return row;
}

// place: none is where the mark stands once the keys before are stored
function rate(score, place = null) {
  return onShown(async () => {
    const at = place ?? here;
    await ask("api/label", { query: query.id, answer: at, score });
    query.answers[at].score = score;
    await moveOn();
  });
}

// the better one is right, and all others are wrong
function choose(place = null) {
  return onShown(async () => {
    const best = place ?? here;
    for (let other = 0; other < query.answers.length; other += 1) {
      const score = other === best ? 1 : 0;
      await ask("api/label", { query: query.id, answer: other, score });
      query.answers[other].score = score;
    }
    await moveOn();
  });
}

async function moveOn() {
  const open = query.answers.findIndex((one) => one.score === null);
  if (open < 0) return next();
  here = open;
  return draw();
}

const undo = () => then(async () => {
  const { query: last } = await ask("api/undo", {});
  if (last !== null) {
    await counted();
    element("end").hidden = true;
    show(last);
  }
});

const skip = () => onShown(async () => {
  await ask("api/skip", { query: query.id });
  await next();
});

const move = (step) => onShown(async () => {
  here = Math.min(Math.max(here + step, 0), query.answers.length - 1);
  draw();
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const keys = {
    1: () => rate(0), 2: () => rate(0.5), 3: () => rate(1), b: () => choose(), u: undo, s: skip, j: () => move(1), k: () => move(-1), r: () => reveal(),
    ArrowDown: () => move(1), ArrowUp: () => move(-1),
  };
  if (Object.hasOwn(keys, event.key)) {
    event.preventDefault();
    keys[event.key]();
  }
});
element("reveal").onclick = () => reveal();
element("undo").onclick = undo;
element("skip").onclick = skip;
then(next);
