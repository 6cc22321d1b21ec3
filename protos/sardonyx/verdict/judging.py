"""The verdict on a change of interface: whether the new version may answer those who call the old one."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from sardonyx.interface import digest
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.registry.v1 import manifest_pb2
from sardonyx.registry.v1.interface_pb2 import Input, Interface, Ledger, Output
from sardonyx.typed import drop, form, package_of, schema
from sardonyx.verdict import semantic, wire
from sardonyx.verdict.reason import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.descriptor_pb2 import FileDescriptorProto

T = TypeVar("T", Input, Output)


class Kind(enum.StrEnum):
    """What a new version means to those who call the one before."""

    FIRST = "first"
    RETRAIN = "retrain"
    COMPATIBLE = "compatible"
    BREAKING = "breaking"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A computed judgement on a change of interface.

    Attributes:
        kind: retrain and compatible may take the live route of the same generation; breaking becomes the next one.
        reasons: what differs; those that break come first.
    """

    kind: Kind
    reasons: tuple[Reason, ...] = ()

    @property
    def breaks(self) -> bool:
        """Whether calls of the old interface would fail, or mean something else."""
        return self.kind is Kind.BREAKING

    def message(self, version: int) -> manifest_pb2.Verdict:
        """The verdict as a manifest keeps it; ``version`` is the one whose callers are meant."""
        kept = manifest_pb2.Verdict(kind=_KINDS[self.kind], version=version)
        for each in self.reasons:
            kept.reasons.add(rule=each.rule, change=each.change, meaning=each.meaning, breaking=each.breaking)
        return kept


_KINDS: Final = {
    Kind.FIRST: manifest_pb2.Verdict.KIND_FIRST,
    Kind.RETRAIN: manifest_pb2.Verdict.KIND_RETRAIN,
    Kind.COMPATIBLE: manifest_pb2.Verdict.KIND_COMPATIBLE,
    Kind.BREAKING: manifest_pb2.Verdict.KIND_BREAKING,
}

_RESTATED: Final = Reason(
    "INTERFACE_RESTATED", "the interface says the same in another way", "Nothing changes for callers.", breaking=False
)


def judge(old: Interface | None, new: Interface, ledger: Ledger) -> Verdict:
    """Compare a new version's interface with that of the version whose callers it would take over.

    Args:
        old: None where there was no version before.
        new: with its numbers.
        ledger: has every name of both.
    """
    if old is None:
        return Verdict(Kind.FIRST)
    if digest(old) == digest(new):
        return Verdict(Kind.RETRAIN)
    reasons = [*semantic.compare(old, new), *wire.compare(*schemas(old, new, ledger))]
    reasons.sort(key=lambda reason: not reason.breaking)
    kind = Kind.BREAKING if any(reason.breaking for reason in reasons) else Kind.COMPATIBLE
    return Verdict(kind, tuple(reasons) or (_RESTATED,))


def judge_former(former: Interface, live: Interface, new: Interface, ledger: Ledger) -> Verdict:
    """Judge what a new version makes of the calls of one that was rolled back from.

    Its callers may go on to send and read what the live version does not have, which is passed over meanwhile. Where
    the new version has that too, it must mean the same; all else is between the new version and the live one.

    Args:
        former: what was rolled back from.
        live: what answers now.
        new: with its numbers.
        ledger: has every name of all.
    """
    before = Interface()
    before.CopyFrom(new)
    _take_back(before.inputs, former.inputs, live.inputs)
    _take_back(before.outputs, former.outputs, live.outputs)
    return judge(before, new, ledger)


def _take_back(tensors: Iterable[T], former: Iterable[T], live: Iterable[T]) -> None:
    """Make tensors what they were, but for those that the live version has, and those that there were none of."""
    known = {each.name for each in live}
    were = {each.name: each for each in former if each.name not in known}
    for each in tensors:
        if each.name in were:
            each.CopyFrom(were[each.name])


def schemas(
    old: Interface, new: Interface, ledger: Ledger, model: str = "m"
) -> tuple[FileDescriptorProto, FileDescriptorProto]:
    """What callers would compile before and after, were both in one package: what is dropped is reserved."""
    package = package_of(model, 1)
    kept = _entries(old, ledger)
    gone = drop(new, Ledger(entries=[entry for entry in ledger.entries if (entry.kind, entry.name) in kept]))
    # A number that was given to another name is taken: the rules below say so.
    taken = {(pb.LedgerEntry.KIND_INPUT, each.number) for each in new.inputs}
    taken |= {(pb.LedgerEntry.KIND_OUTPUT, each.number) for each in new.outputs}
    dropped = Ledger(entries=[entry for entry in gone.entries if (entry.kind, entry.number) not in taken])
    return schema(form(model, package, old, ledger)), schema(form(model, package, new, ledger, dropped))


def _entries(interface: Interface, ledger: Ledger) -> set[tuple[int, str]]:
    """The entries of a ledger that an interface has."""
    foreign = {(entry.kind, entry.name) for entry in drop(interface, ledger).entries}
    return {(entry.kind, entry.name) for entry in ledger.entries if (entry.kind, entry.name) not in foreign}
