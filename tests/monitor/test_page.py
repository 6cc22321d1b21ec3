"""The pages in a real browser: they load, fit, show what the store holds, and keep up by themselves."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from playwright.sync_api import FloatRect, expect, sync_playwright

from monitor.scene import backdate, connected, doors_of, fresh_id, prediction_of, start_monitor
from sardonyx import telemetry
from sardonyx.monitor.v1.outcome_service_pb2 import Outcome
from sardonyx_monitor.web import templates
from server.scene import CLASSIFIER, PATIENCE_S, REGRESSOR, frame_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, Response, Route

    from monitor.scene import Json, Stage, Value, Watch
    from monitor.tried import Tried

pytestmark = pytest.mark.browser

WIDE, NARROW = 1280, 390
MS = 1000
#: What the README shows of a model's page.
ABOVE_THE_TABLES: FloatRect = {"x": 0, "y": 0, "width": 1280, "height": 1650}


@pytest.fixture(scope="module")
def browser() -> Iterator[BrowserContext]:
    """A Chromium, whose cache lasts for all tests. Where there is none the tests are skipped, but not in CI."""
    path = shutil.which("chromium")
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("There is no chromium. apt-get install chromium.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        context = browser.new_context()
        context.set_default_timeout(PATIENCE_S * MS)
        yield context
        browser.close()


@pytest.fixture(scope="module")
def history(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    """A monitor with an hour behind it: version 1 got worse, version 2 came; truths arrive five minutes late."""
    folder, now = tmp_path_factory.mktemp("history"), datetime.now(UTC)
    shutil.copytree(stage.registry, folder / "registry")
    lived = {1: now - timedelta(minutes=56), 2: now - timedelta(minutes=24)}
    backdate(folder / "registry", CLASSIFIER, lived)
    program = start_monitor(folder / "registry", folder / "data")
    with connected(*doors_of(program)) as watch:
        _replay(watch, now, lived[2])
        yield watch
    assert program.stop() == 0, "".join(program.lines)


def _replay(watch: Watch, now: datetime, changed: datetime) -> None:
    random = np.random.default_rng(5)
    spans, outcomes = [], []
    for number in range(3300):
        start = now - timedelta(seconds=3300 - number)
        version = 1 if start < changed else 2
        late = bool(random.random() < 0.3)
        sure = random.uniform(0.6, 0.99)
        code = str(random.choice(["OK", "INVALID_ARGUMENT", "UNAVAILABLE"], p=[0.985, 0.01, 0.005]))
        label = "late" if late == (random.random() < 0.95) else "punctual"
        answered = {"labels": [label], "probabilities": [sure, 1 - sure] if label == "late" else [1 - sure, sure]}
        prediction_id = f"flight-{number}"
        spans.append(
            prediction_of(
                prediction_id,
                model=CLASSIFIER,
                version=version,
                code=code,
                start_ns=int(start.timestamp() * 1e9),
                duration_ns=int(random.lognormal(13.6, 0.4)),
                more={telemetry.CALLER: "gate-display" if number % 3 else "rebooking"},
                **(answered if code == "OK" else {}),  # type: ignore[arg-type]
            )
        )
        observed = start + timedelta(minutes=5)
        if observed < now:
            worse = version == 1 and random.random() < 0.25 * number / 1860
            outcome = Outcome(prediction_id=prediction_id, label="late" if late != worse else "punctual")
            outcome.observe_time.FromDatetime(observed)
            outcomes.append(outcome)
    watch.export(*spans)
    watch.report(*outcomes)


@dataclass  # without slots: Playwright leaves notes on whoever listens
class View:
    """A page and all that went wrong on it.

    Attributes:
        page: the browser's.
        url: where everything must come from.
        faults: errors of scripts, of the console and of requests, and requests that left for elsewhere.
    """

    page: Page
    url: str
    faults: list[str] = field(default_factory=list)

    def listen(self) -> None:
        """Begin to note what goes wrong."""
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        self.page.on("request", self._request)
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._response)

    def open(self, path: str) -> None:
        """Go to an address of the monitor; a model's charts are drawn then."""
        answer = self.page.goto(f"{self.url}{path}")
        assert answer is not None
        assert answer.status == 200
        if path.startswith("/models/"):
            self.page.wait_for_selector("#charts[data-drawn]")

    def text(self, selector: str) -> str:
        """What is written at the first place that fits, as a person reads it."""
        return self.page.locator(selector).first.inner_text()

    def value(self, script: str) -> Any:
        """What a script says."""
        return self.page.evaluate(script)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.url}/", "data:", "blob:")):
            self.faults.append(f"elsewhere: {request.url}")

    def _failed(self, request: Request) -> None:
        # A page that is left takes its own requests with it.
        if request.failure != "net::ERR_ABORTED":
            self.faults.append(f"failed: {request.url} {request.failure}")

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self.faults.append(f"status {response.status}: {response.url}")


