// Elements without HTML strings: whatever comes from a request is text and stays text.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(3).filter((child) => child !== null && child !== undefined));
  return node;
}

export function el(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

export function show(id, ...children) {
  document.getElementById(id).replaceChildren(
    ...children.flat(3).filter((child) => child !== null && child !== undefined));
}

// A small square in a model's colour; its name always stands beside it.
export function swatch(colour) {
  return svg("svg", { class: "swatch", viewBox: "0 0 10 10", "aria-hidden": "true" },
    svg("rect", { width: 10, height: 10, rx: 2, fill: colour }));
}

// A bar over a share of the width, from `from` on, with marks: [{at, kind}]. colour: a model's, or
// the name of a class.
export function bar(share, { colour, kind = "bar-fill", marks = [], from = 0 } = {}) {
  const percent = (value) => `${Math.min(Math.max(value, 0), 1) * 100}%`;
  const line = (at, name) => svg("line", { class: name, x1: percent(at), x2: percent(at), y1: 0,
    y2: "100%" });
  return svg("svg", { class: "bar", "aria-hidden": "true" },
    svg("rect", { class: "bar-ground", width: "100%", height: "100%", rx: 3 }),
    svg("rect", { x: percent(from), width: percent(Math.min(share, 1 - from)), height: "100%", rx: 3,
      fill: colour, class: colour ? null : kind }),
    marks.map(({ at, kind: name }) => [line(at, "halo"), line(at, `mark ${name}`)]));
}

// Cells are text or nodes, or {is, as}: what, and its class. The heads label the cells where a
// narrow page stacks them. notes: a text below some of the rows, over all columns.
export function table(caption, heads, rows, { kind, notes = [] } = {}) {
  const labels = heads.map((head) => head.is ?? head);
  const line = (row, isNoted) => el("tr", { class: isNoted ? "noted" : null },
    row.map((value, index) => cell(index ? "td" : "th", value,
      { scope: index ? null : "row", "data-label": labels[index] })));
  const note = (text) => (text ? el("tr", { class: "note" },
    el("td", { colspan: heads.length, class: "muted" }, text)) : null);
  return el("table", { class: kind },
    el("caption", { class: "unseen" }, caption),
    el("thead", {}, el("tr", {}, heads.map((head) => cell("th", head, { scope: "col" })))),
    el("tbody", {}, rows.map((row, index) => [line(row, notes[index]), note(notes[index])])));
}

function cell(tag, value, attributes) {
  const isSpecial = value !== null && typeof value === "object" && "is" in value;
  return isSpecial ? el(tag, { ...attributes, class: value.as }, value.is) : el(tag, attributes, value);
}

// A number in a table: to the right.
export const number = (is) => ({ is, as: "number" });
