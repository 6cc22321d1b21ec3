// The charts of one model, drawn from the same JSON that /api gives to programs.

const charts = document.getElementById("charts");
const NARROW_PX = 600;
const QUANTILES = [["p50_ms", "p50", "solid"], ["p95_ms", "p95", "dot"], ["p99_ms", "p99", "dash"]];
const SHARES = new Set(["accuracy", "balanced_accuracy"]);

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const versionColour = (version) => (version ? colour(`version-${((version - 1) % 8) + 1}`) : colour("soft"));
const versionName = (version) => (version ? `version ${version}` : "no version");
const faint = (hex) => `${hex}30`;

function layout(id, model, extra = {}) {
  const axis = { gridcolor: colour("line"), zerolinecolor: colour("line"), linecolor: colour("line"), automargin: true };
  return {
    margin: { l: 44, r: 8, t: 8, b: 32 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colour("soft"), size: 12, family: "system-ui, sans-serif" },
    hovermode: charts.clientWidth < NARROW_PX ? "closest" : "x unified",
    hoverlabel: { bgcolor: colour("panel"), bordercolor: colour("line"), font: { color: colour("ink") } },
    legend: { orientation: "h", x: 0, y: 1.04, yanchor: "bottom" },
    // The same value at each update: what a person hid or zoomed stays.
    uirevision: "same",
    shapes: momentLines(model),
    ...extra,
    xaxis: { ...axis, type: "date", range: zooms.get(id) ?? [model.window.since, model.window.until], ...extra.xaxis },
    yaxis: { ...axis, rangemode: "tozero", ...extra.yaxis },
  };
}

const within = (moment, window) => moment.time >= window.since && moment.time <= window.until;

// Of acts that lie so close that their words would cover each other, the last one has its words.
const APART = 1 / 12;

function momentLines(model) {
  const shown = model.moments.filter((each) => within(each, model.window));
  const apart = APART * (Date.parse(model.window.until) - Date.parse(model.window.since));
  const isClear = (each, next) => !next || Date.parse(next.time) - Date.parse(each.time) > apart;
  return shown.map((each, index) => momentLine(each, isClear(each, shown[index + 1])));
}

const ACTS = { "rolled back": "back to" };
const share = ({ percent }) => (percent === null ? "" : percent ? ` ${percent} %` : " ended");

function momentLine(moment, isNamed) {
  return {
    type: "line", x0: moment.time, x1: moment.time, yref: "paper", y0: 0, y1: 1,
    line: { color: versionColour(moment.version), width: 1, dash: "dot" },
    label: { text: isNamed ? `${ACTS[moment.kind] ?? moment.kind} ${moment.version || `v${moment.major}`}${share(moment)}` : "", font: { size: 10, color: versionColour(moment.version) }, textposition: "end", textangle: 0, yanchor: "top", padding: 2 },
  };
}

// Of many versions only those with a route and the newest are drawn, unless a person chooses otherwise.
const versions = document.getElementById("versions");
const chosen = new Map();

function drawnVersions(model) {
  const known = model.model.versions.toReversed();
  const isDrawn = ({ number, charted }) => chosen.get(number) ?? charted;
  versions.hidden = known.every((version) => version.charted && isDrawn(version));
  const offered = new Map([...versions.querySelectorAll("input")].map((box) => [Number(box.value), box]));
  for (const version of known) {
    const box = offered.get(version.number) ?? offer(version.number);
    box.checked = isDrawn(version);
  }
  const hidden = new Set(known.filter((version) => !isDrawn(version)).map(({ number }) => number));
  return (series) => series.filter(({ version }) => !hidden.has(version));
}

function offer(number) {
  const box = Object.assign(document.createElement("input"), { type: "checkbox", value: number });
  box.addEventListener("change", () => {
    chosen.set(number, box.checked);
    draw();
  });
  const label = document.createElement("label");
  label.append(box, versionName(number));
  versions.append(label);
  return box;
}

const byVersion = (series) => series.toSorted((one, other) => one.version - other.version);

// Markers too: a point between two gaps has no line.
function line(series, values, extra) {
  return { x: series.time, y: values, type: "scatter", mode: "lines+markers", marker: { size: 3 }, ...extra };
}

function traffic(model) {
  return model.traffic.map((series) =>
    line(series, series.per_second, { name: versionName(series.version), line: { color: versionColour(series.version) }, fill: "tozeroy", fillcolor: faint(versionColour(series.version)) }));
}

function latency(model) {
  return model.traffic.filter((series) => series.version).flatMap((series) =>
    QUANTILES.map(([key, name, dash]) =>
      line(series, series[key], { name: `${name}, ${versionName(series.version)}`, legendgroup: series.version, line: { color: versionColour(series.version), dash, width: 1.6 } })));
}

