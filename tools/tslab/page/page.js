// SPDX-License-Identifier: MIT
// The page of `tslab serve`: asks for snapshots and shows how they change. All text that comes from a
// process is put in as text, never as HTML. Without dygraphs the plots' tables are there alone.
"use strict";

const HISTORY = 600; // samples
const SERIES_MAX = 10; // in one plot; what is left goes together

const $ = (id) => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

// ---------------------------------------------------------------------------------------- for people

function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; Math.abs(value) >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit && Math.abs(value) < 100 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

function count(value) {
  const units = ["", " k", " M", " G", " T"];
  let unit = 0;
  for (; Math.abs(value) >= 10000 && unit < units.length - 1; unit++) value /= 1000;
  return `${Number.isInteger(value) ? value : value.toFixed(1)}${units[unit]}`;
}

function seconds(value) {
  if (value < 1 && value > 0) return `${Math.round(1000 * value)} ms`;
  if (value < 120) return `${Math.round(value)} s`;
  if (value < 7200) return `${Math.floor(value / 60)} min`;
  if (value < 172800) return `${Math.floor(value / 3600)} h`;
  return `${Math.floor(value / 86400)} days`;
}

const percent = (part, whole) => (whole ? `${((100 * part) / whole).toFixed(1)} %` : "–");
const countPerSecond = (value) => `${count(value)}/s`;
const bytesPerSecond = (value) => `${bytes(value)}/s`;

// ------------------------------------------------------------------------------------------- figures

const AGES = [
  ["under 1 s", 1],
  ["1 to 10 s", 10],
  ["10 s to 1 min", 60],
  ["1 to 10 min", 600],
  ["10 min to 1 h", 3600],
  ["over 1 h", Infinity],
];

function sum(rows, field) {
  return rows.reduce((total, row) => total + (row[field] || 0), 0);
}

function addTo(sums, name, value) {
  sums.set(name, (sums.get(name) || 0) + value);
}

// What one snapshot adds to the plots; rates need the one before.
function measure(now, before) {
  const apart = before ? (now.monotonic_ns - before.monotonic_ns) / 1e9 : 0;
  const rate = (field) => (apart > 0 ? Math.max(0, (now[field] - before[field]) / apart) : null);
  const classRate = (field) =>
    apart > 0 ? Math.max(0, (sum(now.classes, field) - sum(before.classes, field)) / apart) : null;
  const labels = new Map();
  const ages = new Map(AGES.map(([name]) => [name, 0]));
  const epochs = new Map();
  for (const epoch of now.epochs) {
    const held = epoch.estimated_rss_bytes;
    addTo(labels, epoch.label || "unlabeled", held);
    addTo(ages, AGES.find(([, below]) => epoch.age_sec < below)[0], held);
    epochs.set(epoch.epoch, held);
  }
  addTo(labels, "kept for reuse", now.retained_bytes);
  const missed = classRate("slow_path_cache_miss");
  const fresh = classRate("current_partial_null");
  return {
    time: new Date(now.timestamp),
    labels,
    ages,
    epochs,
    slow: new Map([
      ["new chunk needed", missed],
      ["fresh slab at hand", fresh === null ? null : Math.max(0, fresh - missed)],
      ["freed slots found", classRate("current_partial_full")],
      ["refused: epoch closed", rate("total_slow_epoch_closed")],
    ]),
    reclaimed: new Map([
      ["returned to the system", rate("total_madvise_bytes")],
      ["given up by threads", apart > 0 ? rate("chunks_returned") * 65536 : null],
      ["taken by threads", apart > 0 ? (rate("chunks_fresh") + rate("chunks_reused")) * 65536 : null],
    ]),
  };
}

const gap = (time) => ({
  time,
  labels: new Map(),
  ages: new Map(),
  epochs: new Map(),
  slow: new Map(),
  reclaimed: new Map(),
  gap: true,
});

// --------------------------------------------------------------------------------------------- plots

// Okabe and Ito's colours, told apart by most eyes; black and yellow by theme.
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8c8c3c", "#7b5ea7", "#a0522d", "#888888"];

