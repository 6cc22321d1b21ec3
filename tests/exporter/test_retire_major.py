"""The end of a whole interface generation: refused while a real monitor has seen somebody call it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from monitor.scene import prediction_of, watching
from sardonyx import telemetry
from sardonyx.errors import InvalidInput, ModelNotFound, RouteNotFound, RuleBroken
from sardonyx.registry import Registry
from sardonyx.registry.v1.event_pb2 import Event
from sardonyx.registry.v1.interface_pb2 import DATATYPE_FP64, Input, Interface
from sardonyx.registry.v1.manifest_pb2 import Manifest
from sardonyx_exporter import canary, promote, retire_major, rollback, shadow
from sardonyx_exporter.app import main
from sardonyx_exporter.generation import place
from server.sink import free_port
from support.programs import running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

    from monitor.scene import Value, Watch

MODEL = "flight-delay"
HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS
#: Wide enough that no sentence is cut.
WIDE = {"COLUMNS": "400", "SARDONYX_REGISTRY": "", "SARDONYX_MONITOR": ""}


def placed(store: Registry, *names: str) -> Manifest:
    """A version to be, with such inputs, in the generation that an export would give it."""
    inputs = [Input(name=name, datatype=DATATYPE_FP64) for name in names]
    manifest = Manifest(interface=Interface(inputs=inputs))
    place(store, MODEL, manifest, store.versions(MODEL))
    return manifest


@pytest.fixture
def registry(tmp_path: Path) -> str:
    """Version 1 is live for v1, version 2 for v2, where calls without a version go; version 3 is another of v1."""
    location = str(tmp_path / "registry")
    store = Registry(location, create=True)
    for names in (["distance"], ["distance", "wind"], ["distance"]):
        store.publish(MODEL, b"graph", lambda _versions, names=names: placed(store, *names))  # type: ignore[misc]
    promote(MODEL, 1, registry=location)
    promote(MODEL, 2, registry=location, default_major=True)
    return location


@pytest.fixture
def watch(registry: str, tmp_path: Path) -> Iterator[Watch]:
    """A monitor of that registry, whose oldest call is one of v2, ten days ago."""
    with watching(tmp_path / "registry", tmp_path / "data") as watch:
        see(watch, "rebooking", major=2, days_ago=10)
        yield watch


def see(watch: Watch, caller: str, *, major: int = 1, days_ago: float = 0, calls: int = 1, route: str = "live") -> None:
    """Let the monitor see calls, as servers tell it of them."""
    more: dict[str, Value] = {telemetry.INTERFACE_MAJOR: major, telemetry.CALLER: caller, telemetry.ROUTE: route}
    spans = [prediction_of(f"{caller}-{number}", ["late"], model=MODEL, more=more) for number in range(calls)]
    for span in spans:
        span.start_time_unix_nano -= int(days_ago * DAY_NS)
        span.end_time_unix_nano -= int(days_ago * DAY_NS)
    watch.export(*spans)


def refusal(registry: str, monitor: str, **options: Any) -> str:
    """What is said to whoever wants to retire v1; the log is as it was."""
    before = Registry(registry).events(MODEL)
    with pytest.raises(RuleBroken) as caught:
        retire_major(MODEL, 1, registry=registry, monitor=monitor, **options)
    assert Registry(registry).events(MODEL) == before
    return caught.value.message


def run(*arguments: object) -> Result:
    """The command line, to its end."""
    return CliRunner(env=WIDE).invoke(main, [str(argument) for argument in arguments])


def test_callers_are_named(registry: str, watch: Watch) -> None:
    """Whoever called within the time is named, the busiest first, with how many calls and when; shadows are nobody."""
    see(watch, "gate-display", calls=3)
    see(watch, "crew", days_ago=2)
    see(watch, "forgotten", days_ago=8)
    see(watch, "mirror", route="shadow")
    said = refusal(registry, watch.url)

    assert "v1 of 'flight-delay' was not retired: within 7d it was called by gate-display (3 calls, the last at" in said
    assert "crew (1 call, the last at" in said
    assert not any(name in said for name in ("forgotten", "mirror", "rebooking"))
    assert "--force" in said
    assert "forgotten" in refusal(registry, watch.url, unused_for="9d")
    assert "crew" not in refusal(registry, watch.url, unused_for="36h")


def test_of_many_callers_the_busiest_are_named(registry: str, watch: Watch) -> None:
    """A refusal is one sentence, however many call."""
    for number in range(8):
        see(watch, f"caller-{number}", calls=number + 1)
    see(watch, "", calls=9)
    said = refusal(registry, watch.url)

    assert "called by somebody without a name (9 calls" in said
    assert "caller-4" in said
    assert "caller-3" not in said
    assert "and 4 more." in said


def test_what_nobody_calls_is_retired(registry: str, watch: Watch) -> None:
    """Once the calls are old enough the generation ends, and the log says who did it and why."""
    see(watch, "gate-display", days_ago=8)
    result = retire_major(MODEL, 1, registry=registry, monitor=watch.url, reason="all moved to v2", actor="ada")

    assert (result.interface_major, result.changed, result.forced, result.default_major) == (1, True, False, 2)
    last = Registry(registry).events(MODEL)[-1]
    assert (last.kind, last.version, last.interface_major) == (Event.KIND_MAJOR_RETIRED, 0, 1)
    assert (last.actor, last.reason) == ("ada", "all moved to v2")
    assert not retire_major(MODEL, 1, registry=registry, monitor="nobody is asked again").changed


def test_a_monitor_that_is_too_young_cannot_vouch(registry: str, tmp_path: Path) -> None:
    """No call seen means no call made only where the monitor was there: it says since when it has been."""
    with watching(tmp_path / "registry", tmp_path / "data") as watch:
        assert "has seen no call of any model yet" in refusal(registry, watch.url)
        see(watch, "rebooking", major=2, days_ago=1)
        said = refusal(registry, watch.url)
        assert "nobody was seen calling it, but the monitor's oldest call is of " in said
        assert "and 7d were asked for. Wait, ask for less (--unused-for), or retire it by force" in said
        assert retire_major(MODEL, 1, registry=registry, monitor=watch.url, unused_for="23h").changed


def test_a_monitor_that_does_not_answer_is_a_refusal(registry: str, tmp_path: Path) -> None:
    """Where nobody knows who calls, nothing is retired, and the sentence says how to go on."""
    address = f"http://127.0.0.1:{free_port()}"
    said = refusal(registry, address)
    assert f"the monitor at {address} knows who calls it, and it cannot be reached: [Errno 111]" in said
    assert "Start it, name another (--monitor), or retire it by force, with the reason" in said
    assert "write http://host:port" in refusal(registry, "127.0.0.1:8080")
    for wrong in ("file:///etc/hostname", "http://[::1", "http://127.0.0.1:8080/ü", ""):
        assert "that is no address of a page: write http://host:port" in refusal(registry, wrong)
    with running_server(tmp_path / "registry", "--workers", "1", "--drain-grace-s", "0") as server:
        assert "it cannot be reached: " in refusal(registry, f"http://{server}")
    with watching(tmp_path / "elsewhere", tmp_path / "data") as watch:
        assert "it answers with status 404: There is no model named 'flight-delay' here" in refusal(registry, watch.url)
        assert "it answers with status 404: Not Found" in refusal(registry, f"{watch.url}/health")


def test_force_asks_nobody_and_owes_a_reason(registry: str) -> None:
    """With force no monitor is needed, and the log keeps that it was force, and why."""
    with pytest.raises(RuleBroken, match="by force owes its callers a reason"):
        retire_major(MODEL, 1, registry=registry, force=True)
    assert retire_major(MODEL, 1, registry=registry, force=True, reason="it leaks").forced
    assert Registry(registry).events(MODEL)[-1].reason == "forced: it leaks"


def test_the_default_generation_is_not_retired_beside_others(registry: str) -> None:
    """Calls that name no version must have somewhere to go; even force does not change that."""
    with pytest.raises(RuleBroken, match=r"go to v2 of .* Lead them elsewhere first, such as by") as refused:
        retire_major(MODEL, 2, registry=registry, force=True, reason="any")
    assert f"`sardonyx-exporter promote flight-delay 1 --default-major --registry {registry}`" in refused.value.message
    assert retire_major(MODEL, 1, registry=registry, force=True, reason="any").default_major == 2
    assert retire_major(MODEL, 2, registry=registry, force=True, reason="the model ends").default_major == 0


def test_nothing_leads_to_a_retired_generation(registry: str) -> None:
    """Its versions are refused on every route; what is exported anew begins a generation whose number nobody had."""
    retire_major(MODEL, 1, registry=registry, force=True, reason="any")
    for act in (
        lambda: promote(MODEL, 3, registry=registry),
        lambda: canary(MODEL, 3, percent=5, registry=registry),
        lambda: shadow(MODEL, 3, percent=5, registry=registry),
    ):
        with pytest.raises(RuleBroken, match="v1 of 'flight-delay' was retired, and version 3 with it"):
            act()
    with pytest.raises(RuleBroken, match="Nothing was live before on v1"):
        rollback(MODEL, registry=registry, major=1)
    store = Registry(registry)
    assert placed(store, "distance").interface_major == 3
    assert placed(store, "distance", "wind").interface_major == 2
    retire_major(MODEL, 2, registry=registry, force=True, reason="any")
    assert placed(store, "distance", "wind").interface_major == 3


def test_what_there_is_not_is_not_retired(registry: str) -> None:
    """A model, a generation and a span of time that do not exist are named."""
    with pytest.raises(ModelNotFound):
        retire_major("flight-delays", 1, registry=registry)
    with pytest.raises(RouteNotFound, match=r"no route 'v3'\. Routes are 'v1' or 'v2'\."):
        retire_major(MODEL, 3, registry=registry)
    for wrong in ("a week", "7", "0d", "-1d", "1w", "1.5h", "999999999d", "7d "):
        with pytest.raises(InvalidInput, match=r"is no span of time\. Write a whole number and s, m, h or d"):
            retire_major(MODEL, 1, registry=registry, unused_for=wrong)


def test_the_command_says_what_it_did(registry: str, watch: Watch) -> None:
    """A refusal exits 1 with the callers; by force it is one sentence, and one object for scripts."""
    see(watch, "gate-display")
    options = ("--registry", registry, "--monitor", watch.url)
    said = run("retire", MODEL, "v1", *options)
    assert (said.exit_code, said.stdout) == (1, "")
    assert "called by gate-display (1 call" in said.stderr
    done = run("retire", MODEL, "v1", *options, "--force", "--reason", "they know")
    assert done.stdout == (
        "v1 of flight-delay is retired by force: servers answer it no more, and nothing of it can go live again."
        " What names no version goes to v2.\n"
    )
    again = run("retire", MODEL, "v1", *options, "--json")
    assert json.loads(again.stdout) == {
        "model": MODEL,
        "interface_major": 1,
        "changed": False,
        "forced": False,
        "default_major": 2,
    }
    listed = {each["version"]: each["retired"] for each in json.loads(run("list", *options[:2], "--json").stdout)}
    assert listed == {1: True, 2: False, 3: True}
    shown = json.loads(run("show", MODEL, 3, *options[:2], "--json").stdout)
    assert [each["kind"] for each in shown["events"]] == ["KIND_MAJOR_RETIRED"]


def test_the_monitor_says_who_calls_which(registry: str, watch: Watch) -> None:
    """/api tells callers by interface, for any span of time, and since when the monitor has been there."""
    see(watch, "gate-display", calls=2)
    seen = watch.api(f"/models/{MODEL}/callers", within="1h")
    assert [(each["major"], each["caller"], each["requests"], each["version"]) for each in seen["callers"]] == [
        (1, "gate-display", 2, 1)
    ]
    assert seen["whole"]
    age = datetime.fromisoformat(seen["until"]) - datetime.fromisoformat(seen["watched_since"])
    assert age.days == 10
    longer = watch.api(f"/models/{MODEL}/callers", within="11d")
    assert [each["caller"] for each in longer["callers"]] == ["rebooking", "gate-display"]
    assert not longer["whole"]
    wrong = watch.web.get(f"/api/models/{MODEL}/callers", params={"within": "soon"})
    assert wrong.status_code == 400
    assert "'soon' is no span of time" in wrong.json()["error"]["message"]
