"""What the arms of benchmarks/recommend.py are made of: splits, views, codes, samplers, virtual negatives."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from common import RUNS
from motherlode.atomic import fingerprint, replacing
from motherlode.datasets.registry import load
from motherlode.errors import SettingError
from motherlode.negatives import (
    AdaptiveHardnessSampler,
    AmbiguousSampler,
    ClusterSampler,
    CombinedSampler,
    CrossBatchSampler,
    DynamicSampler,
    FairGroupsSampler,
    FullSoftmaxSampler,
    InBatchLogQSampler,
    InBatchSampler,
    Interpolation,
    LeafMaskedSampler,
    MixedSampler,
    PopularitySampler,
    RisingHardness,
    Sampler,
    Scored,
    SemanticSampler,
    SemanticWeightsSampler,
    StreamingFrequency,
    UniformSampler,
    Virtual,
    bmns_negatives,
    mixgcf_negatives,
    mochi_negatives,
)
from motherlode.negatives.batch import Batch
from motherlode.negatives.flat_cluster import flat_cluster_sampler
from motherlode.negatives.sampler import Drawn, Negatives
from motherlode.recommend.holdout import Split, leave_k_out, leave_last, sample, temporal
from motherlode.recommend.objective import VirtualMaker
from motherlode.recommend.sequences import read_sequences
from motherlode.semantics import (
    CascadedCodebooks,
    Codes,
    Views,
    behaviour_view,
    fit_alignment,
    label_codes,
    random_codes_like,
)
from motherlode.shop import generate
from motherlode.tables.tables import Tables

FOLDER = RUNS / "recommend"
DATA = {
    "beauty": "last",
    "instruments": "last",
    "ml1m": "k_out",
    "ml100k": "last",
    "retail": "time",
    "retail_last": "last",
    # the same sets under another name, for towers of their own in recommend_plan.py
    "beauty_recent": "last",
    "instruments_recent": "last",
    "shop": "last",
}
READER = {
    "retail": "online_retail",
    "retail_last": "online_retail",
    "beauty_recent": "beauty",
    "instruments_recent": "instruments",
}
LABELS = ("genre", "attribute", "text code0", "text code1")  # attributes that make up an item's label path
Arm = dict[str, Any]

SPLIT = ("split", "k", "split_seed", "items", "users")  # what is trained on depends on these
_MADE: dict[tuple[Any, ...], Any] = {}


def _once(key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
    """What `make` makes, kept for the next arm of this process; one of a kind at a time."""
    if key not in _MADE:
        for other in [one for one in _MADE if one[0] == key[0] and one[1] != key[1]]:
            del _MADE[other]
        _MADE[key] = make()
    return _MADE[key]


class Material:
    """A data set as one arm sees it: its split always, views and codes when asked for."""

    def __init__(self, data: str, arm: Arm) -> None:
        self.data, self.arm = data, arm
        self.tables = _tables(data, arm)
        self.split = _once(("split", *self._key("asked")), self._split)
        self.frequencies = self.split.frequencies

    def _split(self) -> Split:
        arm = self.arm
        sequences, _ = read_sequences(self.tables)
        kind = arm["split"] or DATA[self.data]
        splits = {
            "last": lambda: leave_last(sequences),
            "k_out": lambda: leave_k_out(sequences, arm["k"], arm["split_seed"]),
            "time": lambda: temporal(sequences),
        }
        found = splits[kind]()
        return replace(found, test=sample(found.test, arm["asked"] or len(found.test), 0))

    def views(self) -> Views:
        """Read or made once a process; see `_views`."""
        return _once(("views", *self._key("views", "codes_seed")), self._views)

    def _key(self, *names: str) -> tuple[Any, ...]:
        return (self.data, *(self.arm[name] for name in (*SPLIT, *names)))

    def _views(self) -> Views:
        """The views of `views=a+b` in one space: one as it is, several aligned."""
        path = FOLDER / "views" / f"{self.data}_{fingerprint(*self._key('views', 'codes_seed'))}.npz"
        if not path.exists():
            views = Views.from_arrays(self._found())
            if len(views.names) > 1:
                views = fit_alignment(views, seed=self.arm["codes_seed"]).transform(views)
            with replacing(path) as temporary, temporary.open("wb") as file:
                kept = {f"vectors {name}": views.vectors[name] for name in views.names}
                np.savez(file, **kept, **{f"present {name}": views.present[name] for name in views.names})
        with np.load(path) as held:
            names = self.arm["views"].split("+")
            return Views(*({name: held[f"{kind} {name}"] for name in names} for kind in ("vectors", "present")))

    def _found(self) -> dict[str, NDArray[np.float32]]:
        """The views of `views=a+b`, each in its own space. `behaviour` is of training alone."""
        train, found = self.split.train, {}
        ids = self.tables.frame("catalogue", ["item_id"])["item_id"].to_list()
        for name in self.arm["views"].split("+"):
            if name == "behaviour":
                every = np.ones(len(train.items), bool)
                vectors, _ = behaviour_view(train.users, train.items, every, train.n_items)
            elif name == "text" and self.data != "shop":
                vectors = self._texts()
            elif name == "words":
                vectors = self._words()
            elif name in ("codes", "text code", "image code"):
                vectors = self._attributes("" if name == "codes" else name)
            else:
                vectors = Views.from_tables(self.tables, ids, [name]).vectors[name]
            found[name] = np.asarray(vectors)
        return found

    def codes(self) -> Codes:
        """Made once a process; see `_codes`."""
        return _once(
            ("codes", *self._key("views", "codes_seed", "codes", "primary", "secondary")),
            self._codes,
        )

    def _codes(self) -> Codes:
        """Codes of the views, or a control: random ones of the same sizes, or the catalogue's own labels."""
        arm, views = self.arm, self.views()
        if arm["codes"] == "label":
            return label_codes(self._paths(), views.block(slice(None)).mean(), secondary_size=arm["secondary"])
        books = CascadedCodebooks(
            arm["primary"], arm["secondary"], "vq" if arm["codes"] == "vq" else "kmeans", seed=arm["codes_seed"]
        )
        codes = books.fit(views).assign(views)
        return random_codes_like(codes, arm["codes_seed"]) if arm["codes"] == "random" else codes

    def content(self) -> NDArray[np.float32] | None:
        """For the item tower: the mean of the aligned views (content=1), all views side by side (2), None (0)."""
        if not self.arm["content"]:
            return None
        if self.arm["content"] == 2:
            parts = [np.nan_to_num(one) for one in self._found().values()]
            return np.concatenate(
                [one / np.maximum(np.linalg.norm(one, axis=1), 1e-9)[:, None] for one in parts], axis=1
            )
        views = self.views()
        mean = views.block(slice(None)).mean()
        mean[~views.any_present()] = np.nan
        return mean

    def labels(self) -> dict[str, NDArray[np.int64]] | None:
        """The codes as labels of the item tower, coarse and fine; None unless labels=1."""
        if not self.arm["labels"]:
            return None
        found = {}
        for place in range(self.arm["labels"]):  # more than one: codes of other seeds and sizes beside the first
            arm = self.arm | {"codes_seed": self.arm["codes_seed"] + place, "primary": self.arm["primary"] * 2**place}
            codes = (self if not place else Material(self.data, arm)).codes()
            found |= {f"primary{place or ''}": codes.primary.astype(np.int64), f"leaf{place or ''}": codes.leaf}
        return found

    def _texts(self) -> NDArray[np.float32]:
        from motherlode.encoders.encode import encode
        from motherlode.encoders.presets import load as load_encoder

        titles = self.tables.frame("catalogue", ["title"])["title"].to_list()
        return np.asarray(encode(load_encoder("minilm"), titles, "document", FOLDER / "texts"))

    def _words(self, width: int = 128) -> NDArray[np.float32]:
        """Weighted counts of the words of title, description and attributes, and their strongest directions."""
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        rows = self.tables.frame("catalogue", ["title", "description", "attributes"]).iter_rows()
        texts = [
            " ".join([title, told or "", *(pair["value"] for pair in attributes or [])])
            for title, told, attributes in rows
        ]
        counts = TfidfVectorizer(sublinear_tf=True, min_df=2, max_df=0.2, stop_words="english").fit_transform(texts)
        return np.asarray(TruncatedSVD(width, random_state=0).fit_transform(counts), dtype=np.float32)

    def _attributes(self, prefix: str) -> NDArray[np.float32]:
        """One column for every value of every attribute whose name starts so, 1 where an item has it."""
        values = [
            {(pair["name"], pair["value"]) for pair in row or [] if pair["name"].startswith(prefix)}
            for row in self.tables.frame("catalogue", ["attributes"])["attributes"].to_list()
        ]
        number = {value: column for column, value in enumerate(sorted(set().union(*values)))}
        found = np.zeros((len(values), len(number)), dtype=np.float32)
        for row, held in enumerate(values):
            found[row, [number[value] for value in held]] = 1
        return found

    def _paths(self) -> list[list[str]]:
        rows = self.tables.frame("catalogue", ["taxonomy", "attributes"])
        paths = []
        for taxonomy, attributes in rows.iter_rows():
            genres = [pair["value"] for pair in attributes or [] if pair["name"] in LABELS]
            paths.append(list(taxonomy or genres))
        return paths


