"""Every rival against a slow loop of its published rule, sentence-transformers' own miner, and a known truth."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from mining_case import ITEMS, ground, shop
from motherlode.errors import InputError, SettingError
from motherlode.evaluation.judged import Judged
from motherlode.index.items import documents
from motherlode.index.lexical import LexicalIndex
from motherlode.mining.bm25_miner import Bm25Miner
from motherlode.mining.gist_miner import GistMiner
from motherlode.mining.leaderboard import leaderboard
from motherlode.mining.miner import draw
from motherlode.mining.naive_miner import NaiveMiner
from motherlode.mining.percpos_miner import FILLED, PercPosMiner, tuned
from motherlode.mining.qwen_miner import QwenMiner
from motherlode.mining.random_miner import RandomMiner
from motherlode.mining.regraded_miner import RegradedMiner
from motherlode.mining.selection import Rule
from motherlode.mining.taxonomy_miner import TaxonomyMiner
from motherlode.mining.trisampler_miner import TriSamplerMiner
from motherlode.shop.truth import Truth

SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(max_examples=30)
N = 40
TEXTS = [f"item {number % 30}" for number in range(N)]  # ten texts come twice
PATHS = [(None, ("a",), ("a", "b"), ("a", "c"), ("a", "d", "e"), ("f",))[number % 6] for number in range(N)]


def unit(rng, n, d):
    vectors = rng.standard_normal((n, d)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Case:
    """Six queries, 40 items, judgements with and without positives, and a guide."""

    def __init__(self, seed: int, grades: tuple[int, ...] = (0, 1, 2)) -> None:
        rng = np.random.default_rng(seed)
        self.queries, self.items = unit(rng, 6, 6), unit(rng, N, 6)
        self.guide_queries, self.guide_items = unit(rng, 6, 5), unit(rng, N, 5)
        judged = rng.random((6, N)) < 0.15
        judged[0] = False
        rows, columns = np.nonzero(judged)
        self.known = Judged.from_pairs(rows, columns, rng.choice(grades, len(rows)), 6)
        self.positives = [
            [i for i, g in zip(self._of(q, self.known.items), self._of(q, self.known.grades), strict=True) if g]
            for q in range(6)
        ]
        self.best = [
            [
                item
                for item, grade in zip(self._of(q, self.known.items), self._of(q, self.known.grades), strict=True)
                if grade and grade == max(self._of(q, self.known.grades))
            ]
            for q in range(6)
        ]

    def _of(self, query, values):
        return values[self.known.indptr[query] : self.known.indptr[query + 1]].tolist()

    def near(self, query: int, depth: int) -> list[int]:
        scores = self.items @ self.queries[query]
        free = [row for row in range(N) if row not in self.positives[query]]
        return sorted(free, key=lambda row: -scores[row])[:depth]

    def slow(self, rule, depth: int, n: int) -> list[list[int]]:
        """The first n near items of each query that the rule passes; of queries without positives, none."""
        rows = []
        for query in range(6):
            scores = self.items @ self.queries[query]
            passed = [row for row in self.near(query, depth) if self.positives[query] and rule(query, scores, row)]
            rows.append((passed + [-1] * n)[:n])
        return rows

    def mine(self, miner, n):
        found = miner.mine(self.queries, self.items, self.known, n)
        assert found.items.shape == found.scores.shape == (6, n)
        assert (found.scores[found.items < 0] == 0).all()
        return found


def rejected(case, mined_all, depth):
    near = sum(len(case.near(query, depth)) for query in range(6) if case.positives[query])
    return 1 - sum(row >= 0 for rows in mined_all for row in rows) / max(near, 1)


@given(SEEDS, st.integers(1, 50))
@FEW
def test_naive_takes_the_nearest_that_are_not_known_positives(seed, n):
    case = Case(seed)
    expected = [(case.near(query, n) + [-1] * n)[:n] for query in range(6)]
    assert case.mine(NaiveMiner(), n).items.tolist() == expected


@given(SEEDS, st.integers(1, 12), st.sampled_from([-0.3, 0.0, 0.05, 0.4]))
@FEW
def test_margins_to_the_lowest_positive(seed, n, margin):
    case = Case(seed)
    lowest = [min((float(case.items[p] @ case.queries[q]) for p in case.best[q]), default=0) for q in range(6)]

    def absolute(query, scores, row):
        return scores[row] <= lowest[query] - margin

    def relative(query, scores, row):
        return scores[row] <= lowest[query] - margin * abs(lowest[query])

    for kind, value, rule in (("absolute", margin, absolute), ("relative", 1 - margin, relative)):
        found = case.mine(PercPosMiner(kind, value, depth=20), n)
        assert found.items.tolist() == case.slow(rule, 20, n)
        assert found.facts["rejected"] == pytest.approx(rejected(case, case.slow(rule, 20, 40), 20))


@given(SEEDS, st.integers(1, 8))
@FEW
def test_a_tuned_rho_is_the_smallest_that_fills_or_one(seed, n):
    case = Case(seed)
    plain, found = (case.mine(PercPosMiner(depth=20, tune=tune), n) for tune in (False, True))
    rho = found.facts["rho"]
    assert 0.95 <= rho <= 1
    assert found.items.tolist() == case.mine(PercPosMiner(value=rho, depth=20), n).items.tolist()
    wanted = n * sum(bool(positives) for positives in case.positives)
    assert (found.items >= 0).sum() >= (plain.items >= 0).sum()
    if rho < 1:
        assert (found.items >= 0).sum() >= FILLED * wanted
    if 0.95 < rho < 1:
        less = case.mine(PercPosMiner(value=rho - 1e-6, depth=20), n)
        assert (less.items >= 0).sum() < FILLED * wanted


def test_tuning_by_hand():
    least = np.array([[0.90, 0.97, 1.2, np.inf], [0.96, 0.98, 0.99, 1.5], [np.inf] * 4])
    assert tuned(least, 2, 0.95) == 0.98 and tuned(least, 1, 0.95) == 0.96
    assert tuned(least, 3, 0.95) == 1.0 and tuned(least[2:], 2, 0.95) == 0.95


@given(SEEDS, st.integers(1, 12), st.sampled_from([0.0, 0.2, -0.5]))
@FEW
def test_the_guide_masks_what_it_finds_nearer_than_a_positive(seed, n, margin):
    case = Case(seed)

    def rule(query, _, row):
        item, asked = case.guide_items[row], case.guide_queries[query]
        bars = [(float(asked @ case.guide_items[p]) - margin, case.guide_items[p]) for p in case.best[query]]
        return all(float(item @ asked) <= bar and float(item @ positive) <= bar for bar, positive in bars)

    found = case.mine(GistMiner(case.guide_queries, case.guide_items, margin, depth=25), n)
    assert found.items.tolist() == case.slow(rule, 25, n)
    assert found.facts["rejected"] == pytest.approx(rejected(case, case.slow(rule, 25, 40), 25))


@given(SEEDS, st.integers(1, 12))
@FEW
def test_qwen_masks_far_better_items_and_equal_texts(seed, n):
    case = Case(seed)

    def rule(query, scores, row):
        texts = {TEXTS[p] for p in case.positives[query]}
        return scores[row] <= min(scores[case.best[query]]) + 0.1 and TEXTS[row] not in texts

    found = case.mine(QwenMiner(TEXTS, depth=25), n)
    assert found.items.tolist() == case.slow(rule, 25, n)
    assert found.facts["rejected"] == pytest.approx(rejected(case, case.slow(rule, 25, 40), 25))


@given(SEEDS, st.integers(1, 12))
@FEW
def test_siblings_share_a_parent_and_no_positive(seed, n):
    case = Case(seed)
    found = case.mine(TaxonomyMiner(PATHS, seed), n)
    for query, rows in enumerate(found.items.tolist()):
        own = {PATHS[p] for p in case.positives[query]} - {None}
        allowed = [
            row
            for row, path in enumerate(PATHS)
            if path and path not in own and any(path[:-1] == one[:-1] for one in own)
        ]
        mined = [row for row in rows if row >= 0]
        assert len(set(mined)) == len(mined) == min(n, len(allowed)) and set(mined) <= set(allowed)


@given(SEEDS, st.integers(1, 50))
@FEW
def test_random_items_are_distinct_and_no_positives(seed, n):
    case = Case(seed)
    for query, rows in enumerate(case.mine(RandomMiner(seed), n).items.tolist()):
        mined = [row for row in rows if row >= 0]
        assert len(set(mined)) == len(mined) == min(n, N - len(case.positives[query]))
        assert not set(mined) & set(case.positives[query])


def test_random_items_are_uniform():
    case = Case(3)
    many = np.concatenate([case.mine(RandomMiner(seed), 5).items[0] for seed in range(400)])
    assert chisquare(np.bincount(many, minlength=N)).pvalue > 1e-3


@given(SEEDS, st.integers(1, 8))
@FEW
def test_trisampler_takes_what_the_positive_finds_nearer_than_the_query(seed, n):
    case = Case(seed)
    found = case.mine(TriSamplerMiner(depth=20, seed=seed), n)
    for query, rows in enumerate(found.items.tolist()):
        mined = [row for row in rows if row >= 0]
        assert len(set(mined)) == len(mined) and set(mined) <= set(case.near(query, 20))
        for row in mined:
            to_positives = np.mean([case.items[row] @ case.items[p] for p in case.best[query]])
            assert to_positives > case.items[row] @ case.queries[query]


def test_draws_follow_the_weights_and_never_take_a_zero():
    weights = np.tile([0.0, 1.0, 2.0, 5.0], (20_000, 1))
    drawn = draw(weights, 1, np.random.default_rng(0))
    assert (drawn.sum(axis=1) == 1).all()
    assert chisquare(drawn.sum(axis=0)[1:], 20_000 * np.array([1, 2, 5]) / 8).pvalue > 1e-3
    two = draw(weights, 2, np.random.default_rng(1))
    pairs = {(1, 2): 1 / 8 * 2 / 7 + 2 / 8 * 1 / 6, (1, 3): 1 / 8 * 5 / 7 + 5 / 8 * 1 / 3}
    for (a, b), share in pairs.items():
        assert (two[:, a] & two[:, b]).mean() == pytest.approx(share, abs=0.01)
    assert draw(weights[:1], 9, np.random.default_rng(2)).tolist() == [[False, True, True, True]]


def test_sentence_transformers_mines_the_same():
    datasets = pytest.importorskip("datasets")
    from sentence_transformers.util import mine_hard_negatives

    case = Case(11, grades=(0, 2))  # the library knows one level of relevance
    asked = [query for query in range(6) if case.positives[query]]
    vectors = {f"query {query}": case.queries[query] for query in asked} | {
        f"item {row}": case.items[row] for row in range(N)
    }

    class Model:
        """The vectors of the case under the names that the library calls."""

        import torch

        device = torch.device("cpu")

        def encode_query(self, texts, **_):
            return np.stack([vectors[text] for text in texts])

        encode_document = encode_query

        def similarity(self, a, b):
            return self.torch.as_tensor(a) @ self.torch.as_tensor(b).T

        similarity_pairwise = staticmethod(lambda a, b: (Model.torch.as_tensor(a) * Model.torch.as_tensor(b)).sum(-1))

    pairs = [(f"query {query}", f"item {row}") for query in asked for row in case.positives[query]]
    data = datasets.Dataset.from_dict({"query": [a for a, _ in pairs], "answer": [b for _, b in pairs]})
    corpus = [f"item {row}" for row in range(N)]
    for miner, given_margin in (
        (NaiveMiner(), {}),
        (PercPosMiner("relative", 0.95, depth=N), {"relative_margin": 0.05}),
        (PercPosMiner("absolute", 0.05, depth=N), {"absolute_margin": 0.05}),
    ):
        mined = mine_hard_negatives(
            data, Model(), corpus=corpus, num_negatives=5, range_max=N, output_format="triplet", verbose=False,
            **given_margin,
        )  # fmt: skip
        theirs = {(row["query"], row["negative"]) for row in mined}
        ours = case.mine(miner, 5).items
        assert {(f"query {q}", f"item {r}") for q in asked for r in ours[q] if r >= 0} == theirs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop(tmp_path_factory.mktemp("miners") / "shop").folder


def test_the_leaderboard_on_a_shop_whose_truth_is_known(folder, tmp_path):
    tables, known, truth = shop(folder), ground(folder), Truth(folder)
    index = LexicalIndex.build(documents(tables), tmp_path / "lexical")
    texts = tables.frame("queries")["text"].to_list()
    catalogue = tables.frame("catalogue")

    def grades(queries, items):
        return truth.grade(known.query_ids[queries].to_list(), known.item_ids[items].to_list())

    miners = [
        RandomMiner(),
        Bm25Miner(index, texts),
        NaiveMiner(),
        TaxonomyMiner(catalogue["taxonomy"].to_list()),
        RegradedMiner(grades, k=40, rule=Rule(negatives=None)),
    ]
    board = leaderboard(miners, known.queries, known.items, known.known, 8, grades)
    for miner, (stood, mined) in zip(miners, board, strict=True):
        pairs = [(q, row) for q, rows in enumerate(mined.items.tolist()) for row in rows if row >= 0]
        true = [int(grades(np.array([q]), np.array([row]))[0]) for q, row in pairs]
        hard = [float(known.queries[q] @ known.items[row]) for q, row in pairs]
        assert (stood.name, stood.mined, stood.graded) == (miner.name, len(pairs), 1.0)
        assert stood.filled == len(pairs) / mined.items.size
        assert stood.false_negatives == pytest.approx(np.mean([grade > 0 for grade in true]))
        assert stood.false_negatives_2 == pytest.approx(np.mean([grade == 2 for grade in true]))
        assert stood.hardness == pytest.approx(np.mean(hard), abs=1e-5)
    rates = {stood.name: stood.false_negatives for stood, _ in board}
    assert rates["re-graded"] == 0 and rates["random"] < rates["naive"] < rates["bm25"]
    hardness = {stood.name: stood.hardness for stood, _ in board}
    assert hardness["naive"] > hardness["re-graded"] > hardness["random"]
    nearest, regraded = board[2][1].items, board[4][1].items
    for query, rows in enumerate(regraded.tolist()):
        true = grades(np.full(8, query), nearest[query])
        assert rows[: int((true == 0).sum())] == nearest[query][true == 0].tolist()


def test_a_truth_with_gaps_counts_only_what_is_known():
    case = Case(5)
    stood, mined = leaderboard(
        [NaiveMiner()], case.queries, case.items, case.known, 4, lambda _, items: (items % 4 - 1).astype(np.int8)
    )[0]
    known = [row % 4 - 1 for row in mined.items.ravel() if row % 4]
    assert stood.graded == len(known) / 24 and stood.false_negatives == np.mean([grade > 0 for grade in known])
    nothing, _ = leaderboard(
        [NaiveMiner()], case.queries, case.items, case.known, 4, lambda _, items: np.full(len(items), -1, np.int8)
    )[0]
    assert nothing.false_negatives is None and nothing.graded == 0


def test_regrading_buys_only_what_is_not_known():
    case = Case(8)
    asked = []

    def grade(queries, items):
        asked.extend(zip(queries.tolist(), items.tolist(), strict=True))
        return np.full(len(items), -1, np.int8)

    found = case.mine(RegradedMiner(grade, k=12), 12)
    assert found.facts["verdicts"] == len(asked) == len(set(asked))
    judged = set(zip(case.known.query_rows.tolist(), case.known.items.tolist(), strict=True))
    assert not set(asked) & judged
    zeros = set(
        zip(case.known.query_rows[case.known.grades == 0], case.known.items[case.known.grades == 0], strict=True)
    )
    for query in range(6):  # without an answer only what was known stays
        assert [row for row in found.items[query] if row >= 0] == [
            row for row in case.near(query, 12)[:6] if (query, row) in zeros
        ]


def test_what_does_not_fit_is_refused(folder, tmp_path):
    case = Case(0)
    index = LexicalIndex.build(documents(shop(folder)), tmp_path / "lexical")
    with pytest.raises(InputError, match=f"2 queries and {ITEMS} items"):
        case.mine(Bm25Miner(index, ["a", "b"]), 3)
    with pytest.raises(InputError, match="vectors of 5 queries"):
        case.mine(GistMiner(case.guide_queries[1:], case.guide_items), 3)
    with pytest.raises(InputError, match="39 item texts"):
        case.mine(QwenMiner(TEXTS[1:]), 3)
    with pytest.raises(InputError, match="39 taxonomy paths"):
        case.mine(TaxonomyMiner(PATHS[1:]), 3)
    with pytest.raises(InputError, match="No item of the catalogue has a taxonomy"):
        case.mine(TaxonomyMiner([None] * N), 3)
    with pytest.raises(SettingError, match="Only the relative margin"):
        PercPosMiner("absolute", tune=True)