@contextlib.contextmanager
def viewing(browser: BrowserContext, watch: Watch, width: int = WIDE, scheme: Any = "light") -> Iterator[View]:
    """A window on a monitor, on which nothing may go wrong."""
    page = browser.new_page()
    try:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        view = View(page, watch.url)
        view.listen()
        yield view
        assert view.faults == []
    finally:
        page.close()


def _paths(watch: Watch) -> list[str]:
    """Every page."""
    trace_id = watch.api("/traces", model=CLASSIFIER, status="OK")["traces"][0]["trace_id"]
    return ["/", f"/models/{CLASSIFIER}", "/traces", f"/traces/{trace_id}", "/health"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_every_page_loads_and_fits(browser: BrowserContext, history: Watch, width: int, scheme: str) -> None:
    """Every page loads without an error and is no wider than the window, dark and light."""
    with viewing(browser, history, width, scheme) as view:
        for path in _paths(history):
            view.open(path)
            assert view.page.locator("h1").count() == 1
            inner, needed = view.value("[innerWidth, document.documentElement.scrollWidth]")
            assert needed <= inner, f"{path} is {needed} wide in a window of {inner}"
        red, green, blue = view.value(
            "getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g).slice(0, 3).map(Number)"
        )
        assert (red + green + blue > 3 * 128) == (scheme == "light")


def test_every_page_of_the_stage_loads(browser: BrowserContext, stage: Stage) -> None:
    """Every page loads without an error right after a model's first minute, and for a regressor."""
    with viewing(browser, stage.watch) as view:
        for path in (*_paths(stage.watch), f"/models/{REGRESSOR}?window=30d", "/?window=all"):
            view.open(path)


def _cells(view: View, number: int) -> dict[str, str]:
    """The row of a version in the table, by its heads."""
    cells: dict[str, str] = view.value(
        f"""Object.fromEntries([...document.querySelectorAll("table.cards tbody tr")]
            .filter((row) => row.querySelector('[data-label="Version"] b')?.innerText === "{number}")
            .flatMap((row) => [...row.cells]).map((cell) => [cell.dataset.label, cell.innerText]))"""
    )
    return cells


def _assert_version_shown(view: View, version: Json) -> None:
    cells, traffic, quality = _cells(view, version["number"]), version["traffic"], version["quality"]
    routes = [f"{each['route']} {templates.percent(each['share'])}" for each in version["routes"] if each["route"]]
    assert cells["Requests"].split("\n") == [templates.count(traffic["requests"]), *routes]
    for name in ("p50", "p95", "p99"):
        assert cells[f"{name} ms"] == templates.ms(traffic[f"{name}_ms"])
    assert cells["Failed"] == templates.percent(traffic["failed"] / traffic["requests"], 2)
    assert cells["Truth known"] == templates.percent(quality["coverage"])
    first = quality["comparisons"][0]
    for label, side in (("In practice", "practice"), ("Promised", "promise")):
        for end in ("value", "low", "high"):
            assert templates.metric(first[side][end], first["name"]) in cells[label]
    words = {"open": "too few truths", "kept": "as promised", "worse": "worse", "better": "better"}
    assert words[first["verdict"]] in cells["Verdict"]
    for route in ("canary", "shadow"):
        percent = version[f"{route}_percent"]
        assert (route in cells["Version"]) == (percent is not None)
        assert percent is None or f"{route} {templates.number(percent)} %" in cells["Version"]
    assert ("live" in cells["Version"]) == version["live"]


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_numbers_of_the_models_page(browser: BrowserContext, stage: Stage, width: int) -> None:
    """The page of all models shows each version's numbers as /api has them."""
    with viewing(browser, stage.watch, width) as view:
        view.open("/")
        for model in stage.watch.api("/models")["models"]:
            panel = view.page.locator("section.panel", has=view.page.get_by_role("link", name=model["name"]))
            assert f"{model['total']['requests']} requests" in panel.inner_text()
        (model,) = [each for each in stage.watch.api("/models")["models"] if each["name"] == CLASSIFIER]
        for version in model["versions"]:
            if version["number"] == 2:  # the regressor's only version is 1 too
                _assert_version_shown(view, version)
        assert "2 requests asked for models that do not exist" in view.text("main")


def test_numbers_of_the_model_page(browser: BrowserContext, history: Watch) -> None:
    """A model's page shows its numbers, its versions, its metrics and its moments as /api has them."""
    with viewing(browser, history) as view:
        view.open(f"/models/{CLASSIFIER}")
        page = history.api(f"/models/{CLASSIFIER}")
        figures = view.value(
            "Object.fromEntries([...document.querySelectorAll('.figures div')].map((each) =>"
            " [each.querySelector('dt').innerText, each.querySelector('dd').innerText]))"
        )
        total = page["model"]["total"]
        assert figures["Requests"] == templates.count(total["requests"])
        assert figures["Refused"] == templates.count(total["refused"])
        for name in ("p50", "p95", "p99"):
            assert figures[name] == f"{templates.ms(total[f'{name}_ms'])} ms"
        for version in page["model"]["versions"]:
            _assert_version_shown(view, version)
            heading = view.page.get_by_role("heading", name=f"Version {version['number']}", exact=True)
            table = heading.locator("xpath=following-sibling::table[1]").inner_text()
            for each in version["quality"]["comparisons"]:
                if each["practice"]:
                    assert templates.metric(each["practice"]["value"], each["name"]) in table
        shown = view.page.locator("h2:has-text('What was set when') + table tbody tr").all_inner_texts()
        assert len(shown) == len(page["moments"]) == 2
        for text, moment in zip(shown, reversed(page["moments"]), strict=True):
            assert moment["time"][:19].replace("T", " ") in text


@pytest.mark.parametrize("path", ["/", f"/models/{CLASSIFIER}"])
def test_who_calls_which(browser: BrowserContext, history: Watch, path: str) -> None:
    """Under a model's versions stand its interfaces, each with its callers and what /api says of them."""
    (interface,) = history.api(f"/models/{CLASSIFIER}")["model"]["interfaces"]
    with viewing(browser, history) as view:
        view.open(path)
        rows = view.page.locator("table.callers", has_text="gate-display").locator("tbody tr")
        expect(rows).to_have_count(2)
        for row, caller in zip(rows.all(), interface["callers"], strict=True):
            cells = [cell.inner_text() for cell in row.locator("td").all()]
            assert cells[:3] == ["v1 default", caller["caller"], f"{caller['requests']:,}"]
            assert cells[3] == caller["last"][:19].replace("T", " ")
            assert cells[4] == templates.percent(caller["failed"] / caller["requests"], 2)
            assert cells[5:] == [str(caller["refused"]), "2"]
        assert [each["caller"] for each in interface["callers"]] == ["gate-display", "rebooking"]


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_trials_beside_live(browser: BrowserContext, tried: Tried, width: int) -> None:
    """A canary and a shadow stand beside the live version with the figures of /api, on both pages."""
    with viewing(browser, tried.watch, width) as view:
        for path in ("/", f"/models/{CLASSIFIER}"):
            view.open(path)
            model = tried.watch.api(f"/models/{CLASSIFIER}")["model"]
            for version in model["versions"]:
                if version["traffic"]["requests"]:
                    _assert_version_shown(view, version)
            rows = view.page.locator("table.trials tbody tr")
            assert rows.count() == len(model["trials"]) == 2
            for row, trial in zip(rows.all(), model["trials"], strict=True):
                _assert_trial_shown(row.inner_text(), trial)
            inner, needed = view.value("[innerWidth, document.documentElement.scrollWidth]")
            assert needed <= inner


def _assert_trial_shown(text: str, trial: Json) -> None:
    assert f"{trial['route']} {templates.number(trial['percent'])} %" in text
    assert f"beside {trial['live']}" in text
    for traffic in (trial["traffic"], trial["live_traffic"]):
        assert templates.count(traffic["requests"]) in text
        assert f"{templates.ms(traffic['p50_ms'])} / {templates.ms(traffic['p99_ms'])}" in text
        assert templates.percent(traffic["failed"] / traffic["requests"], 2) in text
    for figure in (trial["practice"], trial["live_practice"]):
        for end in ("value", "low", "high"):
            assert templates.metric(figure[end], figure["name"]) in text
    if trial["agreement"]:
        for end in ("value", "low", "high"):
            assert templates.percent(trial["agreement"][end]) in text
    assert {"worse": "worse than live", "better": "better than live"}[trial["verdict"]] in text


def test_what_was_set_when(browser: BrowserContext, tried: Tried) -> None:
    """Every route that somebody set stands in the table, newest first, and as a line in the charts while in sight."""
    with viewing(browser, tried.watch) as view:
        view.open(f"/models/{CLASSIFIER}")
        moments = tried.watch.api(f"/models/{CLASSIFIER}")["moments"]
        shown = view.page.locator("h2:has-text('What was set when') + table tbody tr").all_inner_texts()
        for text, moment in zip(shown, reversed(moments), strict=True):
            share = moment["percent"]
            words = moment["kind"] if share is None else f"{moment['kind']} {share:g} %" if share else "shadow, ended"
            assert words in text
            assert (moment["reason"] or "") in text
        lines = view.value("document.getElementById('accuracy').layout.shapes.map((each) => each.label.text)")
        assert lines[-3:] == ["", "", "shadow 3 50 %"], "of acts in one moment the last has its words"


def test_a_shadow_is_drawn_as_one(browser: BrowserContext, tried: Tried) -> None:
    """The accuracy of a shadow is a line of its own, and no other chart has it."""
    with viewing(browser, tried.watch) as view:
        view.open(f"/models/{CLASSIFIER}")
        names: dict[str, list[str]] = view.value(
            "Object.fromEntries(['accuracy', 'traffic', 'latency', 'coverage'].map((id) =>"
            " [id, document.getElementById(id).data.map((each) => each.name ?? '')]))"
        )
        assert {each for each in names["accuracy"] if each} == {"version 1", "version 2", "version 3, shadow"}
        for chart in ("traffic", "latency", "coverage"):
            assert not [each for each in names[chart] if "version 3" in each]


def test_each_line_says_its_metric_where_they_differ(browser: BrowserContext, watch: Watch) -> None:
    """Of a model whose versions differ in what is looked at first each line names it, and the axis names none."""
    name, ids = fresh_id("model"), [fresh_id(), fresh_id()]
    watch.export(
        prediction_of(ids[0], ["late"], model=name, version=1),
        prediction_of(ids[1], values=[7.0], model=name, version=2),
    )
    watch.report(Outcome(prediction_id=ids[0], label="late"), Outcome(prediction_id=ids[1], number=9.0))
    with viewing(browser, watch) as view:
        view.open(f"/models/{name}")
        named = "document.getElementById('accuracy').data.map((each) => each.name).filter(Boolean)"
        assert view.value(named) == ["version 1, accuracy", "version 2, mae"]
        assert view.value("document.getElementById('accuracy').layout.yaxis.title ?? null") is None
        view.page.get_by_label("version 2", exact=True).evaluate("(box) => box.click()")
        wait_until(lambda: bool(view.value(named) == ["version 1"]), "of one version the metric is the axis's")
        assert view.value("document.getElementById('accuracy').layout.yaxis.title.text") == "accuracy, %"


def test_of_many_versions_a_few_are_drawn(browser: BrowserContext, watch: Watch) -> None:
    """Of many versions the newest are drawn; the others on demand, and an update keeps what was chosen."""
    name = fresh_id("model")
    watch.export(*(prediction_of(fresh_id(), ["late"], model=name, version=1 + number) for number in range(9)))
    drawn = "document.getElementById('traffic').data.map((each) => each.name)"
    with viewing(browser, watch) as view:
        view.open(f"/models/{name}")
        charted = [each["number"] for each in watch.api(f"/models/{name}")["model"]["versions"] if each["charted"]]
        assert charted == [9, 8, 7]
        assert sorted(view.value(drawn)) == ["version 7", "version 8", "version 9"]
        view.page.get_by_label("version 2", exact=True).check()
        view.page.get_by_label("version 9", exact=True).uncheck()
        expected = ["version 2", "version 7", "version 8"]
        wait_until(lambda: bool(sorted(view.value(drawn)) == expected), "what was chosen is drawn")
        _await_update(view)
        assert sorted(view.value(drawn)) == expected
        assert view.page.get_by_label("version 2", exact=True).is_checked()


def test_trace_of_a_shared_run(browser: BrowserContext, watch: Watch) -> None:
    """The page of a trace tells route, caller, weight and captured rows, and leads to those that shared its run."""
    name, run, ids = fresh_id("model"), os.urandom(8).hex(), [fresh_id() for _ in range(3)]
    more: dict[str, Value] = {
        telemetry.ROUTE: "pinned",
        telemetry.CALLER: "billing",
        telemetry.WEIGHT: 12.5,
        telemetry.BATCH_ID: run,
        telemetry.BATCH_ROWS: 6,
        telemetry.BATCH_REQUESTS: 4,
        telemetry.BATCH_PREDICTION_IDS: ids,
        telemetry.INPUT_ROWS: [1],
        telemetry.INPUT_PROBABILITY: 0.125,
        f"{telemetry.INPUT_VALUE_PREFIX}distance": [733.5],
        f"{telemetry.INPUT_VALUE_PREFIX}carrier": ["AA"],
    }
    spans = [prediction_of(each, ["late", "late"], model=name, more=more) for each in ids]
    watch.export(*spans)
    with viewing(browser, watch) as view:
        view.open(f"/traces/{spans[0].trace_id.hex()}")
        facts = view.text("dl.request")
        for words in ("pinned", "billing", "12.5 requests", "6 rows of 4 requests", "and 1 more", *ids):
            assert words in facts
        cells = view.page.locator("table.captured").locator("th, td").all_inner_texts()
        assert cells == ["Captured row", "Probability", "distance", "carrier", "1", "0.125", "733.5", "AA"]
        view.page.get_by_role("link", name=run).click()
        found = view.page.locator("[data-live=found] tbody tr")
        expect(found).to_have_count(3)
        for row in found.all():
            text = row.inner_text()
            assert "run of 4" in text
            assert "× 12.5" in text
            assert "pinned" in text
            assert "by billing" in text
        found.first.get_by_role("link", name="run of 4").click()
        expect(found).to_have_count(3)


def test_a_sample_says_so(browser: BrowserContext, watch: Watch) -> None:
    """Where what was recorded is a sample, the page says so and shows the estimates of /api."""
    name = fresh_id("model")
    spans = [prediction_of(fresh_id(), ["late"], model=name, more={telemetry.WEIGHT: 2.5}) for _ in range(7)]
    watch.export(*spans, prediction_of(fresh_id(), ["late"], model=name))
    with viewing(browser, watch) as view:
        view.open(f"/models/{name}")
        assert "recorded a sample of these requests" in view.text("main")
        page = watch.api(f"/models/{name}")
        assert page["window"]["sampled"]
        assert (page["model"]["total"]["requests"], page["model"]["total"]["recorded"]) == (18.5, 8)
        assert view.text(".figures dd") == templates.count(18.5)


# What a chart shows. Plotly writes "2026-01-01 12:00" where it was given "2026-01-01T12:00Z", and means UTC by both.
RANGE = (
    "document.getElementById('{chart}')._fullLayout.xaxis.range"
    ".map((each) => Date.parse(`${{each.replace(' ', 'T').replace('Z', '')}}Z`))"
)


def _range(view: View, chart: str) -> tuple[float, float]:
    low, high = view.value(RANGE.format(chart=chart))
    return low, high


def test_charts_draw_what_api_says(browser: BrowserContext, history: Watch) -> None:
    """The charts hold the points of /api, one line a version, the promise, and the moments as lines."""
    with viewing(browser, history) as view:
        view.open(f"/models/{CLASSIFIER}")
        page = history.api(f"/models/{CLASSIFIER}")
        drawn: dict[str, list[Json]] = view.value(
            "Object.fromEntries(['accuracy', 'traffic', 'latency', 'errors', 'coverage'].map((id) =>"
            " [id, document.getElementById(id).data.map((each) =>"
            " ({ name: each.name ?? '', x: [...each.x], y: [...each.y] }))]))"
        )
        shown = [datetime.fromisoformat(page["window"][end]).timestamp() * MS for end in ("since", "until")]
        for name, chart in drawn.items():
            assert chart
            # The window goes on between the two looks.
            assert _range(view, name) == pytest.approx(shown, abs=2 * PATIENCE_S * MS)
        practice = {each["name"]: each for each in drawn["accuracy"] if each["name"]}
        for series in page["quality"]:
            line = practice[f"version {series['version']}"]
            points = dict(zip(line["x"], line["y"], strict=True))
            # The last step may have moved on between the two looks.
            known = list(zip(series["time"], series["value"], strict=True))[:-1]
            assert len(known) >= 10
            for time, value in known:
                assert points[time] == (None if value is None else pytest.approx(100 * value))
            promises = [each["y"] for each in drawn["accuracy"] if not each["name"] and len(each["y"]) == 2]
            assert any(each == pytest.approx([100 * series["promise"]["value"]] * 2) for each in promises)
        (coverage,) = [each for each in drawn["coverage"] if each["name"] == "version 2"]
        assert max(coverage["y"]) == 100
        assert coverage["y"][-1] == 0, "no truth of the last minutes is known yet"
        assert {each["name"] for each in drawn["traffic"]} >= {"version 1", "version 2"}
        lines = view.value("document.getElementById('accuracy').layout.shapes.map((each) => each.label.text)")
        assert lines == ["live 2"], "version 1 went live before the first request that is shown"


def test_trace_page_shows_the_waterfall(browser: BrowserContext, stage: Stage) -> None:
    """A trace is a waterfall with the stages of the prediction, and says what came true."""
    asked = stage.of(CLASSIFIER, 1)[0]
    with viewing(browser, stage.watch) as view:
        view.open(f"/traces/{asked.trace_id}")
        assert view.page.locator(".span-bar").count() == 1
        titles = [each.get_attribute("title") or "" for each in view.page.locator(".track .stage").all()]
        assert [title.split(":")[0] for title in titles] == ["decode", "queue", "run", "encode"]
        rows = view.page.locator("[data-live=predictions] tbody tr").all_inner_texts()
        assert len(rows) == len(asked.answers)
        for text, answer, truth in zip(rows, asked.answers, asked.truths, strict=True):
            assert asked.prediction_id in text
            assert answer in text
            assert truth in text


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_trace_id_leads_to_its_trace(browser: BrowserContext, stage: Stage, width: int) -> None:
    """A trace's id in the header's field of any page leads to the trace."""
    asked = stage.asked[3]
    with viewing(browser, stage.watch, width) as view:
        for path in ("/", f"/models/{CLASSIFIER}"):
            view.open(path)
            view.page.get_by_role("searchbox", name="Trace id or prediction id").first.fill(asked.trace_id)
            view.page.keyboard.press("Enter")
            view.page.wait_for_url(f"{view.url}/traces/{asked.trace_id}")
            assert asked.prediction_id in view.text("main")


def test_prediction_id_finds_its_trace(browser: BrowserContext, stage: Stage) -> None:
    """A prediction's id in the header's field finds its one trace, which a click opens."""
    asked = stage.asked[5]
    with viewing(browser, stage.watch) as view:
        view.open("/")
        view.page.locator("form.find input[name=q]").fill(asked.prediction_id)
        view.page.keyboard.press("Enter")
        found = view.page.locator("[data-live=found] tbody tr")
        expect(found).to_have_count(1)
        found.get_by_role("link").click()
        view.page.wait_for_url(f"{view.url}/traces/{asked.trace_id}")


def test_filter_form(browser: BrowserContext, stage: Stage) -> None:
    """The form on the page of traces finds what its fields say, and keeps them."""
    with viewing(browser, stage.watch) as view:
        view.open("/traces")
        form = view.page.locator("form.filter")
        form.get_by_label("Model").select_option(CLASSIFIER)
        form.get_by_label("Status").select_option("NOT_FOUND")
        form.get_by_label("Time").select_option("all")
        form.get_by_role("button", name="Search").click()
        rows = view.page.locator("[data-live=found] tbody tr")
        expect(rows).to_have_count(1)
        assert "NOT_FOUND" in rows.inner_text()
        assert form.get_by_label("Model").input_value() == CLASSIFIER
        assert form.get_by_label("Time").input_value() == "all"


def _await_update(view: View) -> None:
    """Until the charts were drawn again."""
    before = view.page.locator("#charts").get_attribute("data-drawn")
    expect(view.page.locator("#charts")).not_to_have_attribute("data-drawn", before or "", timeout=PATIENCE_S * MS)


def _zoom(view: View, chart: str) -> tuple[float, float]:
    """Drag over a chart, from three tenths of it to six."""
    plot = view.page.locator(f"#{chart} .nsewdrag").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    view.page.mouse.move(box["x"] + box["width"] * 0.3, middle)
    view.page.mouse.down()
    view.page.mouse.move(box["x"] + box["width"] * 0.6, middle, steps=6)
    view.page.mouse.up()
    return _range(view, chart)


def test_zoom_stays_after_a_first_look_that_failed(browser: BrowserContext, history: Watch) -> None:
    """Charts that are drawn by an update, because the monitor was busy at first, keep a zoom as others do."""
    with viewing(browser, history) as view:
        looks: list[Route] = []
        view.page.route("**/api/models/**", lambda route: _busy_at_first(looks, route))
        view.open(f"/models/{CLASSIFIER}")
        zoomed = _zoom(view, "accuracy")
        _await_update(view)
        assert _range(view, "accuracy") == zoomed
        assert [each for each in view.faults if "503" not in each] == []
        view.faults.clear()


def _busy_at_first(looks: list[Route], route: Route) -> None:
    looks.append(route)
    if len(looks) == 1:
        route.fulfill(status=503, body="{}")
    else:
        route.continue_()


@pytest.mark.parametrize("chart", ["accuracy", "latency"])
def test_zoom_stays(browser: BrowserContext, history: Watch, chart: str) -> None:
    """A drag over a chart zooms it, an update keeps that, the other charts go on, and a double click goes back."""
    with viewing(browser, history) as view:
        view.open(f"/models/{CLASSIFIER}")
        whole, zoomed = _range(view, chart), _zoom(view, chart)
        share = (zoomed[1] - zoomed[0]) / (whole[1] - whole[0])
        assert share == pytest.approx(0.3, abs=0.03)
        other = _range(view, "traffic")
        _await_update(view)
        assert _range(view, chart) == zoomed
        assert _range(view, "traffic")[1] > other[1]
        view.page.locator(f"#{chart} .nsewdrag").first.dblclick()
        wait_until(lambda: _range(view, chart)[0] == whole[0], "the whole is shown again")


#: Steps become longer with time, and points fewer: what stays is what they add up to.
DRAWN_REQUESTS = """(() => {
    const lines = document.getElementById("traffic").data.map(({ x, y }) => ({ x: [...x].map(Date.parse), y: [...y] }));
    const steps = lines.filter(({ x }) => x.length > 1).map(({ x }) => x[1] - x[0]);
    return Math.round(lines.flatMap(({ y }) => y).reduce((a, b) => a + b, 0) * Math.min(...steps) / 1000);
})()"""


def test_new_prediction_appears(browser: BrowserContext, stage: Stage) -> None:
    """A request that comes while the page is open appears on it, in the figures and in the charts, without a reload."""
    with viewing(browser, stage.watch) as view:
        view.open(f"/models/{CLASSIFIER}")
        view.value("window.stayed = true")
        requests = view.page.locator(".figures dd").first
        count = int(requests.inner_text())
        asked = stage.ask(CLASSIFIER, frame_of(seed=4, rows=1))
        expect(requests).to_have_text(str(count + 1), timeout=PATIENCE_S * MS)
        wait_until(lambda: bool(view.value(DRAWN_REQUESTS) == count + 1), "the charts have it")
        assert view.value("window.stayed")
        view.open(f"/traces/{asked.trace_id}")
        view.value("window.stayed = true")
        cell = view.page.locator("[data-live=predictions] [data-label=Truth]")
        assert cell.inner_text() == "not known yet"
        stage.tell(asked, asked.answers)
        expect(cell).to_have_text(asked.answers[0], timeout=PATIENCE_S * MS)
        assert view.value("window.stayed")


def test_markup_of_others_does_nothing(browser: BrowserContext, history: Watch) -> None:
    """Markup in what others sent is text: no script of it runs on any page."""
    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    span = prediction_of(fresh_id(), [evil], model=evil, more={evil: evil})
    span.name = evil
    history.export(span, service=evil)
    with viewing(browser, history) as view:
        for path in ("/", "/traces", f"/traces/{span.trace_id.hex()}", "/health"):
            view.open(path)
            assert "owned" not in view.page.title()
            assert view.page.locator("main img").count() == 0


def test_screenshot(browser: BrowserContext, history: Watch) -> None:
    """The model's page can be shown in the README: its charts are drawn and nothing is cut off."""
    with viewing(browser, history) as view:
        view.open(f"/models/{CLASSIFIER}")
        expect(view.page.locator("#charts .main-svg").first).to_be_visible()
        path = os.environ.get("SARDONYX_SCREENSHOT") or None
        picture = view.page.screenshot(path=path, full_page=True, clip=ABOVE_THE_TABLES)
        assert picture.startswith(b"\x89PNG")