def _tables(data: str, arm: Arm) -> Tables:
    if data not in DATA:
        raise SettingError(f"There is no data set '{data}': the data sets are {', '.join(DATA)}.")
    name = data if data != "shop" else f"shop_{arm['items']}_{arm['users']}"
    folder: Path = FOLDER / "tables" / name
    if folder.exists():
        return Tables(folder)
    if data == "shop":
        return generate.write(folder, arm["items"], users=arm["users"], views=True, engagement=False)
    return load(READER.get(data, data), folder)


def sampler(arm: Arm, material: Material) -> Sampler:
    """The sampler that `sampler=a+b` names, several side by side; leaf_mask=1 takes the positive's leaf out."""
    coded: list[Codes] = []

    def codes() -> Codes:
        if not coded:
            coded.append(material.codes())
        return coded[0]

    frequencies, n_items, n, eta = material.frequencies, material.split.train.n_items, arm["n"], arm["eta"]

    def semantic() -> SemanticSampler:
        found = codes()
        return SemanticSampler(
            found.primary,
            found.secondary,
            found.primary_centres,
            easy=arm["easy"],
            hard=arm["hard"],
            cluster_temperature=arm["cluster_temperature"],
            easy_by=arm["easy_by"],
            hard_by=arm["hard_by"],
            frequencies=frequencies if "popularity" in (arm["easy_by"], arm["hard_by"]) else None,
            eta=eta,
        )

    makers = {
        "uniform": lambda: UniformSampler(n_items, n, eta=eta),
        "uniform_shared": lambda: UniformSampler(n_items, n, True, eta),
        "popularity": lambda: PopularitySampler(frequencies, n, eta=eta),
        "popularity_shared": lambda: PopularitySampler(frequencies, n, shared=True, eta=eta),
        "in_batch": InBatchSampler,
        "in_batch_logq": lambda: InBatchLogQSampler(frequencies, correct_positive=bool(arm["correct_positive"])),
        "streaming": lambda: InBatchLogQSampler(StreamingFrequency(n_items)),
        "mixed": lambda: MixedSampler(frequencies, n, correct_positive=bool(arm["correct_positive"])),
        "cross_batch": lambda: CrossBatchSampler(frequencies, arm["bank"]),
        "dynamic": lambda: DynamicSampler(n_items, arm["candidates"], arm["top"], n),
        "adaptive": lambda: AdaptiveHardnessSampler(n_items, arm["candidates"], n),
        "fair": lambda: FairGroupsSampler(codes().primary, n),
        "ambiguous": lambda: AmbiguousSampler(n_items, arm["candidates"], n, arm["sharpness"]),
        "cluster": lambda: ClusterSampler(codes().primary, codes().primary_centres, n),
        "flat_cluster": lambda: flat_cluster_sampler(
            codes().primary, codes().primary_centres, easy=arm["easy"], hard=arm["hard"], eta=eta
        ),
        "semantic": semantic,
        "semantic_weights": lambda: SemanticWeightsSampler(semantic(), UniformSampler(n_items, n, True)),
        "full": lambda: FullSoftmaxSampler(n_items),
    }
    named = arm["sampler"].split("+")
    for name in named:
        if name not in makers:
            raise SettingError(f"There is no sampler '{name}': the samplers are {', '.join(makers)}.")
    made = [makers[name]() for name in named]
    one = made[0] if len(made) == 1 else CombinedSampler(made)
    if arm["leaf_weight"] != 1 or arm["near_weight"] != 1:
        one = TierWeighted(one, codes(), arm["leaf_weight"], arm["near_weight"])
    if arm["swap"]:
        one = LeafMates(one, codes(), arm["swap"], frequencies > 0)
    return LeafMaskedSampler(one, codes().primary, codes().secondary) if arm["leaf_mask"] else one


