"""A cross-encoder as grader: query and item read together, three probabilities out."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from motherlode.atomic import read_json
from motherlode.errors import MissingError
from motherlode.grading.grader import Graded, Judge, Pair

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

NAME = "cross-encoder"
TOKENS = {"cpu": 2_048, "cuda": 65_536}  # tokens of one chunk, padding included


class PairTokens:
    """Token ids of pairs, laid out flat; `batches(rows)` pads pairs of like length together."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", pairs: Sequence[Pair], max_tokens: int) -> None:
        self.pad_id = tokenizer.pad_token_id
        found = tokenizer(
            [pair.query for pair in pairs],
            [pair.item for pair in pairs],
            truncation="longest_first",
            max_length=max_tokens,
            return_attention_mask=False,
            return_token_type_ids=True,
        )
        self.lengths = np.fromiter((len(ids) for ids in found["input_ids"]), np.int64, len(pairs))
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        self.ids = np.fromiter((i for ids in found["input_ids"] for i in ids), np.int32, int(self.offsets[-1]))
        self.types = np.fromiter((i for ids in found["token_type_ids"] for i in ids), np.int8, int(self.offsets[-1]))

    def chunks(self, rows: np.ndarray, budget: int) -> list[np.ndarray]:
        """Rows by falling length, cut so that count x longest stays within the budget."""
        rows = rows[np.argsort(-self.lengths[rows], kind="stable")]
        parts, begin = [], 0
        while begin < len(rows):
            count = max(1, budget // int(self.lengths[rows[begin]]))
            parts.append(rows[begin : begin + count])
            begin += count
        return parts

    def padded(self, rows: np.ndarray, device: "torch.device | str" = "cpu") -> dict[str, "torch.Tensor"]:
        """input_ids, token_type_ids and attention_mask [n, longest] of these pairs."""
        import torch

        lengths = self.lengths[rows]
        mask = np.arange(int(lengths.max()))[None, :] < lengths[:, None]
        ids, types = np.full(mask.shape, self.pad_id, np.int64), np.zeros(mask.shape, np.int64)
        at = np.concatenate([np.arange(self.offsets[row], self.offsets[row + 1]) for row in rows])
        ids[mask], types[mask] = self.ids[at], self.types[at]
        made = {"input_ids": ids, "token_type_ids": types, "attention_mask": mask.astype(np.int64)}
        return {name: torch.from_numpy(array).to(device) for name, array in made.items()}


class CrossEncoderGrader:
    """Grade with a cross-encoder that `fit_cross_encoder` wrote (or any three-label one of sentence-transformers).

    Raises:
        MissingError: no model lies in the folder.
    """

    block = 4_096

    def __init__(self, folder: Path | str, *, device: str | None = None) -> None:
        import torch

        self.folder = Path(folder)
        if not (self.folder / "config.json").exists():
            raise MissingError(f"{folder} holds no cross-encoder: train one with `motherlode grader`.")
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.model, self.tokenizer = load(str(folder))
        self.model.to(self.device).eval()
        origin = self.folder / "motherlode.json"
        self.origin: dict[str, Any] = dict(read_json(origin)) if origin.exists() else {}
        self.max_tokens = int(self.origin.get("max_tokens", 128))

    @cached_property
    def judge(self) -> Judge:
        """Named by the fingerprint of its weights and tokenizer."""
        version = fingerprint(self.model, self.tokenizer, self.max_tokens)
        return Judge(NAME, version, self.origin.get("rubric", "labels"))

    def grade(self, pairs: Sequence[Pair]) -> Graded:
        """Softmax probabilities, pairs of like length together."""
        return Graded(probabilities(self.model, PairTokens(self.tokenizer, pairs, self.max_tokens)))


def probabilities(model: "PreTrainedModel", tokens: PairTokens, rows: np.ndarray | None = None) -> np.ndarray:
    """Softmax over the grades; float64 [n, 3]."""
    import torch

    rows = np.arange(len(tokens.lengths)) if rows is None else rows
    found, place = np.empty((len(rows), 3)), np.empty(len(tokens.lengths), np.int64)
    place[rows] = np.arange(len(rows))
    with torch.inference_mode():
        for chunk in tokens.chunks(rows, TOKENS[model.device.type]):
            logits = model(**tokens.padded(chunk, model.device)).logits.double()
            found[place[chunk]] = logits.softmax(dim=1).cpu().numpy()
    return found


def load(base: str, *, layers: int | None = None) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """Model with a three-label head, and tokenizer, from "minilm", a folder or a hub name.

    `layers` keeps the first so many layers of the transformer: a cheaper first member of a cascade.

    Raises:
        MissingError: nothing loadable is found under that name.
    """
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar, get_verbosity, set_verbosity, set_verbosity_error

    from motherlode.encoders.presets import weights

    disable_progress_bar()
    verbosity = get_verbosity()
    set_verbosity_error()  # "newly initialised" is what a fresh head is meant to be
    kept = {} if layers is None else {"num_hidden_layers": layers}
    try:
        path = weights(base)
        model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=3, **kept)
        tokenizer = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise MissingError(
            f"No cross-encoder could be loaded from '{base}': give 'minilm', a transformers folder or a model name "
            f"that can be reached ({str(error).splitlines()[0]})."
        ) from error
    finally:
        set_verbosity(verbosity)
    return model, tokenizer


def fingerprint(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", max_tokens: int) -> str:
    """16 hex digits over every tensor, the tokenizer and the cut."""
    import hashlib

    from motherlode.encoders.fingerprint import hash_tensors, tokenizer_json

    digest = hashlib.blake2b(digest_size=8)
    hash_tensors(digest, model.state_dict().items())
    digest.update(f"{tokenizer_json(tokenizer)}{max_tokens}".encode())
    return digest.hexdigest()
