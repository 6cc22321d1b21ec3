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
    shapes: model.moments.filter((each) => within(each, model.window)).map(momentLine),
    ...extra,
    xaxis: { ...axis, type: "date", range: zooms.get(id) ?? [model.window.since, model.window.until], ...extra.xaxis },
    yaxis: { ...axis, rangemode: "tozero", ...extra.yaxis },
  };
}

const within = (moment, window) => moment.time >= window.since && moment.time <= window.until;

function momentLine(moment) {
  return {
    type: "line", x0: moment.time, x1: moment.time, yref: "paper", y0: 0, y1: 1,
    line: { color: versionColour(moment.version), width: 1, dash: "dot" },
    label: { text: `${moment.rolled_back ? "back to" : "live"} ${moment.version}`, font: { size: 10, color: versionColour(moment.version) }, textposition: "end", textangle: 0, yanchor: "top", padding: 2 },
  };
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

function accuracy(model) {
  return byVersion(model.quality).flatMap((series) => {
    const scale = SHARES.has(series.metric) ? 100 : 1;
    const scaled = (values) => values.map((value) => (value === null ? null : value * scale));
    const own = versionColour(series.version);
    const group = { legendgroup: series.version, hoverinfo: "skip", showlegend: false };
    const promised = series.promise
      ? [line({ time: [series.time[0], series.time.at(-1)] }, [series.promise.value * scale, series.promise.value * scale], { ...group, mode: "lines", line: { color: own, dash: "dash", width: 1.4 } })]
      : [];
    return [
      line(series, scaled(series.high), { ...group, mode: "lines", line: { width: 0, color: own } }),
      line(series, scaled(series.low), { ...group, mode: "lines", line: { width: 0, color: own }, fill: "tonexty", fillcolor: faint(own) }),
      ...promised,
      line(series, scaled(series.value), {
        name: versionName(series.version), legendgroup: series.version, mode: "lines+markers",
        line: { color: own, width: 2 },
        marker: { size: 6, symbol: series.mature.map((mature) => (mature ? "circle" : "circle-open")) },
        text: series.labelled.map((rows, at) => `${rows} truths, ${(100 * series.coverage[at]).toFixed(0)} % known`),
        hovertemplate: `%{y:.4g}${scale === 100 ? " %" : ""} (%{text})`,
      }),
    ];
  });
}

function accuracyAxis(model) {
  const metric = model.quality[0]?.metric;
  const unit = SHARES.has(metric) ? ", %" : "";
  return { yaxis: { rangemode: "normal", title: metric ? { text: `${metric.replaceAll("_", " ")}${unit}` } : undefined } };
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
  const draws = [
    ["accuracy", accuracy(model), accuracyAxis(model)],
    ["traffic", traffic(model)],
    ["latency", latency(model)],
    ["errors", errors(model), { barmode: "stack" }],
    ["coverage", coverage(model), { yaxis: { range: [0, 105] } }],
  ];
  await Promise.all(draws.map(([id, series, extra]) => Plotly.react(id, series, layout(id, model, extra), SETTINGS)));
  charts.dataset.drawn = model.window.until;
}

document.addEventListener("sardonyx:refresh", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
await draw();
document.querySelectorAll(".chart").forEach(keepZoom);
