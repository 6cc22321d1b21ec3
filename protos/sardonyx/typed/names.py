"""Names that any language takes, for names that people and data frames gave.

Callers compile these names, so they never change: they follow from the ledger alone, in the order in which it grew. Of
two names that would be spelled alike the older keeps the spelling, and the younger gets its number behind it.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from typing import TYPE_CHECKING, Final, NamedTuple

from sardonyx.errors import InvalidInput, Violation
from sardonyx.interface import numbers_of
from sardonyx.names import check_model_name
from sardonyx.registry.v1.interface_pb2 import Ledger, LedgerEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

#: Longer ones are cut: generated code repeats them in the names of its methods.
LENGTH_MAX: Final = 60

#: Where a symbol is all that tells two names apart, as with "<=50K" and ">50K", it is a word.
_SYMBOLS: Final = {
    "<": " less ",
    ">": " greater ",
    "=": " equal ",
    "%": " percent ",
    "+": " plus ",
    "&": " and ",
    "°": " deg ",
    "€": " euro ",
    "$": " dollar ",
    "µ": "u",
}
_MINUS: Final = re.compile(r"(?<![\w])-(?=\d)|(?<=\w)-(?!\w)")
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z0-9])(?=[A-Z][a-z])")

#: Words of Python, Java, C++ and JavaScript that no field or package can be called. The .proto language takes its own
#: words as names; generators for Go, Rust, C#, Kotlin and others spell names so that they meet no word of theirs.
_KEYWORDS: Final = """
    and as assert async await break class continue def del elif else except exec finally for from global if import in is
    lambda none nonlocal not or pass print raise return self try while with yield
    abstract boolean byte case catch char const default do enum extends false final goto implements instanceof int
    interface long native new null package private protected public short static strictfp super switch synchronized this
    throw throws transient true var void volatile
    auto bool delete double explicit export extern float friend inline mutable namespace operator register signed sizeof
    struct template typedef typeid typename typeof union unsigned using virtual
    arguments constructor debugger eval function has_own_property let prototype to_json to_string undefined value_of
"""
KEYWORDS: Final = frozenset(_KEYWORDS.split())
#: What the generated client calls its own arguments and variables.
_ARGUMENTS: Final = ["columns", "features", "prediction_id", "request", "routing_key", "timeout_s"]
#: What no field is called. A word more here, or one less, would rename what callers compiled.
RESERVED: Final = KEYWORDS.union(_ARGUMENTS)

_PREFIX: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*(\.[a-z][a-z0-9]*(_[a-z0-9]+)*)*")
#: Stands for a dash beside a dash in a package's name.
_DASH: Final = "dash"


def check_prefix(prefix: str) -> str:
    """Return what stands before the packages of a registry if it can; empty: nothing does.

    Raises:
        InvalidInput: it cannot; the message says what one looks like.
    """
    words = prefix.split(".") if prefix else []
    if prefix and not _PREFIX.fullmatch(prefix):
        rule = "a package has words of lower-case letters, digits and single underscores, with dots between them"
        raise InvalidInput([Violation("proto_prefix", f"{prefix!r} is no package: {rule}. Try 'acme.models'.")])
    reserved = [word for word in words if word in KEYWORDS]
    if reserved:
        why = f"{reserved[0]!r} is a word of a programming language. Choose another."
        raise InvalidInput([Violation("proto_prefix", why)])
    return prefix


def package_of(model: str, major: int, prefix: str = "") -> str:
    """The package of one generation of a model's interface; no two models share one."""
    return ".".join(filter(None, [check_prefix(prefix), module_of(model), f"v{major}"]))


def module_of(model: str) -> str:
    """A model's name as one word of a package, each model another: ``flight-delay`` is ``flight_delay``."""
    words = [_apart(word, _DASH) for word in check_model_name(model).split("-")]
    name = "_".join(words)
    bare = name
    while bare.endswith("_model"):
        bare = bare.removesuffix("_model")
    return f"{name}_model" if bare in KEYWORDS else name


def service_of(model: str) -> str:
    """The service's name: ``flight-delay`` is ``FlightDelayService``."""
    return "".join(word.capitalize() for word in module_of(model).split("_")) + "Service"


