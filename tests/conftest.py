"""Shared: where the real data lie, and one thread so that timings and sums repeat."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data sets; tests that need one are skipped where the user has set none."""
    root = os.environ.get("MOTHERLODE_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("MOTHERLODE_DATA names no folder of data sets")
    return Path(root)


# a busy machine is no failure: timings have no place in a test
settings.register_profile("motherlode", deadline=None)
settings.load_profile("motherlode")
