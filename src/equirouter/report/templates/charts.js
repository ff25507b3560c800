"use strict";
const data = JSON.parse(document.getElementById("page-data").textContent);
const DASHES = { solid: "", dash: "8 4", dot: "2 4", dashdot: "9 3 2 3" };
const HEIGHT = 380;
const MARGIN = { left: 62, right: 14, top: 10, bottom: 46 };

function node(kind, attributes = {}, ...children) {
  const made = document.createElement(kind);
  Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
  made.append(...children);
  return made;
}

function drawn(kind, attributes = {}, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", kind);
  Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
  if (text) made.textContent = text;
  return made;
}

const short = (value) => Number(value.toPrecision(3)).toString();
const percent = (value) => `${(100 * value).toFixed(1)} %`;
const usd = (value) => `${value >= 1000 ? Math.round(value).toLocaleString("en") : value.toPrecision(3)} USD`;

function ticks(low, high, most) {
  const raw = (high - low) / most;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = unit * [1, 2, 5, 10].find((factor) => factor * unit >= raw);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step / 1e6; value += step) {
    found.push(Math.abs(value) < step / 1e6 ? 0 : value);
  }
  return found;
}

function span(values) {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const pad = (high - low || Math.abs(high) || 1) * 0.04;
  return [low - pad, high + pad];
}

/* Lines of equally long x and y, drawn anew when the page gets another width.
   spec: lines (name, colour, dash, thin, x, y), xTitle, yTitle, yFormat, yRange, say(line, i). */
class Chart {
  constructor(box, spec) {
    Object.assign(this, { box, spec, hidden: new Set(), mark: null });
    this.legend = node("div", { class: "legend" });
    this.plot = drawn("svg", { role: "img", "aria-label": spec.label });
    this.readout = node("p", { class: "readout note" });
    box.append(this.plot, this.readout, this.legend);
    spec.lines.forEach((line) => this.legend.append(this.key(line)));
    this.plot.addEventListener("pointermove", (event) => this.point(event));
    this.plot.addEventListener("pointerleave", () => this.point(null));
    new ResizeObserver(() => this.draw()).observe(box);
  }

  key(line) {
    const swatch = drawn("svg", { width: 26, height: 10, "aria-hidden": "true" });
    swatch.append(drawn("line", {
      x1: 0, y1: 5, x2: 26, y2: 5, stroke: line.colour, "stroke-dasharray": DASHES[line.dash] || "",
      "stroke-width": line.thin ? 1.6 : 3,
    }));
    const button = node("button", { type: "button", "aria-pressed": "true" }, swatch, line.name);
    button.addEventListener("click", () => {
      const gone = this.hidden.delete(line.name) ? false : Boolean(this.hidden.add(line.name));
      button.setAttribute("aria-pressed", String(!gone));
      this.draw();
    });
    return button;
  }

  shown() {
    return this.spec.lines.filter((line) => !this.hidden.has(line.name));
  }

  draw() {
    const width = this.box.clientWidth;
    if (width === 0) return; // folded away
    const lines = this.shown();
    const xs = span(lines.flatMap((line) => line.x));
    const ys = this.spec.yRange || span(lines.flatMap((line) => line.y));
    const inner = { width: width - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - MARGIN.bottom };
    this.place = {
      x: (value) => MARGIN.left + (inner.width * (value - xs[0])) / (xs[1] - xs[0]),
      y: (value) => MARGIN.top + inner.height * (1 - (value - ys[0]) / (ys[1] - ys[0])),
    };
    this.plot.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.plot.setAttribute("height", HEIGHT);
    this.plot.replaceChildren(...this.axes(xs, ys, width), ...lines.flatMap((line) => this.line(line)));
    this.dot = drawn("circle", { r: 5, class: "dot", visibility: "hidden" });
    this.plot.append(this.dot, ...this.marked());
  }

  axes(xs, ys, width) {
    const made = [];
    for (const value of ticks(...ys, 6)) {
      const y = this.place.y(value);
      made.push(drawn("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y, class: "grid" }));
      made.push(drawn("text", { x: MARGIN.left - 8, y: y + 4, "text-anchor": "end" }, this.spec.yFormat(value)));
    }
    for (const value of ticks(...xs, width < 520 ? 4 : 8)) {
      const x = this.place.x(value);
      made.push(drawn("text", { x, y: HEIGHT - MARGIN.bottom + 18, "text-anchor": "middle" }, short(value)));
    }
    const middle = MARGIN.top + (HEIGHT - MARGIN.top - MARGIN.bottom) / 2;
    made.push(drawn("text", { x: (MARGIN.left + width) / 2, y: HEIGHT - 8, "text-anchor": "middle", class: "title" }, this.spec.xTitle));
    made.push(drawn("text", { x: 0, y: 0, "text-anchor": "middle", class: "title", transform: `translate(14 ${middle}) rotate(-90)` }, this.spec.yTitle));
    return made;
  }

  line(line) {
    const points = line.x.map((x, i) => `${this.place.x(x).toFixed(1)},${this.place.y(line.y[i]).toFixed(1)}`);
    if (line.area) {
      const back = line.area.map((y, i) => `${this.place.x(line.x[i]).toFixed(1)},${this.place.y(y).toFixed(1)}`);
      return [drawn("polygon", { points: [...points, ...back.reverse()].join(" "), fill: line.colour, class: "area" })];
    }
    if (new Set(points).size === 1) {
      const [x, y] = points[0].split(",");
      return [drawn("rect", { x: x - 5, y: y - 5, width: 10, height: 10, fill: line.colour, transform: `rotate(45 ${x} ${y})` })];
    }
    return [drawn("polyline", {
      points: points.join(" "), fill: "none", stroke: line.colour,
      "stroke-width": line.thin ? 1.6 : 2.6, "stroke-dasharray": DASHES[line.dash] || "",
    })];
  }

  marked() {
    if (!this.mark || !this.place) return [];
    const at = { cx: this.place.x(this.mark.x), cy: this.place.y(this.mark.y) };
    return [drawn("circle", { ...at, r: 8, class: "mark" })];
  }

  point(event) {
    if (!this.place) return;
    let best = null;
    if (event) {
      const box = this.plot.getBoundingClientRect();
      const [px, py] = [event.clientX - box.left, event.clientY - box.top];
      this.shown().forEach((line) => line.x.forEach((x, i) => {
        const away = Math.hypot(this.place.x(x) - px, this.place.y(line.y[i]) - py);
        if (!best || away < best.away) best = { line, i, away };
      }));
    }
    this.readout.textContent = best ? this.spec.say(best.line, best.i) : "";
    this.dot.setAttribute("visibility", best ? "visible" : "hidden");
    if (best) {
      this.dot.setAttribute("cx", this.place.x(best.line.x[best.i]));
      this.dot.setAttribute("cy", this.place.y(best.line.y[best.i]));
    }
  }
}
