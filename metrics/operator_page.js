// SPDX-License-Identifier: Apache-2.0
// Reads /metrics once a second and draws it. What the server does not export is "unknown", never 0.
"use strict";

const HISTORY = 120;  // samples of each chart
const EVENTS = 30;
const TIME_LIMIT_MS = 5000;

// Returns a map from the name of a metric to its samples, [{labels, value}].
function parse(text) {
  const metrics = new Map();
  for (const line of text.split("\n")) {
    const m = /^([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)/.exec(line);
    if (m === null) continue;
    const labels = {};
    for (const l of (m[2] || "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
      labels[l[1]] = l[2].replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c));
    }
    const value = m[3] === "+Inf" ? Infinity : m[3] === "-Inf" ? -Infinity : Number(m[3]);
    if (!metrics.has(m[1])) metrics.set(m[1], []);
    metrics.get(m[1]).push({ labels, value });
  }
  return metrics;
}

const all = (metrics, name) => (metrics && metrics.get(name)) || [];

const matches = (sample, labels) =>
  Object.entries(labels).every(([k, v]) => sample.labels[k] === v);

// Returns the sum of the samples with these labels; NaN, which means unknown, if there are none.
function sum(metrics, name, labels = {}) {
  const found = all(metrics, name).filter((s) => matches(s, labels));
  return found.length === 0 ? NaN : found.reduce((total, s) => total + s.value, 0);
}

// Returns how much a counter has grown. NaN if it is new, or smaller because the server restarted.
function growth(now, before, name, labels = {}) {
  const by = sum(now, name, labels) - sum(before, name, labels);
  return by >= 0 ? by : NaN;
}

// Returns the quantile of what a histogram has observed between two answers, interpolated within
// its bucket as Prometheus does it. NaN if nothing was observed.
function quantile(now, before, name, q) {
  const edges = [...new Set(all(now, name + "_bucket").map((s) => s.labels.le))];
  const upper = (le) => (le === "+Inf" ? Infinity : Number(le));
  edges.sort((a, b) => upper(a) - upper(b));
  const counts = edges.map((le) => growth(now, before, name + "_bucket", { le }));
  const total = counts[counts.length - 1];
  if (!(total > 0)) return NaN;
  let low = 0, below = 0;
  for (let i = 0; i < edges.length; ++i) {
    const high = upper(edges[i]);
    if (counts[i] >= q * total) {
      if (high === Infinity) return low;
      return low + (high - low) * ((q * total - below) / Math.max(counts[i] - below, 1e-9));
    }
    low = high;
    below = counts[i];
  }
  return NaN;
}

// Returns what an hour of this server costs, as the rules of deploy/prometheus do: a share of the prices
// and the energy. NaN if a price, the tariff or the power is unknown.
function dollarsPerHour(n) {
  const cost = (what) => sum(n, "ese_cost_" + what);
  const hourly = (what) => cost(what + "_price_dollars") / cost(what + "_life_years") / 8766;
  const cards = all(n, "ese_card_up").length;
  const capital = hourly("server") * cost("machine_share_ratio") + (cards > 0 ? cards * hourly("card") : 0);
  const energy = sum(n, "ese_power_watts") / 1000 * cost("tariff_dollars_per_kwh") * cost("pue");
  return capital * (1 + cost("overhead_ratio")) + energy;
}

function show(value, digits, unit) {
  if (!Number.isFinite(value)) return "unknown";
  return value.toLocaleString("en", { maximumFractionDigits: digits }) + (unit ? " " + unit : "");
}

