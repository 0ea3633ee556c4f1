"""Warnings that point at the line which called the library. Python 3.12 has `skip_file_prefixes` for it, 3.11 has not."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

PACKAGE = f"{Path(__file__).parent}{os.sep}"


def warn_caller(sentence: str) -> None:
    """Warn, as if from the nearest line outside this package."""
    # Costs more to import than the package itself, and is needed for a warning only.
    import inspect

    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(sentence, UserWarning, stacklevel=level)