class TierWeighted(Sampler):
    """Another sampler whose negatives count `near` times in the positive's primary cell and `leaf` times in its leaf.

    The hard tier as weights on pools that are there anyway, instead of draws of its own.
    """

    def __init__(self, sampler: Sampler, codes: Codes, leaf: float, near: float) -> None:
        self.sampler, self.needs_vectors = sampler, sampler.needs_vectors
        self.primary, self.leaf = codes.primary.astype(np.int32), codes.leaf.astype(np.int32)
        self.near_weight, self.leaf_weight = np.float32(np.log(near)), np.float32(np.log(leaf) - np.log(near))

    def draw(self, rng: np.random.Generator, batch: Batch) -> Drawn:
        """See `Sampler.draw`."""
        drawn = self.sampler.draw(rng, batch)
        pools = []
        for pool in drawn.pools:
            weight = (self.primary[batch.positives][:, None] == self.primary[pool.rows]) * self.near_weight
            if self.leaf_weight:
                weight += (self.leaf[batch.positives][:, None] == self.leaf[pool.rows]) * self.leaf_weight
            if pool.log_weight is not None:
                weight += pool.log_weight
            pools.append(replace(pool, log_weight=weight))
        return replace(drawn, pools=tuple(pools))


class LeafMates(Sampler):
    """Another sampler that meets, for a share of the examples, an item of the positive's leaf as the positive."""

    def __init__(self, sampler: Sampler, codes: Codes, share: float, known: NDArray[np.bool_]) -> None:
        self.sampler, self.needs_vectors, self.share = sampler, sampler.needs_vectors, share
        self.leaf = codes.leaf
        order = np.argsort(self.leaf, kind="stable")
        self.order = order[known[order]]
        self.start = np.searchsorted(self.leaf[self.order], np.arange(self.leaf.max() + 2))

    def draw(self, rng: np.random.Generator, batch: Batch) -> Drawn:
        """See `Sampler.draw`."""
        return self.sampler.draw(rng, batch)

    def __call__(self, rng: np.random.Generator, batch: Batch) -> Negatives:
        """See `Sampler.__call__`."""
        leaf = self.leaf[batch.positives]
        size = self.start[leaf + 1] - self.start[leaf]
        mates = self.order[self.start[leaf] + (rng.random(len(leaf)) * size).astype(np.int64)]
        swapped = rng.random(len(leaf)) < self.share
        batch = replace(batch, positives=np.where(swapped, mates, batch.positives))
        return Negatives.of(batch, self.draw(rng, batch))