// Each value is a function of two answers of the server and the seconds between them.
const CHARTS = [
  { id: "streams", title: "Open streams", unit: "", digits: 0, series: [
    { name: "", value: (n) => sum(n, "ese_streams") }] },
  { id: "latency", title: "From chunk to answer", unit: "ms", digits: 1, series: [
    { name: "p50", value: (n, b) => 1e3 * quantile(n, b, "ese_chunk_seconds", 0.5) },
    { name: "p99", value: (n, b) => 1e3 * quantile(n, b, "ese_chunk_seconds", 0.99) }] },
  { id: "fill", title: "Streams per batch", unit: "", digits: 1, series: [
    { name: "", value: (n, b) => {
      const batches = growth(n, b, "ese_batch_lanes_count");
      return batches > 0 ? growth(n, b, "ese_batch_lanes_sum") / batches : NaN;
    } }] },
  { id: "frames", title: "Frames per second", unit: "", digits: 0, series: [
    { name: "", value: (n, b, s) => growth(n, b, "ese_frames_total") / s }] },
  { id: "processor", title: "Processors in use", unit: "", digits: 2, series: [
    { name: "", value: (n, b, s) => growth(n, b, "process_cpu_seconds_total") / s }] },
  { id: "load", title: "Load", unit: "%", digits: 0, series: [
    { name: "", value: (n) => 100 * sum(n, "ese_load_ratio") }] },
  { id: "watts", title: "Power", unit: "W", digits: 1, series: [
    { name: "", value: (n) => sum(n, "ese_power_watts") }] },
  { id: "cost", title: "Cost of 1,000 stream-hours", unit: "$", digits: 3, series: [
    { name: "", value: (n) => 1e3 * dollarsPerHour(n) / sum(n, "ese_streams") }] },
];

// Counters whose growth is an event.
const EVENT_COUNTERS = [
  ["ese_streams_refused_total", "streams were refused"],
  ["ese_batch_failures_total", "batches failed"],
  ["ese_batch_overruns_total", "batches took too long"],
  ["ese_card_faults_total", "faults of a card"],
  ["ese_connections_refused_total", "connections were refused"],
  ["ese_log_lines_dropped_total", "log lines were dropped"],
  ["ese_model_loads_total", "attempts to load a model"],
];

const byId = (id) => document.getElementById(id);

function element(tag, text = "", attributes = {}) {
  const e = document.createElement(tag);
  e.textContent = text;
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  return e;
}

function makeCharts() {
  for (const chart of CHARTS) {
    const box = element("article", "", { class: "chart", "aria-labelledby": chart.id + "-title" });
    chart.text = element("p", "unknown", { class: "value", id: chart.id });
    chart.svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    chart.svg.setAttribute("viewBox", "0 0 100 100");
    chart.svg.setAttribute("preserveAspectRatio", "none");
    chart.svg.setAttribute("aria-hidden", "true");
    chart.scale = element("p", "", { class: "scale" });
    box.append(element("h3", chart.title, { id: chart.id + "-title" }), chart.text, chart.svg, chart.scale);
    byId("charts").append(box);
    for (const series of chart.series) series.history = [];
  }
}

function draw(chart) {
  chart.text.replaceChildren(...chart.series.flatMap((s, i) => [i === 0 ? "" : " ", element("span",
    (s.name ? s.name + " " : "") + show(s.history.at(-1), chart.digits, chart.unit),
    s.name ? { class: "key k" + i } : {})]));
  const known = chart.series.flatMap((s) => s.history).filter(Number.isFinite);
  const top = Math.max(...known, 1e-9);
  chart.scale.textContent = known.length === 0 ? "no value yet"
    : "0 to " + show(top, chart.digits, chart.unit);
  chart.svg.replaceChildren();
  chart.series.forEach((series, i) => {
    let points = [];
    const end = () => {
      if (points.length > 0) {
        const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
        line.setAttribute("class", "s" + i);
        line.setAttribute("points", points.join(" "));
        chart.svg.append(line);
      }
      points = [];
    };
    series.history.forEach((value, k) => {  // a gap where the value is unknown
      if (!Number.isFinite(value)) return end();
      const x = 100 * (HISTORY - series.history.length + k) / (HISTORY - 1);
      points.push(x.toFixed(2) + "," + (98 - 94 * value / top).toFixed(2));
    });
    end();
  });
}

// Replaces a table's rows only if they have changed, so that a screen reader keeps its place.
function fill(id, head, rows, none) {
  const key = JSON.stringify(rows);
  const table = byId(id);
  if (table.dataset.key === key) return;
  table.dataset.key = key;
  const top = element("tr");
  for (const name of head) top.append(element("th", name, { scope: "col" }));
  const thead = element("thead");
  thead.append(top);
  const body = element("tbody");
  for (const row of rows) {
    const tr = element("tr");
    row.forEach((text, i) => tr.append(element(i === 0 ? "th" : "td", text, i === 0 ? { scope: "row" } : {})));
    body.append(tr);
  }
  if (rows.length === 0) {
    const tr = element("tr");
    tr.append(element("td", none, { colspan: head.length }));
    body.append(tr);
  }
  table.replaceChildren(thead, body);
}

