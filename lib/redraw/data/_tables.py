"""Published tables, as they are."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd


def read_tables(files: Mapping[str, Path]) -> dict[str, pd.DataFrame]:
    """File name -> the CSV file as a table."""
    return {name: pd.read_csv(path) for name, path in files.items()}


def read_micro_sweep(files: Mapping[str, Path]) -> dict[str, pd.DataFrame]:
    """micro_sweep.csv, which lies beside this module; its first lines say how it was made. No `files`."""
    path = Path(__file__).with_name("micro_sweep.csv")
    return {path.name: pd.read_csv(path, comment="#")}


def read_perceptron_grid(files: Mapping[str, Path]) -> dict[str, pd.DataFrame]:
    """perceptron_grid.csv, which lies beside this module; its first lines say how it was made. No `files`."""
    path = Path(__file__).with_name("perceptron_grid.csv")
    return {path.name: pd.read_csv(path, comment="#")}
