"""Two candidates, the choice between them, and the retraining.

    python -m flights.train --truths truths.csv --registry registry/ --result result.json

retrains, in a process of its own as a nightly job would, and exports; it does not promote. With --weather it fits a
model that is asked for more: the weather joins what callers send.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from flights.data import FEATURES, FEATURES_AND_WEATHER, NUMBERS, TARGET, TEXTS, WEATHER, WEATHER_UNITS, load
from sardonyx_exporter import ExportResult, export

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MODEL: Final = "flight-delay"
#: Three flights in four are on time, so accuracy hardly tells two models apart: what counts is how well they rank.
PRIMARY: Final = "roc_auc"
#: The retraining holds out every fifth day. Whole days: the weather makes the flights of one day alike.
HOLDOUT_EVERY_DAYS: Final = 5


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that was exported.

    Attributes:
        kind: its name in CANDIDATES.
        result: what the export said.
    """

    kind: str
    result: ExportResult

    @property
    def score(self) -> float:
        """The metric that decides."""
        return self.result.metrics[PRIMARY]


def logistic_regression(numbers: Sequence[str]) -> Pipeline:
    """One weight for each carrier, airport and number."""
    prepare = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), TEXTS),
        (StandardScaler(), numbers),
    )
    return make_pipeline(prepare, LogisticRegression(max_iter=500))


def gradient_boosting(numbers: Sequence[str]) -> Pipeline:
    """Trees, which find out by themselves that evenings are worse than mornings, and for whom."""
    prepare = make_column_transformer(
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), TEXTS),
        ("passthrough", numbers),
    )
    return make_pipeline(prepare, HistGradientBoostingClassifier(random_state=2013))


CANDIDATES: Final[dict[str, Callable[[Sequence[str]], Pipeline]]] = {
    "logistic regression": logistic_regression,
    "gradient boosting": gradient_boosting,
}


def fit_and_export(
    kind: str, fit: pd.DataFrame, holdout: pd.DataFrame, registry: Path, training_data: str, *, weather: bool = False
) -> Candidate:
    """Fit one candidate, with the weather or without, and register it with what it promises on the hold-out."""
    features, numbers = (FEATURES_AND_WEATHER, [*NUMBERS, *WEATHER]) if weather else (FEATURES, NUMBERS)
    # Beside a busy server, threads of OpenMP wait for one another: two on two cores took 125 s, one takes 6.
    with threadpool_limits(1, user_api="openmp"):
        result = export(
            CANDIDATES[kind](numbers).fit(fit[features], fit[TARGET]),
            name=MODEL,
            holdout=(holdout[features], holdout[TARGET]),
            registry=str(registry),
            description=f"{kind}, fitted on {training_data}",
            training_data=training_data,
            primary_metric=PRIMARY,
            units=WEATHER_UNITS if weather else None,
        )
    return Candidate(kind, result)


def train_all(flights: pd.DataFrame, registry: Path) -> list[Candidate]:
    """Every candidate, fitted on January and February, held to March; the best first."""
    fit, holdout = flights[flights["month"] <= 2], flights[flights["month"] == 3]
    found = [fit_and_export(kind, fit, holdout, registry, "January and February 2013") for kind in CANDIDATES]
    return sorted(found, key=lambda candidate: candidate.score, reverse=True)


def retrain(
    kind: str, flights: pd.DataFrame, truths: pd.DataFrame, registry: Path, *, weather: bool = False
) -> Candidate:
    """The same kind of model, fitted on January to March and on the truths that were reported since.

    Args:
        kind: its name in CANDIDATES.
        flights: all flights.
        truths: id and TARGET of those whose truth was reported.
        registry: where it is exported to.
        weather: whether callers are to say what the weather is.
    """
    since = flights.drop(columns=TARGET).merge(truths, on="id", validate="one_to_one")
    known = pd.concat([flights[flights["month"] <= 3], since])
    held_out = known["departs"].dt.day_of_year % HOLDOUT_EVERY_DAYS == 0
    what = f"January to March 2013 and {len(since):,} reported truths" + (", with the weather" if weather else "")
    return fit_and_export(kind, known[~held_out], known[held_out], registry, what, weather=weather)


def main() -> None:
    """Retrain as the command line says, and write what came of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=CANDIDATES, default="gradient boosting", help="which model to fit")
    parser.add_argument("--truths", type=Path, required=True, help="CSV with the columns id and late")
    parser.add_argument("--registry", type=Path, required=True, help="where the version is published")
    parser.add_argument("--result", type=Path, required=True, help="JSON file to write: version, verdict, reasons")
    parser.add_argument("--weather", action="store_true", help="let the weather join the inputs")
    parser.add_argument("--sample", type=float, default=1.0, help="the share of the flights to use")
    options = parser.parse_args()
    truths = pd.read_csv(options.truths, dtype={TARGET: bool})
    flights = load(options.sample)
    result = retrain(options.kind, flights, truths, options.registry, weather=options.weather).result
    print(result)
    written = {
        "version": result.version,
        "verdict": str(result.verdict.kind),
        "reasons": [str(reason) for reason in result.verdict.reasons],
    }
    options.result.write_text(json.dumps(written), encoding="utf-8")


if __name__ == "__main__":
    main()