// Its legend has inline styles, which the server's policy forbids; ours are the tables.
if (window.Dygraph) Dygraph.PLUGINS = Dygraph.PLUGINS.filter((plugin) => plugin !== Dygraph.Plugins.Legend);

// A plot with a table of its series, which is its legend and tells the same without a picture.
class Plot {
  constructor(parent, title, note, pick, format, stacked) {
    this.title = title;
    this.pick = pick;
    this.format = format;
    this.stacked = stacked;
    this.canvas = element("div", { class: "plot", role: "img" });
    this.body = element("tbody");
    this.head = element("th", { class: "number", scope: "col" }, "now");
    parent.append(
      element(
        "figure",
        {},
        element("figcaption", {}, title, element("span", {}, ` ${note}`)),
        window.Dygraph ? this.canvas : "",
        element(
          "table",
          { class: "legend" },
          element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "series"), this.head)),
          this.body,
        ),
      ),
    );
  }

  // The names to show: the largest of now, then of all times.
  choose(history) {
    const sizes = new Map();
    for (const sample of history)
      for (const [name, value] of this.pick(sample)) sizes.set(name, Math.max(sizes.get(name) || 0, value || 0));
    const names = [...sizes.keys()];
    if (names.length <= SERIES_MAX) return names;
    return names.sort((a, b) => sizes.get(b) - sizes.get(a)).slice(0, SERIES_MAX - 1).concat("others");
  }

  row(sample) {
    const values = this.pick(sample);
    const row = this.names.map((name) => (sample.gap ? null : values.has(name) ? values.get(name) : 0));
    if (this.names.at(-1) === "others") {
      let rest = 0;
      for (const [name, value] of values) if (!this.names.includes(name)) rest += value || 0;
      row[row.length - 1] = sample.gap ? null : rest;
    }
    return row;
  }

  show(history) {
    this.names = this.choose(history);
    this.rows = history.map((sample) => [sample.time, ...this.row(sample)]);
    if (this.names.length && window.Dygraph) this.draw();
    this.tell();
  }

  // The table, for the moment that the pointer is at, else now.
  tell() {
    const pointed = this.rows.find((one) => one[0].getTime() === this.moment);
    const row = pointed || this.rows.at(-1);
    this.head.textContent = pointed ? pointed[0].toLocaleTimeString() : "now";
    const said = this.names.map((name, i) => {
      const value = row && row[i + 1];
      return [name, value === null || value === undefined ? "–" : this.format(value)];
    });
    this.canvas.setAttribute("aria-label", `${this.title}: ${said.map((pair) => pair.join(" ")).join(", ")}`);
    this.body.replaceChildren(
      ...said.map(([name, text], i) =>
        element(
          "tr",
          {},
          element("th", { scope: "row", title: name }, swatch(COLOURS[i]), name),
          element("td", { class: "number" }, text),
        ),
      ),
    );
  }

  draw() {
    const style = getComputedStyle(document.documentElement);
    const options = {
      labels: ["time", ...this.names],
      colors: COLOURS.slice(0, this.names.length),
      axisLineColor: style.getPropertyValue("--line"),
      gridLineColor: style.getPropertyValue("--line"),
    };
    if (this.graph) {
      this.graph.updateOptions({ file: this.rows, ...options });
      return;
    }
    this.graph = new Dygraph(this.canvas, this.rows, {
      ...options,
      stackedGraph: this.stacked,
      fillGraph: this.stacked,
      fillAlpha: 0.45,
      strokeWidth: 1.8,
      includeZero: true,
      gridLineWidth: 0.5,
      highlightCircleSize: 3,
      axes: { y: { labelsKMG2: this.format !== countPerSecond, axisLabelWidth: 70, axisLabelFormatter: (value) => this.format(value) } },
      highlightCallback: (_event, time) => this.point(time),
      unhighlightCallback: () => this.point(null),
    });
  }

  point(time) {
    this.moment = time;
    this.tell();
  }
}