class Spelled(NamedTuple):
    """A name as callers write it.

    Attributes:
        field: in their language.
        json: in JSON, which takes the name as it is, but for a few.
    """

    field: str
    json: str


def input_fields(ledger: Ledger) -> dict[str, Spelled]:
    """The field of each input that any version had, by the input's name."""
    return _unique(numbers_of(ledger, LedgerEntry.KIND_INPUT), lambda name: _field(name, "input"))


def output_fields(ledger: Ledger) -> dict[str, Spelled]:
    """The field of each output that any version had, by the output's name. ``<field>_value`` is free for each."""
    numbers = numbers_of(ledger, LedgerEntry.KIND_OUTPUT)
    return _unique(numbers, lambda name: _field(name, "output"), also=("_value",))


def class_fields(ledger: Ledger) -> dict[str, Spelled]:
    """The field of each class that any version had, by the class."""
    return _unique(numbers_of(ledger, LedgerEntry.KIND_CLASS), lambda name: _field(name, "class"))


def class_symbols(ledger: Ledger) -> dict[str, str]:
    """The enum's value for each class that any version had, by the class: ``on time`` is ``LABEL_ON_TIME``."""
    numbers = numbers_of(ledger, LedgerEntry.KIND_CLASS)
    found = _unique(numbers, _spell, taken=["unspecified"])
    return {name: f"LABEL_{spelled.field.upper()}" for name, spelled in found.items()}


def default_json_name(field: str) -> str:
    """The name in JSON that protobuf gives a field that states none."""
    first, *rest = field.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def _apart(word: str, mark: str) -> str:
    """A word that is never empty: the mark for an empty one, and one mark more for those made of marks alone."""
    return word + mark if not word.replace(mark, "") else word


def _field(name: str, noun: str) -> str:
    spelled = _spell(name)
    return f"{noun}_{spelled}" if spelled[0].isdigit() or spelled in RESERVED else spelled


def _spell(name: str) -> str:
    """A name in lower-case letters and digits with single underscores."""
    text = _MINUS.sub(" minus ", name)
    for symbol, word in _SYMBOLS.items():
        text = text.replace(symbol, word)
    text = _CAMEL.sub("_", unicodedata.normalize("NFKD", text))
    # Twice: folding may bring up letters that have a simpler form.
    text = unicodedata.normalize("NFKD", text.casefold())
    text = "".join(letter for letter in text if not unicodedata.combining(letter))
    return "_".join(re.findall(r"[a-z0-9]+", text))[:LENGTH_MAX].rstrip("_") or "unnamed"


def _unique(
    numbers: Mapping[str, int],
    spell: Callable[[str], str],
    *,
    also: Collection[str] = (),
    taken: Iterable[str] = (),
) -> dict[str, Spelled]:
    """A spelling for each name; ``also`` are endings with which it must be unique too."""
    keys = {_key(spelling) for spelling in taken}
    # A name in JSON may be no other field's name either: readers take both.
    jsons = set[str]()
    found: dict[str, Spelled] = {}
    for name, number in sorted(numbers.items(), key=lambda entry: entry[1]):
        spelling = spell(name)
        while spelling in jsons or not keys.isdisjoint(_key(spelling + ending) for ending in ("", *also)):
            spelling = f"{spelling}_{number}"
        beside = [spelling + ending for ending in also]
        keys.update(map(_key, [spelling, *beside]))
        jsons.update([*beside, *map(default_json_name, beside)])
        json = next(each for each in _json_names(name, spelling) if each not in jsons)
        jsons.update([spelling, json])
        found[name] = Spelled(spelling, json)
    return found


def _json_names(name: str, spelling: str) -> Iterator[str]:
    """What a name may be in JSON, best first."""
    # Protobuf takes no others.
    if "\0" not in name and not (name.startswith("[") and name.endswith("]")):
        yield name
    default = default_json_name(spelling)
    yield default
    yield from (f"{default}_{number}" for number in itertools.count(2))


def _key(spelling: str) -> str:
    """Generators drop underscores and change the case: names that differ in nothing else are alike."""
    return spelling.replace("_", "")
