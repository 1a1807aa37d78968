"""Published tables, as they are."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd


def read_tables(files: Mapping[str, Path]) -> dict[str, pd.DataFrame]:
    """File name -> the CSV file as a table."""
    return {name: pd.read_csv(path) for name, path in files.items()}