function swatch(colour) {
  const box = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const fill = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  box.setAttribute("class", "swatch");
  box.setAttribute("viewBox", "0 0 22 12");
  box.setAttribute("aria-hidden", "true");
  fill.setAttribute("width", "22");
  fill.setAttribute("height", "12");
  fill.setAttribute("fill", colour);
  box.append(fill);
  return box;
}

// -------------------------------------------------------------------------------------------- tables

const COLUMNS = [
  ["epoch_id", "epoch", (epoch) => epoch.epoch_id, String],
  ["label", "label", (epoch) => epoch.label || "–", String],
  ["state_detail", "state", (epoch) => epoch.state_detail, String],
  ["age_sec", "age", (epoch) => epoch.age_sec, seconds],
  ["refcount", "refcount", (epoch) => epoch.refcount, count],
  ["live_objects", "objects", (epoch) => epoch.live_objects, count],
  ["live_bytes", "live", (epoch) => epoch.live_bytes, bytes],
  ["estimated_rss_bytes", "held", (epoch) => epoch.estimated_rss_bytes, bytes],
];
const isText = (column) => column === "label" || column === "state_detail";

const view = { sort: "estimated_rss_bytes", down: true, filter: "", epoch: null, paused: false, process: null };

function makeHead() {
  $("epochs").querySelector("thead tr").replaceChildren(
    ...COLUMNS.map(([name, title]) => {
      const sorted = view.sort === name ? (view.down ? "descending" : "ascending") : undefined;
      const mark = sorted ? (view.down ? " ▼" : " ▲") : "";
      const button = element("button", { type: "button", "data-sort": name }, title + mark);
      button.addEventListener("click", () => {
        view.down = view.sort === name ? !view.down : !isText(name);
        view.sort = name;
        makeHead();
        showEpochs();
        $("epochs").querySelector(`[data-sort="${name}"]`).focus();
      });
      return element("th", { scope: "col", class: isText(name) ? "" : "number", "aria-sort": sorted }, button);
    }),
  );
}

function epochRow(epoch) {
  return element(
    "tr",
    {},
    ...COLUMNS.map(([name, , pick, format], i) => {
      const text = format(pick(epoch));
      if (i) return element("td", { class: isText(name) ? "" : "number" }, text);
      const button = element("button", { type: "button", "data-epoch": epoch.epoch, "aria-label": `Epoch ${text}` }, text);
      button.addEventListener("click", () => openDetail(epoch.epoch));
      return element("td", { class: "number" }, button);
    }),
  );
}

function showEpochs() {
  if (!last) return;
  const focused = document.activeElement && document.activeElement.dataset.epoch;
  const wanted = view.filter.toLowerCase();
  const [, , pick] = COLUMNS.find(([name]) => name === view.sort);
  const shown = last.epochs
    .filter((epoch) => `${epoch.label} ${epoch.state_detail}`.toLowerCase().includes(wanted))
    .sort((a, b) => {
      const x = pick(a), y = pick(b);
      return (x < y ? -1 : x > y ? 1 : a.epoch_id - b.epoch_id) * (view.down ? -1 : 1);
    });
  $("epochs").tBodies[0].replaceChildren(...shown.slice(0, 500).map(epochRow));
  $("epochs-count").textContent = `${shown.length} of ${last.epochs.length} open` + (shown.length > 500 ? ", the first 500 shown" : "");
  if (focused) {
    const again = $("epochs").querySelector(`[data-epoch="${focused}"]`);
    if (again) again.focus();
  }
}

function tiles(list, pairs) {
  list.replaceChildren(
    ...pairs.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))),
  );
}

function openDetail(id) {
  view.epoch = id;
  $("detail").hidden = false;
  detailPlot = new Plot($("detail-plot"), "Memory of this epoch", "held", (s) => new Map(s.epochs.has(id) ? [["held", s.epochs.get(id)]] : []), bytes, true);
  $("detail-plot").replaceChildren($("detail-plot").lastChild);
  showDetail();
  $("detail-title").focus();
  $("detail").scrollIntoView({ block: "nearest" });
}

function closeDetail() {
  const id = view.epoch;
  view.epoch = null;
  detailPlot = null;
  $("detail").hidden = true;
  const button = $("epochs").querySelector(`[data-epoch="${id}"]`);
  if (button) button.focus();
}

