"""Views are unit vectors, what is missing is never read, and the features table gives back what was written."""

import numpy as np
import pytest

from motherlode.errors import InputError
from motherlode.semantics import Views
from motherlode.tables import Tables, TableWriter


def test_the_mean_is_over_present_views_alone():
    rng = np.random.default_rng(0)
    vectors = {name: rng.standard_normal((50, 6)) * 3 for name in "abc"}
    present = {name: rng.random(50) < 0.6 for name in "abc"}
    views = Views.from_arrays(vectors, present)
    mean = views.block(slice(None)).mean()
    for row in range(50):
        held = [vectors[n][row] / np.linalg.norm(vectors[n][row]) for n in "abc" if present[n][row]]
        np.testing.assert_allclose(mean[row], np.mean(held, axis=0) if held else np.zeros(6), atol=1e-6)
    assert (views.any_present() == np.any(list(present.values()), axis=0)).all()


def test_what_is_not_present_changes_nothing():
    rng = np.random.default_rng(1)
    vectors, present = rng.standard_normal((20, 4)), rng.random(20) < 0.5
    junk = vectors.copy()
    junk[~present] = np.nan
    plain, spoilt = (Views.from_arrays({"a": array}, {"a": present}) for array in (vectors, junk))
    np.testing.assert_array_equal(plain.vectors["a"], spoilt.vectors["a"])
    assert plain.fingerprint() == spoilt.fingerprint()


def test_zero_vectors_are_missing_and_huge_ones_are_not():
    views = Views.from_arrays({"a": [[0, 0], [3e30, 4e30], [3e-30, 4e-30]]})
    assert views.present["a"].tolist() == [False, True, True]
    np.testing.assert_allclose(views.vectors["a"][1:], [[0.6, 0.8]] * 2, rtol=1e-6)


def test_faults_are_named():
    with pytest.raises(InputError, match="'a' of item row 1 is not finite"):
        Views.from_arrays({"a": [[1, 2], [np.inf, 1]]})
    with pytest.raises(InputError, match="'b' has the shape"):
        Views.from_arrays({"a": np.ones((2, 2)), "b": np.ones((3, 2))})
    with pytest.raises(InputError, match="align them first"):
        Views.from_arrays({"a": np.ones((2, 2)), "b": np.ones((2, 3))}).block(slice(None))
    with pytest.raises(InputError, match="no view 'z'"):
        Views.from_arrays({"a": np.ones((2, 2))}).only(["z"])


@pytest.fixture
def written(tmp_path):
    def write(rows):
        with TableWriter(tmp_path, "catalogue") as table:
            table.write({"item_id": ["x", "y", "z"], "title": ["", "", ""]})
        with TableWriter(tmp_path, "features") as table:
            for item, view, vector in rows:
                table.write({"item_id": [item], "view": [view], "vector": [vector]})
        return Tables(tmp_path)

    return write


def test_views_come_from_the_features_table_in_the_order_asked(written):
    rows = [("z", "text", [0, 2]), ("x", "image", [1, 1, 1]), ("x", "text", [5, 0]), ("other", "text", [1, 1])]
    views = Views.from_tables(written(rows), ["x", "y", "z"])
    assert views.names == ["image", "text"] and len(views) == 3
    assert views.present["text"].tolist() == [True, False, True]
    np.testing.assert_array_equal(views.vectors["text"], [[1, 0], [0, 0], [0, 1]])
    assert views.vectors["image"].shape == (3, 3)
    turned = Views.from_tables(written(rows), ["z", "x"], names=["text"])
    np.testing.assert_array_equal(turned.vectors["text"], [[0, 1], [1, 0]])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("x", "text", [1, 0]), ("y", "text", [1, 0, 0])], "not 2 long"),
        ([("x", "text", [1, 0]), ("x", "text", [0, 1])], "twice"),
        ([("nobody", "text", [1, 0])], "no vector"),
    ],
)
def test_a_features_table_that_cannot_be(written, rows, message):
    with pytest.raises(InputError, match=message):
        Views.from_tables(written(rows), ["x", "y"])


def test_a_view_that_the_table_lacks_is_named(written):
    with pytest.raises(InputError, match="no view 'image'"):
        Views.from_tables(written([("x", "text", [1, 0])]), ["x"], names=["text", "image"])