function errors(model) {
  return model.traffic.flatMap((series) => [
    { key: "failed", name: "failed", pattern: "" },
    { key: "refused", name: "refused", pattern: "/" },
  ].filter(({ key }) => series[key].some((value) => value > 0)).map(({ key, name, pattern }) => ({
    type: "bar", x: series.time, y: series[key], name: `${name}, ${versionName(series.version)}`,
    marker: { color: versionColour(series.version), pattern: { shape: pattern } },
  })));
}

function coverage(model) {
  return byVersion(model.quality).map((series) =>
    line(series, series.coverage.map((share) => 100 * share), { name: versionName(series.version), line: { color: versionColour(series.version) } }));
}

// Versions may differ in what is looked at first: then each line says it, and the axis, which has no one unit, nothing.
const metricsOf = (model) => new Set([...model.quality, ...model.shadow_quality].map(({ metric }) => metric));
const spelled = (metric) => metric.replaceAll("_", " ");

function accuracy(model) {
  const isMixed = metricsOf(model).size > 1;
  return [...byVersion(model.quality), ...byVersion(model.shadow_quality).map((series) => ({ ...series, shadow: true }))].flatMap((series) => {
    const scale = SHARES.has(series.metric) ? 100 : 1;
    const scaled = (values) => values.map((value) => (value === null ? null : value * scale));
    const own = versionColour(series.version);
    const legendgroup = series.shadow ? `shadow ${series.version}` : series.version;
    const group = { legendgroup, hoverinfo: "skip", showlegend: false };
    const promised = series.promise
      ? [line({ time: [series.time[0], series.time.at(-1)] }, [series.promise.value * scale, series.promise.value * scale], { ...group, mode: "lines", line: { color: own, dash: "dash", width: 1.4 } })]
      : [];
    return [
      line(series, scaled(series.high), { ...group, mode: "lines", line: { width: 0, color: own } }),
      line(series, scaled(series.low), { ...group, mode: "lines", line: { width: 0, color: own }, fill: "tonexty", fillcolor: faint(own) }),
      ...promised,
      line(series, scaled(series.value), {
        name: [versionName(series.version), isMixed && spelled(series.metric), series.shadow && "shadow"].filter(Boolean).join(", "), legendgroup, mode: "lines+markers",
        line: { color: own, width: 2, dash: series.shadow ? "dot" : "solid" },
        marker: { size: 6, symbol: series.mature.map((mature) => (mature ? "circle" : "circle-open")) },
        text: series.labelled.map((rows, at) => `${rows.toLocaleString("en", { maximumFractionDigits: 0 })} truths, ${(100 * series.coverage[at]).toFixed(0)} % known`),
        hovertemplate: `%{y:.4g}${scale === 100 ? " %" : ""} (%{text})`,
      }),
    ];
  });
}

function accuracyAxis(model) {
  const [metric, another] = metricsOf(model);
  const unit = SHARES.has(metric) ? ", %" : "";
  return { yaxis: { rangemode: "normal", title: metric && !another ? { text: `${spelled(metric)}${unit}` } : undefined } };
}

// The time axis ends now, and so differs at each update: what a person zoomed to has to be kept here.
const zooms = new Map();

function keepZoom(chart) {
  chart.on("plotly_relayout", (change) => {
    if ("xaxis.range[0]" in change) zooms.set(chart.id, [change["xaxis.range[0]"], change["xaxis.range[1]"]]);
  });
  chart.on("plotly_doubleclick", () => {
    zooms.delete(chart.id);
    draw();
  });
}

const SETTINGS = { responsive: true, displaylogo: false, displayModeBar: false };

async function draw() {
  const answer = await fetch(charts.dataset.source);
  if (!answer.ok) return;
  const model = await answer.json();
  const drawn = drawnVersions(model);
  for (const name of ["traffic", "quality", "shadow_quality"]) model[name] = drawn(model[name]);
  const draws = [
    ["accuracy", accuracy(model), accuracyAxis(model)],
    ["traffic", traffic(model)],
    ["latency", latency(model)],
    ["errors", errors(model), { barmode: "stack" }],
    ["coverage", coverage(model), { yaxis: { range: [0, 105] } }],
  ];
  await Promise.all(draws.map(([id, series, extra]) => Plotly.react(id, series, layout(id, model, extra), SETTINGS)));
  // The first time that they are there: the first look may have failed.
  if (!charts.dataset.drawn) document.querySelectorAll(".chart").forEach(keepZoom);
  charts.dataset.drawn = model.window.until;
}

document.addEventListener("sardonyx:refresh", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
await draw();
