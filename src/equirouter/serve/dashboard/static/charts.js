// Bars over time as SVG, drawn in the pixels that are there, with a line that reads the bar under
// the pointer or the arrow keys, and the same numbers as a table.

import { el, number, svg, swatch, table } from "./dom.js";
import { count, money, percent, roundMoney, span, tick } from "./format.js";

const HEIGHT = 190;
const MARGIN = { top: 10, right: 8, bottom: 22, left: 52 };

// Makes a chart in a node: draw(frame) adds what is in it, read(slice) says it in words.
function chart(node, { label, data, draw, top, ticks, read, legend, rows }) {
  const width = Math.max(node.clientWidth, 260);
  const inner = { width: width - MARGIN.left - MARGIN.right,
    height: HEIGHT - MARGIN.top - MARGIN.bottom };
  const step = inner.width / data.slices.length;
  const x = (index) => MARGIN.left + index * step;
  const y = (value) => MARGIN.top + inner.height * (1 - (top ? value / top : 0));
  const gap = Math.min(step * 0.2, 3);
  const frame = { x: (index) => x(index) + gap / 2, y, width: Math.max(step - gap, 1) };
  const says = el("p", { class: "says", "aria-live": "polite" });
  const still = () => says.replaceChildren(legend ? legend()
    : "Point at a bar, or use the arrow keys, to read it.");
  const pointer = svg("rect", { class: "pointer", y: MARGIN.top, height: inner.height,
    width: step, visibility: "hidden" });
  const plot = svg("svg", { width, height: HEIGHT, role: "img", tabindex: 0,
    "aria-label": `${label}. Arrow keys read one bar after the other.` },
    ticks.map(([value, text]) => [
      svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value),
        y2: y(value) }),
      svg("text", { class: "tick", x: MARGIN.left - 6, y: y(value) + 4, "text-anchor": "end" },
        text)]),
    times(data, x, width),
    draw(frame),
    pointer);
  reading(plot, pointer, { data, says, read, x, step, still });
  still();
  const open = node.querySelector("details")?.open;
  node.replaceChildren(plot, says, el("details", { open },
    el("summary", {}, "As a table"), el("div", { class: "scroll" }, rows())));
}

function times(data, x, width) {
  const most = Math.max(2, Math.floor((width - MARGIN.left) / 90));
  const every = Math.ceil(data.slices.length / most);
  const texts = [];
  let last = "";
  for (let index = 0; index < data.slices.length; index += every) {
    const text = tick(data.slices[index].start, data.period);
    if (text !== last) {
      texts.push(svg("text", { class: "tick", x: x(index), y: HEIGHT - 6 }, text));
    }
    last = text;
  }
  return texts;
}

function reading(plot, pointer, { data, says, read, x, step, still }) {
  let at = data.slices.length;
  const go = (index) => {
    at = Math.min(Math.max(index, 0), data.slices.length - 1);
    const slice = data.slices[at];
    pointer.setAttribute("x", x(at));
    pointer.setAttribute("visibility", "visible");
    says.replaceChildren(el("b", {}, span(slice.start, data.step, data.period)), " ", read(slice));
  };
  const rest = () => {
    pointer.setAttribute("visibility", "hidden");
    still();
  };
  plot.addEventListener("pointermove", (event) => {
    const left = event.clientX - plot.getBoundingClientRect().left - MARGIN.left;
    if (left >= 0) go(Math.floor(left / step));
  });
  plot.addEventListener("pointerleave", rest);
  plot.addEventListener("blur", rest);
  plot.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: data.slices.length - 1 };
    if (!(event.key in to)) return;
    event.preventDefault();
    go(to[event.key]);
  });
}

// The top of an axis for a largest value, and round ticks below it.
function axis(largest) {
  if (!(largest > 0)) return [1, [0]];
  const power = 10 ** Math.floor(Math.log10(largest));
  const unit = [0.2, 0.5, 1, 2, 5].find((one) => largest <= one * power * 4) * power;
  const ticks = [];
  for (let value = 0; value <= largest; value += unit) ticks.push(value);
  return [largest * 1.05, ticks];
}

