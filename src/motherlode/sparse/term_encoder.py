"""The sparse encoder: a text to weights over the pieces of the tokenizer, through any backbone."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from motherlode.atomic import read_json, replacing_folder, write_json
from motherlode.encoders.tokens import TokenStore
from motherlode.errors import InputError, MissingError, SettingError
from motherlode.sparse.backbone import Backbone
from motherlode.sparse.pooling import max_over_tokens
from motherlode.sparse.prosper import focusing_window, literal_residual, saturated
from motherlode.sparse.start import START_SHARE, aligned

SAMPLE = 500  # texts that the start is read off
CHUNK_TOKENS = 2_048  # tokens, padding included, whose logits are in memory at once


@dataclass(frozen=True)
class TermSettings:
    """Which parts of PROSPER are on in the encoder.

    Attributes:
        literal: the literal residual.
        query_window, item_window: most terms of a query and of an item; None for no window.
    """

    literal: bool = True
    query_window: int | None = 256
    item_window: int | None = 512

    def window(self, task: str) -> int | None:
        return self.query_window if task == "query" else self.item_window


class TermEncoder(nn.Module):
    """Weights of V terms for each text: W = window(w + literal residual), w = log(1 + relu(max over tokens of logits)).

        logit_lv = <A h_l + a, E_v> + b_v

    h_l are the backbone's token states, E_v its term vectors. On a masked language model E is the output layer, and
    A h + a is what that model puts before it (A is not ours then). Elsewhere, as on sentence encoders, which have
    no such layer, E is the table of input embeddings at length 1, tied: both uses train it; A starts as
    `start.aligned` says.
    The literal residual estimates w' by a linear layer over the mean of the states (of the paper only "a linear
    layer over the pooled state" is known; it pools the last token of a decoder, a state that encoders lack).

    On a static table there is no context: a term's weight comes from the one piece nearest to it, a learnt
    translation table from pieces to pieces.

    Args:
        backbone: what gives the states.
        settings: parts that are on.
        pieces: ids of the tokenizer's pieces that can be terms, rising; None: all that stand for text. Fewer make
            training and encoding cheaper, but a text with a piece outside them cannot be found by it.
        seed: of the random start of the residual's layer.

    Raises:
        SettingError: a window below 1.
    """

    pieces: Tensor
    place: Tensor

    def __init__(
        self,
        backbone: Backbone,
        settings: TermSettings | None = None,
        *,
        pieces: np.ndarray | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.settings = settings or TermSettings()
        for name in ("query_window", "item_window"):
            if (width := getattr(self.settings, name)) is not None and width < 1:
                raise SettingError(f"{name}={width} would leave no term: give 1 or more, or none for no window.")
        self.backbone = backbone
        special = backbone.special_pieces()
        if pieces is None:
            pieces = np.arange(len(backbone.table))
        pieces = np.setdiff1d(pieces, np.array(sorted(special), dtype=np.int64)).astype(np.int64)
        self.register_buffer("pieces", torch.from_numpy(pieces))
        self._index_pieces()
        width = backbone.table.shape[1]
        self.align: nn.Linear | None = None
        bias = torch.zeros(len(pieces))
        if backbone.decoder is None:
            self.align = nn.Linear(width, width)
        elif backbone.decoder.bias is not None:
            bias = backbone.decoder.bias.detach()[self.pieces].clone()
        self.bias = nn.Parameter(bias)
        self.estimate: nn.Linear | None = None
        if self.settings.literal:
            self.estimate = nn.Linear(width, len(pieces))
            drawn = torch.Generator().manual_seed(seed)
            with torch.no_grad():  # torch's own start of a linear layer, from a generator of ours
                for parameter in self.estimate.parameters():
                    parameter.uniform_(-(width**-0.5), width**-0.5, generator=drawn)

    @classmethod
    def start(
        cls,
        base: str,
        texts: Sequence[str],
        settings: TermSettings | None = None,
        *,
        pieces: np.ndarray | None = None,
        max_tokens: int = 64,
        seed: int = 0,
    ) -> "TermEncoder":
        """Put an untrained head on a preset, a folder or a hub name; `texts` (of items) settle where A and b start."""
        backbone = _static(texts) if base == "static" else Backbone.load(base, max_tokens)
        encoder = cls(backbone, settings, pieces=pieces, seed=seed).eval()
        if encoder.align is not None:
            rng = np.random.default_rng([seed, len(texts)])
            sample = [texts[row] for row in rng.permutation(len(texts))[:SAMPLE]]
            aligned(encoder, sample, START_SHARE)
        return encoder

    @property
    def width(self) -> int:
        """V, the number of terms."""
        return len(self.pieces)

    @property
    def device(self) -> torch.device:
        return self.bias.device

    def terms(self) -> list[str]:
        """The piece that each term stands for."""
        tokenizer = self.backbone.source[0].tokenizer
        inner = getattr(tokenizer, "_tokenizer", tokenizer)
        return [inner.id_to_token(int(piece)) for piece in self.pieces]

    def store(self, texts: Sequence[str], task: str) -> TokenStore:
        """Tokens of texts, for `vectors(rows, forward=encoder)`; task "query" or "document"."""
        return TokenStore(self.backbone.source, texts, task)

    def table(self) -> Tensor:
        """Vectors of the terms, [V, d]: made once a step, and given to every `forward` of it.

        Input embeddings are brought to length 1 (ours): a static table's lengths tell how rare a piece is, and the
        longest would answer to everything.
        """
        rows = self.backbone.table[self.pieces]
        return rows if self.align is None else nn.functional.normalize(rows, dim=1)

    def forward(self, features: dict[str, Tensor], task: str, table: Tensor | None = None) -> dict[str, Tensor]:
        """Under "sentence_embedding", as the token store asks: w and W beside each other, float32 [n, 2, V]."""
        table = self.table() if table is None else table
        states, mask, ids = self.backbone(features)
        step = max(1, CHUNK_TOKENS // states.shape[1])
        spans = [slice(begin, begin + step) for begin in range(0, len(states), step)]
        parts = [self._weights(states[span], mask[span], ids[span], task, table) for span in spans]
        return {"sentence_embedding": torch.cat(parts)}

    def _weights(self, states: Tensor, mask: Tensor, ids: Tensor, task: str, table: Tensor) -> Tensor:
        written = mask.any(dim=1, keepdim=True)
        counted = mask | ~written  # a text without tokens gets its pad, in place of a maximum over nothing
        seen = states if self.align is None else self.align(states)
        pooled = max_over_tokens(seen, counted, table)
        with torch.autocast(pooled.device.type, enabled=False):
            base = saturated(pooled + self.bias) * written
            weights = base
            if self.estimate is not None:
                inside = counted[:, :, None]
                mean = (states.float() * inside).sum(dim=1) / inside.sum(dim=1)
                weights = literal_residual(base, self.estimate(mean), self.literal(ids, mask))
            if (window := self.settings.window(task)) is not None:
                weights = focusing_window(weights, window)
        return torch.stack([base, weights], dim=1)

    def literal(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Which terms stand in each text: bool [n, V] from piece ids [n, L] and which are real."""
        places = torch.where(mask, self.place[ids], self.width)
        found = torch.zeros((len(ids), self.width + 1), dtype=torch.bool, device=ids.device)
        return found.scatter_(1, places, True)[:, : self.width]

    def parameter_groups(self, lr: float, head_lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """AdamW groups: the backbone (the tied table with it) at `lr`, what the sparse head adds at `head_lr`; the
        biases of the terms are not decayed."""
        backbone = list(self.backbone.parameters())
        layers = [layer for layer in (self.align, self.estimate) if layer is not None]
        head = [parameter for layer in layers for parameter in layer.parameters()]
        return [
            {"params": backbone, "lr": lr, "weight_decay": weight_decay},
            {"params": head, "lr": head_lr, "weight_decay": weight_decay},
            {"params": [self.bias], "lr": head_lr, "weight_decay": 0.0},
        ]

    def save(self, folder: Path | str, provenance: dict[str, Any] | None = None) -> None:
        """Write backbone/ (a sentence-transformers folder), head.safetensors and sparse.json, all or nothing."""
        from safetensors.torch import save_file

        head = {name: value for name, value in self.state_dict().items() if not name.startswith("backbone.")}
        with replacing_folder(folder) as temporary:
            self.backbone.save(temporary / "backbone")
            save_file({name: value.contiguous() for name, value in head.items()}, temporary / "head.safetensors")
            write_json(temporary / "sparse.json", {"settings": asdict(self.settings), **(provenance or {})})

    @classmethod
    def load(cls, folder: Path | str) -> "TermEncoder":
        """Open what `save` wrote. MissingError where there is nothing, InputError where it is damaged."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        folder = Path(folder)
        if not (folder / "sparse.json").exists():
            raise MissingError(f"{folder} holds no sparse encoder: train one first.")
        try:
            settings = TermSettings(**read_json(folder / "sparse.json")["settings"])
            head = load_file(folder / "head.safetensors")
            encoder = cls(Backbone.load(str(folder / "backbone")), settings, pieces=head["pieces"].numpy())
            missing = encoder.load_state_dict(head, strict=False)
            if missing.unexpected_keys or any(not name.startswith("backbone.") for name in missing.missing_keys):
                raise ValueError("head.safetensors holds other tensors than sparse.json says")
        except (ValueError, KeyError, TypeError, RuntimeError, OSError, SafetensorError) as error:
            raise InputError(f"{folder} is damaged: save the sparse encoder again.") from error
        return encoder.eval()

    def _index_pieces(self) -> None:
        """Where each piece stands among the terms, V for those that are none."""
        place = torch.full((len(self.backbone.table),), len(self.pieces), dtype=torch.int64)
        place[self.pieces] = torch.arange(len(self.pieces))
        self.register_buffer("place", place, persistent=False)


def _static(texts: Sequence[str]) -> Backbone:
    from sentence_transformers import SentenceTransformer

    from motherlode.encoders.presets import load
    from motherlode.encoders.static import static_backbone

    return Backbone(SentenceTransformer(modules=[static_backbone(load("static"), texts)], device="cpu"))
