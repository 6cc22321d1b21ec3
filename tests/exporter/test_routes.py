"""Routes beside the live one, by the exporter's acts and its command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from click.testing import CliRunner

from sardonyx.errors import RuleBroken, VersionNotFound
from sardonyx.registry import MajorRoutes, Registry, Share
from sardonyx.registry.v1.event_pb2 import Event
from sardonyx.registry.v1.interface_pb2 import DATATYPE_FP64, Input, Interface
from sardonyx.registry.v1.manifest_pb2 import Manifest
from sardonyx_exporter import canary, promote, retire, rollback, shadow
from sardonyx_exporter.app import main

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

MODEL = "flight-delay"
#: Wide enough that no table is cut.
WIDE = {"COLUMNS": "240", "SARDONYX_REGISTRY": ""}


@pytest.fixture
def registry(tmp_path: Path) -> str:
    """Versions 1 to 3 of interface 1, of which 1 is live, and version 4 of interface 2."""
    store = Registry(tmp_path, create=True)
    for major in (1, 1, 1, 2):
        manifest = Manifest(
            interface_major=major, interface=Interface(inputs=[Input(name="distance", datatype=DATATYPE_FP64)])
        )
        store.publish(MODEL, b"graph", lambda _versions, manifest=manifest: manifest)  # type: ignore[misc]
    promote(MODEL, 1, registry=tmp_path)
    return str(tmp_path)


def _state(registry: str, major: int = 1) -> MajorRoutes:
    return Registry(registry).routes(MODEL).majors[major]


def _events(registry: str) -> list[tuple[str, int, float]]:
    events = Registry(registry).events(MODEL)
    return [(Event.Kind.Name(event.kind).removeprefix("KIND_"), event.version, event.percent) for event in events]


def _run(*arguments: object) -> Result:
    return CliRunner(env=WIDE).invoke(main, [str(argument) for argument in arguments])


def _done(*arguments: object) -> str:
    result = _run(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def _json(*arguments: object) -> Any:
    return json.loads(_done(*arguments, "--json"))


def _refusal(*arguments: object, status: int = 1) -> str:
    result = _run(*arguments)
    assert (result.exit_code, result.stdout) == (status, ""), result.output
    assert "Traceback" not in result.stderr
    return result.stderr


# ---------------------------------------------------------------------------------------------------------------- acts


def test_a_canary_is_approved_and_gets_its_share(registry: str) -> None:
    """Who gets answers from it can see who answers for it: the approval stands before the share."""
    result = canary(MODEL, 2, percent=30, registry=registry, reason="try it", actor="ada")

    assert (result.route, result.percent, result.live, result.replaced, result.changed) == ("canary", 30, 1, 0, True)
    assert _state(registry) == MajorRoutes(1, canary=Share(2, 30))
    assert _events(registry)[2:] == [("APPROVED", 2, 0), ("CANARY", 2, 30)]
    last = Registry(registry).events(MODEL)[-1]
    assert (last.actor, last.reason, last.interface_major) == ("ada", "try it", 1)


def test_a_shadow_needs_no_approval(registry: str) -> None:
    """Nobody gets its answers, so nobody needs to answer for it."""
    shadow(MODEL, 2, percent=100, registry=registry)

    assert _state(registry) == MajorRoutes(1, shadow=Share(2, 100))
    assert _events(registry)[2:] == [("SHADOW", 2, 100)]


def test_a_share_grows_moves_on_and_ends(registry: str) -> None:
    """Each act says what it changed, whom it replaced, and what the canary is after it."""
    first = canary(MODEL, 2, percent=10, registry=registry)
    more = canary(MODEL, 2, percent=50, registry=registry)
    other = canary(MODEL, 3, percent=5, registry=registry)
    late = canary(MODEL, 2, percent=0, registry=registry)
    end = canary(MODEL, 3, percent=0, registry=registry)

    assert [each.replaced for each in (first, more, other, late, end)] == [0, 0, 2, 0, 0]
    assert [each.changed for each in (first, more, other, late, end)] == [True, True, True, False, True]
    assert _state(registry) == MajorRoutes(1)


@pytest.mark.parametrize("act", [canary, shadow])
def test_the_same_act_twice_changes_nothing(registry: str, act: Any) -> None:
    """The second writes no event and says so; nor does the end of what has not begun."""
    assert act(MODEL, 2, percent=0, registry=registry).changed is False
    act(MODEL, 2, percent=10, registry=registry)
    written = _events(registry)

    assert act(MODEL, 2, percent=10, registry=registry).changed is False
    assert _events(registry) == written


@pytest.mark.parametrize("act", [canary, shadow])
@pytest.mark.parametrize(
    ("version", "percent", "said"),
    [
        (1, 10, "Version 1 of 'flight-delay' is live for v1 and answers everybody. Name another version"),
        (4, 10, "Nothing is live for v2 of 'flight-delay', the interface of version 4"),
        (4, 10, "Promote a version of v2 first."),
        (2, 100.5, "100.5 % is no share. Give a number above 0 and at most 100, or 0 to end it."),
        (2, -1, "-1 % is no share."),
        (2, np.nan, "nan % is no share."),
    ],
)
def test_what_may_not_be_is_refused_and_not_written(
    registry: str, act: Any, version: int, percent: float, said: str
) -> None:
    """A refusal says what to do instead, and leaves the log as it was: not even an approval is written."""
    written = _events(registry)
    with pytest.raises(RuleBroken) as refused:
        act(MODEL, version, percent=percent, registry=registry)

    assert said in refused.value.message
    assert _events(registry) == written


def test_a_promoted_canary_is_canary_no_more(registry: str) -> None:
    """It answers everybody: no share is left over, and the next canary starts anew."""
    canary(MODEL, 2, percent=30, registry=registry)
    shadow(MODEL, 2, percent=30, registry=registry)
    promote(MODEL, 2, registry=registry)

    assert _state(registry) == MajorRoutes(2, (1,))


def test_a_rollback_leaves_the_canary(registry: str) -> None:
    """What takes a share beside the live version goes on beside the one that comes back."""
    promote(MODEL, 2, registry=registry)
    canary(MODEL, 3, percent=30, registry=registry)
    rollback(MODEL, registry=registry)

    assert _state(registry) == MajorRoutes(1, canary=Share(3, 30))


def test_nothing_leads_to_a_retired_version(registry: str) -> None:
    """A retired version is refused as live, canary and shadow, and a rollback passes over it."""
    promote(MODEL, 2, registry=registry)
    promote(MODEL, 3, registry=registry)
    assert retire(MODEL, 2, registry=registry, reason="leaks").changed
    assert not retire(MODEL, 2, registry=registry).changed
    written = _events(registry)

    for act in (promote, canary, shadow):
        options: dict[str, Any] = {} if act is promote else {"percent": 10}
        with pytest.raises(RuleBroken, match=r"Version 2 of 'flight-delay' was retired. Export it again"):
            act(MODEL, 2, registry=registry, **options)
    assert _events(registry) == written
    assert rollback(MODEL, registry=registry).version == 1


def test_who_answers_is_not_retired(registry: str) -> None:
    """A live version and a canary are refused with what to do first; a shadow just ends."""
    canary(MODEL, 2, percent=30, registry=registry)
    shadow(MODEL, 3, percent=30, registry=registry)
    with pytest.raises(RuleBroken, match=r"is live for v1. Promote another version or roll back, then retire it\."):
        retire(MODEL, 1, registry=registry)
    with pytest.raises(RuleBroken, match=r"is the canary of v1 and answers 30 % of its calls. End that first"):
        retire(MODEL, 2, registry=registry)
    retire(MODEL, 3, registry=registry)

    assert _state(registry) == MajorRoutes(1, canary=Share(2, 30))
    canary(MODEL, 2, percent=0, registry=registry)
    assert retire(MODEL, 2, registry=registry).changed


@pytest.mark.parametrize("act", [promote, canary, shadow, retire])
def test_an_unknown_version_is_named(registry: str, act: Any) -> None:
    """A version that nobody exported is not found, whatever is asked of it; none that was retired is proposed."""
    options: dict[str, Any] = {"percent": 10} if act in (canary, shadow) else {}
    with pytest.raises(VersionNotFound, match="There is '1', '2', '3' or '4'"):
        act(MODEL, 9, registry=registry, **options)
    retire(MODEL, 3, registry=registry)
    with pytest.raises(VersionNotFound, match="There is '1', '2' or '4'"):
        act(MODEL, 9, registry=registry, **options)


# -------------------------------------------------------------------------------------------------------- command line


def test_the_commands_say_what_they_did(registry: str) -> None:
    """One sentence an act: who answers what from now on."""
    options = ("--registry", registry)
    said = [
        _done("canary", MODEL, 2, "--percent", 12.5, *options),
        _done("canary", MODEL, 2, "--percent", 12.5, *options),
        _done("canary", MODEL, 3, "--percent", 1, *options),
        _done("shadow", MODEL, 2, "--percent", 50, *options),
        _done("canary", MODEL, 3, "--percent", 0, *options),
        _done("canary", MODEL, 3, "--percent", 0, *options),
        _done("shadow", MODEL, 2, "--percent", 0, *options),
        _done("retire", MODEL, 3, *options),
        _done("retire", MODEL, 3, *options),
    ]

    assert said == [
        "flight-delay: version 2 answers 12.5 % of what goes to v1 now, and version 1 the rest.\n",
        "flight-delay version 2 is the canary of v1 with 12.5 % already; nothing changed.\n",
        (
            "flight-delay: version 3 answers 1 % of what goes to v1 now, and version 1 the rest."
            " Before it, version 2 was the canary.\n"
        ),
        "flight-delay: version 2 sees 50 % of what version 1 answers for v1 now.\n",
        "flight-delay: version 3 is the canary of v1 no more. Version 1 answers everybody.\n",
        "flight-delay version 3 is no canary; nothing changed.\n",
        "flight-delay: version 2 is the shadow of v1 no more.\n",
        "flight-delay: retired version 3 (of v1). No route leads to it any more, and no rollback.\n",
        "flight-delay version 3 (of v1) is retired already; nothing changed.\n",
    ]


def test_the_commands_say_it_to_scripts(registry: str) -> None:
    """With --json an act is one object, and the reason is in the log."""
    options = ("--registry", registry, "--reason", "a try")
    assert _json("canary", MODEL, 2, "--percent", 30, *options) == {
        "model": MODEL,
        "version": 2,
        "interface_major": 1,
        "route": "canary",
        "percent": 30.0,
        "live": 1,
        "replaced": 0,
        "changed": True,
    }
    assert _json("shadow", MODEL, 3, "--percent", 30, *options)["route"] == "shadow"
    assert _json("retire", MODEL, 3, *options) == {
        "model": MODEL,
        "version": 3,
        "interface_major": 1,
        "changed": True,
        "same_number_major": False,
    }
    assert {event.reason for event in Registry(registry).events(MODEL)[2:]} == {"a try"}


def test_a_number_is_a_version_and_the_interface_of_that_number_is_told_apart(registry: str) -> None:
    """Who retires 1 is told of which interface that version was, that v1 goes on, and what would end v1."""
    options = ("--registry", registry)
    whole = f"`sardonyx-exporter retire flight-delay v1 --registry {registry}`"
    live = " ".join(_refusal("retire", MODEL, 1, *options).split())
    promote(MODEL, 2, registry=registry)
    retired = _done("retire", MODEL, 1, *options)
    again = _done("retire", MODEL, 1, *options)

    assert live.endswith(f"roll back, then retire it. The whole interface v1 ends by {whole}.")
    assert retired == (
        "flight-delay: retired version 1 (of v1). No route leads to it any more, and no rollback."
        f" The interface v1 goes on: {whole} ends it.\n"
    )
    assert again == (
        "flight-delay version 1 (of v1) is retired already; nothing changed."
        f" The interface v1 goes on: {whole} ends it.\n"
    )
    assert _json("retire", MODEL, 1, *options)["same_number_major"] is True
    assert "Version 1 of 'flight-delay' was retired." in _refusal("promote", MODEL, 1, *options)


def test_it_is_said_when_the_default_moves(registry: str) -> None:
    """Both when a version goes live and when it is live already: from which interface to which."""
    options = ("--registry", registry)
    move = f"`sardonyx-exporter promote flight-delay 4 --default-major --registry {registry}`"
    assert _done("promote", MODEL, 4, *options) == (
        "flight-delay: promoted version 4, live for v2 now."
        f" Calls that name no version still go to v1: {move} moves them.\n"
    )
    moved = _json("promote", MODEL, 4, "--default-major", *options)
    assert (moved["changed"], moved["default_major"], moved["previous_default_major"]) == (True, 2, 1)
    assert _done("promote", MODEL, 1, "--default-major", *options) == (
        "flight-delay version 1 is live for v1 already. Calls that name no version go to v1 now, before it was v2.\n"
    )
    assert _done("promote", MODEL, 1, "--default-major", *options).endswith("is live already; nothing changed.\n")
    retire(MODEL, 3, registry=registry)
    assert _done("promote", MODEL, 2, *options).endswith("before it was 1.\n")


def test_a_value_behind_the_flag_is_told_what_the_flag_does(registry: str) -> None:
    """The default moves to the interface of the version: nobody names it."""
    said = _refusal("promote", MODEL, 2, "--default-major", 9, "--registry", registry, status=2)
    assert "promote takes NAME and VERSION, and nothing more: what is '9'?" in said
    assert "--default-major takes no value: the default moves to the interface of VERSION." in said
    assert "takes no value" not in _refusal("promote", MODEL, 2, 9, "--registry", registry, status=2)
    assert "'v2' is an interface. Give a version, such as 3." in _refusal(
        "promote", MODEL, "v2", "--registry", registry, status=2
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["canary", MODEL, "2"],
        ["canary", MODEL, "--percent", "3"],
        ["canary", MODEL, "2", "--percent", "101"],
        ["shadow", MODEL, "2", "--percent", "-1"],
        ["shadow", MODEL, "2", "--percent", "half"],
        ["canary", MODEL, "2", "--percent", "nan"],
        ["retire", MODEL],
        ["retire", MODEL, "w1"],
        ["retire", MODEL, "1", "--force"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_2(registry: str, arguments: list[str]) -> None:
    """A share that is missing or out of range is wrong usage, and says how it goes."""
    said = _refusal(*arguments, "--registry", registry, status=2)

    assert "Usage: " in said


def test_a_rule_is_a_sentence(registry: str) -> None:
    """What a rule forbids exits 1 with a sentence."""
    options = ("--registry", registry)
    assert "Nothing is live for v2" in _refusal("canary", MODEL, 4, "--percent", 3, *options)
    assert "is live for v1" in _refusal("retire", MODEL, 1, *options)


@pytest.mark.parametrize("command", ["canary", "shadow", "retire"])
def test_help_has_an_example(command: str) -> None:
    """Each command's help shows how it goes."""
    assert f"sardonyx-exporter {command} flight-delay" in _done(command, "--help")