function place(domain) {
  if (domain.file) return `${domain.file}:${domain.line}${domain.function ? ` (${domain.function})` : ""}`;
  return domain.site || "a place that the library could not tell";
}

function showDetail() {
  if (view.epoch === null) return;
  const epoch = last.epochs.find((one) => one.epoch === view.epoch);
  if (!epoch) {
    $("detail-title").textContent = "This epoch is over.";
    return;
  }
  $("detail-title").textContent = `Epoch ${epoch.epoch_id}, “${epoch.label || "unlabeled"}”, ${epoch.state_detail}`;
  tiles($("detail-figures"), [
    ["age", seconds(epoch.age_sec)],
    ["held", bytes(epoch.estimated_rss_bytes)],
    ["live", bytes(epoch.live_bytes)],
    ["objects", count(epoch.live_objects)],
    ["open scopes", count(epoch.open_scopes)],
    ["entered, left", `${count(epoch.enters)}, ${count(epoch.exits)}`],
    ["reclaimable", bytes(epoch.reclaimable_bytes)],
  ]);
  $("detail-scopes").replaceChildren(
    ...epoch.domains.map((domain) =>
      element("li", {}, `${domain.open} open, entered at ${place(domain)}, ${domain.tid ? `thread ${domain.tid}` : "by a thread that has ended"}, for ${seconds(domain.oldest_age_sec)}`),
    ),
  );
  detailPlot.show(history);
}

const SIGNS = { error: "✖", warning: "▲", info: "ℹ" };

function showFindings(findings) {
  if (!findings.length)
    $("findings").replaceChildren(element("li", { class: "none" }, element("span", { class: "severity" }, "✔ nothing found")));
  else
    $("findings").replaceChildren(
      ...findings.map((finding) =>
        element(
          "li",
          { class: finding.severity in SIGNS ? finding.severity : "info" },
          element("span", { class: "severity" }, `${SIGNS[finding.severity] || ""} ${finding.severity}: ${finding.id}`),
          element("span", { class: "faint" }, ` (confidence ${finding.confidence})`),
          finding.diagnosis ? element("p", {}, finding.diagnosis) : "",
          element("p", {}, finding.evidence),
          element("p", { class: "faint" }, `To do: ${finding.action}`),
          finding.runbook ? element("p", { class: "faint" }, `Runbook: ${finding.runbook}`) : "",
        ),
      ),
    );
}

function showTiles(doc) {
  tiles($("tiles"), [
    ["resident", bytes(doc.rss_bytes_current)],
    ["held by epochs", bytes(doc.estimated_slab_rss_bytes)],
    ["live objects", bytes(doc.live_bytes)],
    ["kept for reuse", bytes(doc.retained_bytes)],
    ["open epochs", count(doc.open_epochs)],
    ["allocations", count(doc.total_allocations)],
    ["slow path", percent(doc.total_slow_path_hits, doc.total_allocations)],
    ["findings", String(doc.findings.length)],
  ]);
}

// ---------------------------------------------------------------------------------------------- loop

let last = null;
let history = [];
let plots = [];
let detailPlot = null;
let intervalMs = 5000;

function state(text, bad) {
  const node = $("state");
  if (node.textContent !== text) node.textContent = text;
  node.classList.toggle("bad", bad);
}

function remember(sample) {
  history.push(sample);
  if (history.length > HISTORY) history.shift();
}

function take(doc) {
  const other = last && (doc.pid !== last.pid || doc.start_time_ns !== last.start_time_ns);
  if (last && !other && doc.monotonic_ns === last.monotonic_ns) return; // still the same
  if (other) history = [];
  remember(measure(doc, other ? null : last));
  last = doc;
  document.title = `${doc.comm} ${doc.pid} – tslab`;
  $("process-name").textContent = `${doc.comm} (PID ${doc.pid}, ${doc.arch})`;
  $("library").textContent = `libtslab ${doc.lib_version}, build ${doc.build_id.slice(0, 12)}`;
  showTiles(doc);
  showFindings(doc.findings);
  for (const plot of plots) plot.show(history);
  showEpochs();
  showDetail();
}

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(10000) });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error || `status ${answer.status}`);
  return body;
}

