"""What the command line reads: a model from joblib, a hold-out from parquet or CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import joblib
import pandas as pd

from sardonyx_exporter.errors import SourceRefused, cause

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

READERS: Final[Mapping[str, Callable[[Path], pd.DataFrame]]] = {".parquet": pd.read_parquet, ".csv": pd.read_csv}


def read_model(path: Path) -> Any:
    """Load a model that joblib or pickle wrote. Loading runs code that is in the file: read only files that you trust.

    Raises:
        SourceRefused: there is no such file, or it holds no model.
    """
    if not path.is_file():
        raise SourceRefused(f"There is no file {str(path)!r}. Give the path of a model written by joblib.dump().")
    try:
        return joblib.load(path)
    except Exception as error:  # unpickling raises whatever the pickled classes raise
        raise SourceRefused(
            f"{str(path)!r} cannot be loaded: {cause(error)}. Write it with joblib.dump(), and load it"
            " with the package versions that wrote it."
        ) from error


def read_holdout(path: Path, target: str) -> tuple[pd.DataFrame, pd.Series[Any]]:
    """Read the hold-out and split the target off.

    Raises:
        SourceRefused: there is no such file, it is neither parquet nor CSV, or it has no such column.
    """
    if not path.is_file():
        raise SourceRefused(f"There is no file {str(path)!r}. Give the hold-out as .parquet or .csv.")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise SourceRefused(f"{str(path)!r} is neither .parquet nor .csv. Write the hold-out as one of the two.")
    try:
        frame = reader(path)
    except Exception as error:  # pyarrow and pandas raise a dozen types for broken files
        raise SourceRefused(f"{str(path)!r} cannot be read: {cause(error)}. Write it again.") from error
    if target not in frame.columns:
        names = ", ".join(map(str, frame.columns))
        raise SourceRefused(f"{str(path)!r} has no column {target!r}. Its columns are {names}: name one with --target.")
    return frame.drop(columns=[target]), frame[target]