def test_list_and_show_say_which_routes_lead_to_a_version(registry: str) -> None:
    """Every version's line names its routes and shares, and scripts get them as numbers."""
    promote(MODEL, 4, registry=registry)
    canary(MODEL, 2, percent=30, registry=registry)
    shadow(MODEL, 2, percent=2.5, registry=registry)
    retire(MODEL, 3, registry=registry)
    table = _done("list", "--registry", registry)
    lines = [line for line in table.splitlines() if MODEL in line]
    data = _json("list", "--registry", registry)

    for line, marks in zip(lines, ["live, default", "canary 30 %, shadow 2.5 %", "retired", "live"], strict=True):
        assert f" {marks} " in line
    keys = ("live", "default", "canary_percent", "shadow_percent", "retired")
    assert [tuple(each[key] for key in keys) for each in data] == [
        (True, True, 0, 0, False),
        (False, False, 30, 2.5, False),
        (False, False, 0, 0, True),
        (True, False, 0, 0, False),
    ]
    shown = _json("show", MODEL, 2, "--registry", registry)
    assert (shown["canary_percent"], shown["events"][-1]["percent"]) == (30, 2.5)
    assert "interface v1 canary 30 %, shadow 2.5 %" in _done("show", MODEL, 2, "--registry", registry)


def test_show_tells_each_share_that_a_version_had(registry: str) -> None:
    """The events of a version say how large its share was, and when it ended."""
    canary(MODEL, 2, percent=30, registry=registry)
    canary(MODEL, 2, percent=0, registry=registry)
    shadow(MODEL, 2, percent=50, registry=registry)
    # What a later release may write.
    kind = cast(Event.Kind.ValueType, 99)
    Registry(registry).append(MODEL, lambda _routes: Event(kind=kind, version=2, interface_major=1))
    lines = _done("show", MODEL, 2, "--registry", registry).splitlines()

    for what in ("approved", "canary 30 %", "canary ended", "shadow 50 %", "kind 99"):
        assert sum(f" {what} " in line for line in lines if "v1" in line and "interface v1" not in line) == 1