const yes = (value, good, bad) => (Number.isNaN(value) ? "unknown" : value > 0 ? good : bad);

function showTables(now, before, seconds) {
  fill("models", ["Model", "Version", "New streams", "Streams", "Working channels", "Refused"],
    all(now, "ese_streams").map(({ labels, value }) => [
      labels.model, labels.version || "unknown",
      yes(sum(now, "ese_model_takes_streams", labels), "taken", "not taken"), show(value, 0),
      show(sum(now, "ese_channels_working", labels), 0),
      show(sum(now, "ese_streams_refused_total", labels), 0)]),
    "The server has no model.");
  fill("channels", ["Channel", "Model", "Busy", "Batches", "Failures", "Overruns"],
    all(now, "ese_batches_total").map(({ labels, value }) => [
      labels.channel, labels.model,
      show(100 * growth(now, before, "ese_channel_busy_seconds_total", labels) / seconds, 0, "%"),
      show(value, 0), show(sum(now, "ese_batch_failures_total", labels), 0),
      show(sum(now, "ese_batch_overruns_total", labels), 0)]),
    "The server has no channel.");
  fill("cards", ["Card", "Address", "State", "Temperature", "Power", "Faults"],
    all(now, "ese_card_up").map(({ labels, value }) => {
      const card = { card: labels.card };
      const hottest = Math.max(...all(now, "ese_card_celsius").filter((s) => matches(s, card)).map((s) => s.value));
      const hot = sum(now, "ese_card_too_hot", card) > 0;
      return [labels.card, labels.bdf || "unknown", value === 0 ? "down" : hot ? "too hot" : "up",
        show(hottest, 0, "°C"), show(sum(now, "ese_power_watts", card), 1, "W"),
        show(sum(now, "ese_card_faults_total", card), 0)];
    }),
    "The server has no card.");
}

let events = [];

function addEvent(text) {
  events = [new Date().toLocaleTimeString("en-GB") + " " + text, ...events].slice(0, EVENTS);
  byId("events").replaceChildren(...events.map((e) => element("li", e)));
}

function findEvents(now, before) {
  for (const [name, text] of EVENT_COUNTERS) {
    for (const { labels } of all(now, name)) {
      const by = growth(now, before, name, labels);
      const where = Object.entries(labels).map(([k, v]) => k + " " + v).join(", ");
      if (by > 0) addEvent(by + " " + text + (where ? ": " + where : ""));
    }
  }
}

let answer = null, answered = 0;

function setState(state, text) {
  const line = byId("state");
  document.body.classList.toggle("lost", state === "lost");
  if (line.dataset.state === state) return;  // announced once, not every second
  if (line.dataset.state !== "waiting") addEvent(text);
  line.dataset.state = state;
  line.textContent = text;
}

async function update() {
  const before = answer, then = answered;
  try {
    const response = await fetch("metrics", { cache: "no-store", signal: AbortSignal.timeout(TIME_LIMIT_MS) });
    if (!response.ok) throw new Error("status " + response.status);
    answer = parse(await response.text());
    answered = performance.now();
  } catch {
    answer = null;  // no differences over the gap
    setState("lost", "The server does not answer. The figures below are the last known ones.");
    return;
  }
  const seconds = (answered - then) / 1000;
  setState("live", "The server answers.");
  const build = all(answer, "ese_build_info")[0];
  byId("build").textContent = "version " + (build ? build.labels.version : "unknown");
  for (const chart of CHARTS) {
    for (const series of chart.series) {
      series.history.push(series.value(answer, before, seconds));
      if (series.history.length > HISTORY) series.history.shift();
    }
    draw(chart);
  }
  showTables(answer, before, seconds);
  if (before !== null) findEvents(answer, before);
}

makeCharts();
(async () => {
  for (;;) {
    if (!document.hidden) await update();
    await new Promise((resolve) => { setTimeout(resolve, 1000); });
  }
})();
