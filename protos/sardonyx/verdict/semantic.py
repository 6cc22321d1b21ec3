"""What a change means, where the wire sees nothing: names, units, ranges, categories, policies, classes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sardonyx.interface import DATATYPE_NAMES
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.typed.schema import number
from sardonyx.verdict.reason import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sardonyx.registry.v1.interface_pb2 import Input, Interface, Output

#: So many names of one change are given; the rest are counted.
_NAMED_MAX = 5


def compare(old: Interface, new: Interface) -> list[Reason]:
    """What callers of the old interface notice of the new one; the order of tensors is none of it."""
    found = [*_inputs(old, new), *_outputs(old, new)]
    if old.task != new.task:
        found.append(_breaking("TASK_CHANGED", "the task changed", "An answer is another kind of statement."))
    return found


# -------------------------------------------------------------------------------------------------------------- inputs


def _inputs(old: Interface, new: Interface) -> Iterator[Reason]:
    before, after = {each.name: each for each in old.inputs}, {each.name: each for each in new.inputs}
    for name in _without(before, after):
        yield _breaking("INPUT_REMOVED", f"input {name!r} is gone", "Calls that send it are refused.")
    for name in _without(after, before):
        yield _input_added(after[name])
    yield from _numbers("input", old.inputs, new.inputs)
    for name in [each for each in before if each in after]:
        yield from _input(f"input {name!r}", before[name], after[name])


def _input_added(tensor: Input) -> Reason:
    named = f"input {tensor.name!r} is new"
    if tensor.optional:
        meaning = "Calls without it are answered as if its value were missing."
        return _compatible("OPTIONAL_INPUT_ADDED", f"{named} and may be left out", meaning)
    meaning = "Calls without it are refused."
    if tensor.missing == pb.MISSING_POLICY_ALLOWED:
        meaning = (
            "Calls of tensors without it are refused. The model knows what to do without it: export it with"
            f" optional=[{tensor.name!r}], and callers keep their interface."
        )
    return _breaking("REQUIRED_INPUT_ADDED", f"{named} and required", meaning)


def _input(named: str, old: Input, new: Input) -> Iterator[Reason]:
    yield from _shape("INPUT", named, old, new, "Calls send what is refused.")
    yield from _unit(named, old.unit, new.unit)
    if old.optional and not new.optional:
        yield _breaking("INPUT_MADE_REQUIRED", f"{named} is required now", "Calls without it are refused.")
    if new.optional and not old.optional:
        yield _compatible("INPUT_MADE_OPTIONAL", f"{named} may be left out now", "Calls may go on sending it.")
    yield from _missing(named, old, new)
    yield from _categories(named, old, new)
    yield from _range(named, old, new)


def _unit(named: str, old: str, new: str) -> Iterator[Reason]:
    if old == new:
        return
    if old:
        change = f"{named} is in {new} and was in {old}" if new else f"{named} is no longer said to be in {old}"
        yield _breaking("INPUT_UNIT_CHANGED", change, "The number that a call sends may mean something else.")
    else:
        meaning = "Nothing changes for calls that send it so already."
        yield _compatible("INPUT_UNIT_STATED", f"{named} is said to be in {new}", meaning)


def _missing(named: str, old: Input, new: Input) -> Iterator[Reason]:
    before, after = (each.missing == pb.MISSING_POLICY_ALLOWED for each in (old, new))
    if before and not after:
        yield _breaking("MISSING_REFUSED", f"{named} may not be missing now", "Calls with a missing value are refused.")
    if after and not before:
        yield _compatible("MISSING_ALLOWED", f"{named} may be missing now", "What was refused is answered.")


def _categories(named: str, old: Input, new: Input) -> Iterator[Reason]:
    before, after = (each.unknown_category == pb.UNKNOWN_CATEGORY_POLICY_REFUSED for each in (old, new))
    if before and not after:
        change = f"{named} may have any category now"
        yield _compatible("UNKNOWN_CATEGORY_ALLOWED", change, "What was refused is answered.")
    if after and not before:
        change = f"{named} may have one of {len(new.categories)} categories only"
        yield _breaking("UNKNOWN_CATEGORY_REFUSED", change, "Calls with any other are refused.")
    if not (before and after):
        return
    gone, added = _without(old.categories, new.categories), _without(new.categories, old.categories)
    if gone:
        change = f"{named} may no longer be {_listed(gone)}"
        yield _breaking("CATEGORIES_NARROWED", change, "Calls with that category are refused.")
    if added:
        yield _compatible("CATEGORIES_WIDENED", f"{named} may be {_listed(added)} too", "What was refused is answered.")


def _range(named: str, old: Input, new: Input) -> Iterator[Reason]:
    (low, high), (low_now, high_now) = _bounds(old), _bounds(new)
    change = f"{named} goes from {number(low_now)} to {number(high_now)}, and went from {number(low)} to {number(high)}"
    if low_now > low or high_now < high:
        yield _breaking("RANGE_NARROWED", change, "Calls with a value outside are refused.")
    if low_now < low or high_now > high:
        yield _compatible("RANGE_WIDENED", change, "Some of what was refused is answered.")


def _bounds(tensor: Input) -> tuple[float, float]:
    low = tensor.minimum if tensor.HasField("minimum") else -math.inf
    return low, tensor.maximum if tensor.HasField("maximum") else math.inf


# ------------------------------------------------------------------------------------------------------------- outputs


def _outputs(old: Interface, new: Interface) -> Iterator[Reason]:
    before, after = {each.name: each for each in old.outputs}, {each.name: each for each in new.outputs}
    for name in _without(before, after):
        yield _breaking("OUTPUT_REMOVED", f"output {name!r} is gone", "Callers that read it find nothing.")
    for name in _without(after, before):
        yield _compatible("OUTPUT_ADDED", f"output {name!r} is new", "Callers that do not know it pass over it.")
    yield from _numbers("output", old.outputs, new.outputs)
    for name in [each for each in before if each in after]:
        yield from _output(f"output {name!r}", before[name], after[name])


def _output(named: str, old: Output, new: Output) -> Iterator[Reason]:
    if old.kind != new.kind:
        change = f"{named} is {_kind(new)} and was {_kind(old)}"
        yield _breaking("OUTPUT_KIND_CHANGED", change, "An answer is another kind of statement.")
    yield from _shape("OUTPUT", named, old, new, "Callers read a type that is not sent.")
    yield from _classes(named, old.classes, new.classes)


def _classes(named: str, old: Sequence[str], new: Sequence[str]) -> Iterator[Reason]:
    gone, added = _without(old, new), _without(new, old)
    if gone:
        change = f"{named} has no class {_listed(gone)} any more"
        yield _breaking("CLASS_REMOVED", change, "Callers wait in vain for an answer that they act on.")
    if added:
        change = f"{named} has the class {_listed(added)} too"
        yield _breaking("CLASS_ADDED", change, "Callers get an answer that they have no branch for.")
    kept = set(old) & set(new)
    if [each for each in old if each in kept] != [each for each in new if each in kept]:
        change = f"{named} has its classes in another order"
        meaning = "Callers that read probabilities by position take one class for another."
        yield _breaking("CLASSES_REORDERED", change, meaning)


def _kind(output: Output) -> str:
    return pb.OutputKind.Name(output.kind).removeprefix("OUTPUT_KIND_").lower()


# -------------------------------------------------------------------------------------------------------- what is both


def _numbers(noun: str, old: Iterable[Input | Output], new: Iterable[Input | Output]) -> Iterator[Reason]:
    """Numbers follow names: a ledger that was kept never gives a reason here, and one that was not is found out."""
    names, numbers = {each.number: each.name for each in old}, {each.name: each.number for each in old}
    for tensor in new:
        named = f"{noun} {tensor.name!r} has the number {tensor.number}"
        other = names.get(tensor.number, tensor.name)
        if other != tensor.name:
            meaning = "The value would be taken for the other's, and nobody would notice."
            yield _breaking(f"{noun.upper()}_NUMBER_REUSED", f"{named}, which was that of {other!r}", meaning)
        before = numbers.get(tensor.name, tensor.number)
        if before != tensor.number:
            meaning = "Compiled callers look for it where it is not."
            yield _breaking(f"{noun.upper()}_NUMBER_CHANGED", f"{named} and had {before}", meaning)


def _shape(noun: str, named: str, old: Input | Output, new: Input | Output, meaning: str) -> Iterator[Reason]:
    if old.datatype != new.datatype:
        change = f"{named} is {DATATYPE_NAMES[new.datatype]} and was {DATATYPE_NAMES[old.datatype]}"
        yield _breaking(f"{noun}_DATATYPE_CHANGED", change, meaning)
    # Where every class has its value, the classes say it better.
    if old.width != new.width and getattr(old, "classes", ()) == getattr(new, "classes", ()):
        yield _breaking(f"{noun}_WIDTH_CHANGED", f"{named} is {_width(new)} a row and was {_width(old)}", meaning)


def _width(tensor: Input | Output) -> str:
    return f"{tensor.width} values" if tensor.width else "one value"


def _without(names: Iterable[str], others: Iterable[str]) -> list[str]:
    excluded = set(others)
    return [name for name in names if name not in excluded]


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _NAMED_MAX
    named = ", ".join(map(repr, names[:_NAMED_MAX]))
    return f"{named} and {rest} more" if rest > 0 else named


def _breaking(rule: str, change: str, meaning: str) -> Reason:
    return Reason(rule, change, meaning, breaking=True)


def _compatible(rule: str, change: str, meaning: str) -> Reason:
    return Reason(rule, change, meaning, breaking=False)
