"""What the room offers by name, without importing anything heavy before it is asked for."""

import subprocess
import sys

import pytest

import motherlode.index as room


def test_every_name_is_there_and_comes_late():
    assert sorted(room.__all__) == room.__all__ and sorted(room._HOME) == room.__all__
    for name in room.__all__:
        assert getattr(room, name).__name__ == name
    with pytest.raises(AttributeError, match="Nothing"):
        _ = room.Nothing
    heavy = "{'faiss', 'torch', 'tantivy', 'pyarrow', 'pymilvus'}"
    code = f"import sys, motherlode.index; sys.exit(len({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