// What the strongest model would have cost, with the requests for which that is not known as they are.
const strongest = (slice) => slice.cost_usd + slice.saved_usd;

export function spendChart(node, data) {
  const largest = Math.max(0, ...data.slices.map((one) => Math.max(one.cost_usd, strongest(one))));
  const [top, ticks] = axis(largest);
  chart(node, {
    label: "Spend per step of time, and what always using the strongest model would have cost",
    data, top,
    ticks: ticks.map((value) => [value, roundMoney(value)]),
    draw: ({ x, y, width }) => data.slices.map((slice, index) => [
      svg("rect", { class: "strongest", x: x(index), width, y: y(strongest(slice)),
        height: Math.max(y(0) - y(strongest(slice)), 0) }),
      svg("rect", { class: "spent", x: x(index), width, y: y(slice.cost_usd),
        height: Math.max(y(0) - y(slice.cost_usd), 0) })]),
    read: (slice) => `spent ${money(slice.cost_usd)}, always-strongest ${money(strongest(slice))}, `
      + `${count(slice.requests)} requests`,
    legend,
    rows: () => table("Spend per step of time",
      ["Time", number("Spent"), number("Always strongest"), number("Requests"), number("Errors")],
      data.slices.filter((one) => one.requests).map((one) => [
        span(one.start, data.step, data.period), number(money(one.cost_usd)),
        number(money(strongest(one))), number(count(one.requests)), number(count(one.errors))])),
  });
}

function legend() {
  const key = (kind, text) => el("span", { class: "key" }, svg("svg", { class: "swatch",
    viewBox: "0 0 10 10", "aria-hidden": "true" },
  svg("rect", { class: kind, width: 10, height: 10, rx: 2 })), text);
  return el("span", { class: "legend" }, key("spent", "spent"),
    key("strongest", "the same tokens with the strongest model"));
}

export function shareChart(node, data) {
  const models = data.models.filter((one) => data.slices.some((part) => part.calls[one.name]));
  const sums = new Map(models.map(({ name }) => [name,
    data.slices.reduce((sum, part) => sum + (part.calls[name] || 0), 0)]));
  const all = [...sums.values()].reduce((a, b) => a + b, 0);
  const total = (slice) => Object.values(slice.calls).reduce((a, b) => a + b, 0);
  chart(node, {
    label: "Share of the answers by model and step of time",
    data, top: 1,
    ticks: [0, 0.25, 0.5, 0.75, 1].map((value) => [value, percent(value)]),
    draw: ({ x, y, width }) => data.slices.map((slice, index) => {
      let below = 0;
      const sum = total(slice);
      return models.filter(({ name }) => slice.calls[name]).map(({ name, colour }) => {
        const share = slice.calls[name] / sum;
        const rect = svg("rect", { class: "part", x: x(index), width, fill: colour,
          y: y(below + share), height: Math.max(y(below) - y(below + share), 0) });
        below += share;
        return rect;
      });
    }),
    read: (slice) => (total(slice) ? models.filter(({ name }) => slice.calls[name])
      .map(({ name }) => `${name} ${percent(slice.calls[name] / total(slice))}`).join(", ")
      : "no answers"),
    rows: () => table("Answers by model and step of time",
      ["Time", ...models.map(({ name }) => number(name))],
      data.slices.filter(total).map((one) => [span(one.start, data.step, data.period),
        ...models.map(({ name }) => number(count(one.calls[name] || 0)))])),
  });
  node.querySelector("details").before(el("ul", { class: "models" }, models.map(({ name, colour }) =>
    el("li", {}, swatch(colour), el("span", { class: "name" }, name),
      name === data.strongest ? el("span", { class: "tag" }, "strongest") : null,
      el("b", {}, percent(sums.get(name) / all)),
      el("span", { class: "muted" }, count(sums.get(name)))))));
}
