"""Sets of codes as labels: each is that of codebooks made alone, and nothing is said of items without a view."""

import numpy as np
import pytest

from motherlode.errors import SettingError
from motherlode.semantics import CascadedCodebooks, code_labels
from semantics_case import clustered


def test_each_set_is_that_of_codebooks_twice_as_fine_and_of_the_next_seed():
    views, _ = clustered(600, missing=0.5)
    for name in views.names:
        views.present[name][7] = False
    books = CascadedCodebooks(8, 3, seed=5)
    codes = books.fit(views).assign(views)
    found = code_labels(codes, views, books, 3)
    assert list(found) == ["primary_0", "leaf_0", "primary_1", "leaf_1", "primary_2", "leaf_2"]
    seen = views.any_present()
    assert not seen[7]
    for place, alone in enumerate((codes, *(_made(16, 6, views), _made(32, 7, views)))):
        assert alone.primary_size == 8 * 2**place
        np.testing.assert_array_equal(found[f"primary_{place}"], np.where(seen, alone.primary, -1))
        np.testing.assert_array_equal(found[f"leaf_{place}"], np.where(seen, alone.primary * 3 + alone.secondary, -1))


def _made(primary, seed, views):
    return CascadedCodebooks(primary, 3, seed=seed).fit(views).assign(views)


def test_no_set_is_refused():
    views, _ = clustered(100)
    books = CascadedCodebooks(4, 2)
    with pytest.raises(SettingError, match="ask for 1 or more"):
        code_labels(books.fit(views).assign(views), views, books, 0)
