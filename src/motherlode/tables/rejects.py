"""Rows set aside by a lenient import, one JSON object a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TextIO

import numpy as np

from motherlode.tables.raw import Fault
from motherlode.tables.read import Batch


class Rejects:
    """The file of one table's rejected rows; it exists only if there are any."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO | None = None

    def write(self, batch: Batch, fault: Fault, at: np.ndarray) -> None:
        """Add the rows at these positions: file, row (or line), field, problem, and the values as found."""
        if self._file is None:
            # A broken byte was read as a surrogate; its escape is how JSON writes it.
            self._file = self.path.open("w", encoding="utf-8", errors="backslashreplace")
        for position in at:
            row = {
                "file": batch.file.name,
                "row": int(batch.rows[position]),
                "field": fault.field,
                "problem": fault.kind,
                "values": batch.original(position),
            }
            self._file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")

    def close(self) -> None:
        """Finish the file."""
        if self._file:
            self._file.close()