def virtual(arm: Arm) -> VirtualMaker | None:
    """The maker of virtual negatives that `virtual=` names."""
    n = arm["simple"] + arm["hard_virtual"]

    def mixgcf(generator: torch.Generator, scored: Scored) -> Virtual:
        return mixgcf_negatives(generator, scored.users, scored.positives, scored.own, scored.own_mask, n)

    def mochi(generator: torch.Generator, scored: Scored) -> Virtual:
        return mochi_negatives(
            generator,
            scored.users,
            scored.own,
            scored.own_mask,
            mixed=arm["simple"],
            with_user=arm["hard_virtual"],
            beyond=arm["beyond"],
        )

    def bmns(generator: torch.Generator, scored: Scored) -> Virtual:
        return bmns_negatives(generator, scored.scores, scored.mask, scored.log_q[0], arm["bmns"])

    edis = Interpolation(
        arm["simple"],
        arm["hard_virtual"],
        arm["strength"],
        arm["reading"],
        bool(arm["renormalise"]),
        cap=arm["cap"] or None,
        shape=(arm["shape"], arm["shape"]) if arm["shape"] else None,
        detach=arm["detach"],
        same_cluster=bool(arm["same_cluster"]),
    )
    makers: dict[str, VirtualMaker | None] = {
        "none": None,
        "edis": RisingHardness(edis, steps=arm["rising"]) if arm["rising"] else edis,
        "mixgcf": mixgcf,
        "mochi": mochi,
        "bmns": bmns,
    }
    if arm["virtual"] not in makers:
        raise SettingError(f"There is no virtual={arm['virtual']}: choose among {', '.join(makers)}.")
    return makers[arm["virtual"]]
