// Numbers and times as people read them.

const NONE = "–";

export function money(usd) {
  if (usd === null || usd === undefined) return NONE;
  const size = Math.abs(usd);
  const sign = usd < 0 ? "−$" : "$";
  if (size === 0) return "$0";
  if (size >= 1000) return sign + Math.round(size).toLocaleString("en-US");
  if (size >= 1) return sign + size.toFixed(2);
  if (size >= 0.01) return sign + size.toFixed(3);
  return sign + trimmed(size.toPrecision(2), size);
}

// 0.000012 and not 1.2e-5
function trimmed(text, size) {
  return text.includes("e") ? size.toFixed(Math.min(1 - Math.floor(Math.log10(size)), 12)) : text;
}

// Of a tick on an axis: no zeros at the end.
export function roundMoney(usd) {
  return `$${Number(usd.toPrecision(2)).toLocaleString("en-US", { maximumFractionDigits: 12 })}`;
}

// A setting that training found has more digits than anybody reads.
export const short = (value) => String(Number(value.toPrecision(4)));

export function count(value) {
  if (value === null || value === undefined) return NONE;
  if (value >= 1e6) return `${(value / 1e6).toFixed(value >= 1e7 ? 0 : 1)} M`;
  return value.toLocaleString("en-US");
}

export function percent(share, digits) {
  if (share === null || share === undefined || Number.isNaN(share)) return NONE;
  const value = share * 100;
  const places = value === 0 ? 0 : digits ?? (value > 0 && value < 1 ? 1 : 0);
  return `${value.toFixed(places)} %`;
}

export function milliseconds(ms) {
  if (ms === null || ms === undefined) return NONE;
  if (ms < 1) return `${ms.toFixed(2)} ms`;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60000) return `${(ms / 1000).toFixed(ms < 10000 ? 1 : 0)} s`;
  return `${Math.floor(ms / 60000)} min ${Math.round((ms % 60000) / 1000)} s`;
}

const CLOCK = new Intl.DateTimeFormat(undefined,
  { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const SHORT_CLOCK = new Intl.DateTimeFormat(undefined,
  { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

export const clock = (seconds) => CLOCK.format(seconds * 1000);
export const shortClock = (seconds) => SHORT_CLOCK.format(seconds * 1000);
export const day = (seconds) => DAY.format(seconds * 1000);

export function when(seconds, now) {
  const isToday = day(seconds) === day(now);
  return isToday ? clock(seconds) : `${day(seconds)} ${clock(seconds)}`;
}

export function tick(seconds, period) {
  if (period === "1h" || period === "24h") return shortClock(seconds);
  return day(seconds);
}

export function span(start, step, period) {
  const end = start + step;
  const date = period === "1h" ? "" : `${day(start)} `;
  return `${date}${shortClock(start)}–${shortClock(end)}`;
}

export function plural(n, one, many) {
  return `${count(n)} ${n === 1 ? one : many}`;
}
