"""What a sparse head stands on: token states, the table of term vectors they are compared with, a tokenizer."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from motherlode.encoders.presets import load, weights
from motherlode.errors import SettingError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MASKED = "fill-mask"  # sentence-transformers' name for a masked language model with its output layer


class Backbone(nn.Module):
    """The first module of a sentence encoder, a masked language model with its own head, or a static table.

    `source` is a SentenceTransformer of that one module, for its tokenizer and its file form; pooling, heads and
    normalisation that followed in the encoder are left off. `decoder` is the output layer of a masked language
    model, None elsewhere: then terms are compared with the input embeddings.

    Raises:
        SettingError: the encoder has a backbone for each route, of which a shared sparse head cannot stand on both.
    """

    def __init__(self, source: "SentenceTransformer") -> None:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Router, StaticEmbedding

        super().__init__()
        first = source[0]
        if isinstance(first, Router):
            raise SettingError("The sparse leg stands on one backbone for both routes: give an encoder that is tied.")
        self.source = SentenceTransformer(modules=[first], device="cpu", prompts=source.prompts)
        self.static = isinstance(first, StaticEmbedding)
        self.decoder: nn.Linear | None = None
        if getattr(first, "transformer_task", None) == MASKED:
            # behind an identity the model's "logits" are the states its output layer would have seen
            self.decoder = first.auto_model.get_output_embeddings()
            first.auto_model.set_output_embeddings(_Nothing())

    @classmethod
    def load(cls, name: str, max_tokens: int | None = None) -> "Backbone":
        """A preset, a folder or a hub name; one saved as a masked language model keeps its own head.

        Raises:
            MissingError: nothing loadable is found under that name.
        """
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Transformer

        source = load(name)
        config = getattr(getattr(source[0], "auto_model", None), "config", None)
        kinds = getattr(config, "architectures", None) or []
        if any(kind.endswith("ForMaskedLM") for kind in kinds) and source[0].transformer_task != MASKED:
            inside = Transformer(weights(name), transformer_task=MASKED, max_seq_length=source[0].max_seq_length)
            source = SentenceTransformer(modules=[inside], device="cpu", prompts=source.prompts)
        if max_tokens is not None and hasattr(source[0], "max_seq_length"):
            source[0].max_seq_length = min(max_tokens, source[0].max_seq_length or max_tokens)
        return cls(source)

    @property
    def table(self) -> Tensor:
        """Vectors of all pieces of the tokenizer, [pieces, d]: the output layer's, else the input embeddings."""
        if self.decoder is not None:
            return self.decoder.weight
        if self.static:
            return self.source[0].embedding.weight
        return self.source[0].auto_model.get_input_embeddings().weight

    def special_pieces(self) -> set[int]:
        """Ids that stand for no text: padding, [CLS], [MASK] and their like."""
        tokenizer = self.source[0].tokenizer
        inner = getattr(tokenizer, "_tokenizer", tokenizer)
        return {number for number, piece in inner.get_added_tokens_decoder().items() if piece.special}

    def forward(self, features: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """States [n, L, d], which tokens are real bool [n, L], and their piece ids int64 [n, L], of padded or flat
        tokens (input_ids with attention_mask [n, L], or with offsets).

        A static table's states have length 1: its lengths are rarities, and the rarest would drown the others.
        """
        if "offsets" in features:
            ids, mask = _padded(features["input_ids"], features["offsets"])
            return nn.functional.normalize(nn.functional.embedding(ids, self.table), dim=2), mask, ids
        ids, mask = features["input_ids"], features["attention_mask"].bool()
        return self.source[0](dict(features))["token_embeddings"], mask, ids

    def save(self, folder: Path) -> None:
        """Write it as a sentence-transformers folder, a masked language model with its output layer."""
        if self.decoder is None:
            self.source.save(str(folder), create_model_card=False)
            return
        model = self.source[0].auto_model
        model.set_output_embeddings(self.decoder)
        try:
            self.source.save(str(folder), create_model_card=False)
        finally:
            model.set_output_embeddings(_Nothing())


class _Nothing(nn.Identity):
    """In place of an output layer; some models take over its bias."""

    bias = None


def _padded(flat: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """Flat ids and the starts of texts -> ids int64 [n, L] and mask bool [n, L]; an empty text is one masked pad."""
    ends = torch.cat([offsets[1:], offsets.new_tensor([len(flat)])])
    lengths = ends - offsets
    mask = torch.arange(max(1, int(lengths.max())), device=flat.device)[None, :] < lengths[:, None]
    ids = flat.new_zeros(mask.shape)
    ids[mask] = flat
    return ids, mask
