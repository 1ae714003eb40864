"""A grader from cheap signals of a pair: a small network over words, numbers, BM25 and the nearness of word pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from motherlode.atomic import file_fingerprint, fingerprint, read_json, replacing_folder, write_json
from motherlode.errors import InputError, MissingError
from motherlode.grading.grader import Graded, Judge, Pair
from motherlode.grading.pair_features import NAMES as WORD_NAMES
from motherlode.grading.pair_features import Corpus, pair_features
from motherlode.grading.soft_match import NAMES as SOFT_NAMES
from motherlode.grading.soft_match import SoftMatch

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NAME = "features"
NAMES = (*WORD_NAMES, *SOFT_NAMES)
LAYOUT = 1  # to be raised whenever a column's meaning changes: its weights are then of no use
ARRAYS, TOKENIZER, FACTS = "features.safetensors", "tokenizer.json", "motherlode.json"
NETWORK = ("mean", "scale", "w1", "b1", "w2", "b2", "w3", "b3")
CLIP = 5.0  # standard deviations beyond which a signal says nothing more


class Signals:
    """The signals of pairs, float32 [n, F], columns as in `NAMES`: what a catalogue's words and pieces are is in it."""

    def __init__(self, corpus: Corpus, table: NDArray[np.float16], tokenizer: Tokenizer) -> None:
        self.corpus, self.table, self.tokenizer = corpus, table, tokenizer
        self.soft = SoftMatch(table, tokenizer)

    @classmethod
    def of(cls, items: Sequence[str], dim: int = 128) -> Self:
        """From item texts. The table of pieces is the untouched MiniLM's (see `encoders.static`), `dim` wide.

        Raises MissingError where the package that holds MiniLM is not installed.
        """
        from motherlode.encoders.presets import load
        from motherlode.encoders.static import static_backbone

        distinct = list(dict.fromkeys(items))
        static = static_backbone(load("minilm"), distinct, dim)
        table = static.embedding.weight.detach().numpy().astype(np.float16)
        return cls(Corpus.of(distinct), table, static.tokenizer)

    def __call__(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        return np.concatenate([pair_features(pairs, self.corpus), self.soft.features(pairs)], axis=1)


class FeaturesGrader:
    """Grade with what `fit_features` wrote: no transformer is run, thousands of pairs a second.

        p = softmax(W3 relu(W2 relu(W1 z + b1) + b2) + b3),   z = clip((x - mean) / scale, -5, 5)

    with x the `Signals` of the pair.
    """

    block = 4_096

    def __init__(self, signals: Signals, arrays: Mapping[str, NDArray[np.float32]], judge: Judge) -> None:
        """arrays: mean, scale [F]; w1 [F, H], b1 [H], w2 [H, H], b2 [H], w3 [H, 3], b3 [3]."""
        self.signals, self.arrays, self.judge = signals, dict(arrays), judge

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read what `save` wrote.

        Raises:
            MissingError: no grader lies in the folder.
            InputError: it is damaged, or was trained on other signals than these.
        """
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        folder = Path(folder)
        if not (folder / ARRAYS).exists():
            raise MissingError(f"{folder} holds no grader from features: ask with `--with features` to train one.")
        try:
            tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
            held, facts = load_file(str(folder / ARRAYS)), read_json(folder / FACTS)
            fits = facts["layout"] == LAYOUT and facts["features"] == list(NAMES)
            known = held.pop("words").tobytes().decode("utf-8").split("\n")
            corpus = Corpus(known, held.pop("holding"), held.pop("opening"), facts["items"], facts["mean"])
            signals = Signals(corpus, held.pop("table"), tokenizer)
            if len(known) != len(corpus.holding) or set(held) != set(NETWORK):
                raise ValueError("words or arrays are missing")
        except Exception as error:  # tokenizers raises nothing narrower
            raise InputError(f"{folder} is damaged ({type(error).__name__}): train it again.") from error
        if not fits:
            raise InputError(f"{folder} was trained on other signals than this version's: train it again.")
        version = fingerprint(*(file_fingerprint(folder / name) for name in (ARRAYS, TOKENIZER)), LAYOUT)
        return cls(signals, held, Judge(NAME, version, facts.get("rubric", "labels")))

    @staticmethod
    def save(
        folder: Path | str, signals: Signals, arrays: Mapping[str, NDArray[np.float32]], facts: Mapping[str, Any]
    ) -> None:
        """Write arrays, words and the tokenizer; no pickle in it."""
        from safetensors.numpy import save_file

        corpus = signals.corpus
        text = "\n".join(corpus.known).encode("utf-8")
        held: dict[str, NDArray[Any]] = dict(arrays) | {
            "words": np.frombuffer(text, np.uint8),
            "holding": corpus.holding,
            "opening": corpus.opening,
            "table": signals.table,
        }
        with replacing_folder(folder) as temporary:
            save_file(held, str(temporary / ARRAYS))
            signals.tokenizer.save(str(temporary / TOKENIZER))
            own = {"layout": LAYOUT, "items": corpus.items, "mean": corpus.mean, "features": list(NAMES)}
            write_json(temporary / FACTS, dict(facts) | own)

    def grade(self, pairs: Sequence[Pair]) -> Graded:
        """Softmax probabilities; every pair has an answer."""
        if not pairs:
            return Graded(np.zeros((0, 3)))
        return Graded(self.probabilities(self.signals(pairs)))

    def probabilities(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """float64 [n, 3] of signals [n, F]."""
        held = self._doubles
        hidden = np.clip((values - held["mean"]) / held["scale"], -CLIP, CLIP)
        for layer in (1, 2):
            hidden = np.maximum(hidden @ held[f"w{layer}"] + held[f"b{layer}"], 0)
        logits = hidden @ held["w3"] + held["b3"]
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float64)

    @cached_property
    def _doubles(self) -> dict[str, NDArray[np.float64]]:
        return {name: array.astype(np.float64) for name, array in self.arrays.items()}
