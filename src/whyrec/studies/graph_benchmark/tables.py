"""What a table of the graph benchmark is made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Setting:
    """data: folder with bnlearn/. quick: fewer draws and networks. peers are found by environment variables."""

    data: Path
    quick: bool
    random_state: int


def range_words(low: float, high: float) -> str:
    """low to high; nothing where there is none."""
    return "" if np.isnan(low) else f"{low:.3g} to {high:.3g}"