async function chooseProcess() {
  const list = await ask("api/v1/processes");
  const select = $("process");
  const pids = list.map((one) => one.pid);
  if (!pids.includes(view.process)) view.process = pids.length ? pids[0] : null;
  $("process-choice").hidden = list.length < 2;
  if (select.dataset.pids !== pids.join()) {
    select.dataset.pids = pids.join();
    select.replaceChildren(...list.map((one) => element("option", { value: one.pid }, `${one.comm} (${one.pid})`)));
  }
  if (view.process !== null) select.value = view.process;
}

async function update() {
  try {
    intervalMs = (await ask("healthz")).interval_ms;
    await chooseProcess();
    const path = `api/v1/snapshot?pid=${view.process}`;
    $("json-link").href = path;
    const doc = await ask(path);
    if (view.paused) return; // since it was asked for
    take(doc);
    state(`live, every ${seconds(intervalMs / 1000)}`, false);
  } catch (error) {
    if (view.paused) return;
    const since = last ? `; last figures of ${new Date(last.timestamp).toLocaleTimeString()}` : "";
    state(`${error.message}${since}`, true);
    if (last && !history.at(-1).gap) remember(gap(new Date()));
  }
}

async function run() {
  if (!view.paused && !document.hidden) await update();
  setTimeout(run, Math.max(250, intervalMs));
}

// ------------------------------------------------------------------------------------------ controls

const THEMES = ["as the system", "light", "dark"];
const systemDark = window.matchMedia("(prefers-color-scheme: dark)");

function stored(name, value) {
  try {
    if (value !== undefined) localStorage.setItem(name, value);
    return localStorage.getItem(name);
  } catch {
    return null; // a browser that keeps nothing
  }
}

let theme = THEMES.includes(stored("tslab-theme")) ? stored("tslab-theme") : THEMES[0];

function applyTheme() {
  const dark = theme === "dark" || (theme === THEMES[0] && systemDark.matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  $("theme").textContent = `Theme: ${theme}`;
  if (last) for (const plot of plots) plot.show(history);
  if (last) showDetail();
}

function nextTheme() {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  stored("tslab-theme", theme);
  applyTheme();
}

function togglePause() {
  view.paused = !view.paused;
  $("pause").setAttribute("aria-pressed", String(view.paused));
  $("pause").textContent = view.paused ? "Paused" : "Pause";
  if (view.paused) state("paused", false);
  else update();
}

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || $("help").open) return;
  if (event.key === "Escape" && view.epoch !== null) closeDetail();
  if (event.target.matches("input, select, textarea")) return;
  if (event.key === "p") togglePause();
  else if (event.key === "t") nextTheme();
  else if (event.key === "?") $("help").showModal();
  else if (event.key === "/") $("filter").focus();
  else return;
  event.preventDefault();
}

function start() {
  plots = [
    new Plot($("plots"), "Memory by label", "what epochs hold", (s) => s.labels, bytes, true),
    new Plot($("plots"), "Memory by age of its epoch", "old epochs that grow are leaks", (s) => s.ages, bytes, true),
    new Plot($("plots"), "Slow paths by cause", "allocations a second", (s) => s.slow, countPerSecond, true),
    new Plot($("plots"), "Reclamation", "bytes a second", (s) => s.reclaimed, bytesPerSecond, false),
  ];
  makeHead();
  applyTheme();
  systemDark.addEventListener("change", applyTheme);
  $("theme").addEventListener("click", nextTheme);
  $("pause").addEventListener("click", togglePause);
  $("help-button").addEventListener("click", () => $("help").showModal());
  $("detail-close").addEventListener("click", closeDetail);
  $("filter").addEventListener("input", () => {
    view.filter = $("filter").value;
    showEpochs();
  });
  $("process").addEventListener("change", () => {
    view.process = Number($("process").value);
    update();
  });
  document.addEventListener("keydown", onKey);
  run();
}

start();
