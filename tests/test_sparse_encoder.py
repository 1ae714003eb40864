"""The term encoder on real weights: its formula by slow loops, a masked language model's own head, files, encoding."""

import numpy as np
import pytest
import torch

from motherlode.encoders.presets import load, weights
from motherlode.encoders.towers import two_tower
from motherlode.errors import InputError, MissingError, SettingError
from motherlode.sparse import encode as encode_module
from motherlode.sparse.backbone import Backbone
from motherlode.sparse.encode import encode_terms, terms_fingerprint
from motherlode.sparse.term_encoder import TermEncoder, TermSettings

TEXTS = [
    "red ceramic mug",
    "a stainless steel pan, 28 cm, with lid, a product in Kitchen > Cookware",
    "mug",
    "garden hose 15 m",
    "cordless drill with two batteries and a case, 18 V, brushless",
]


def pieces_of(texts: list[str]) -> np.ndarray:
    """Those of the texts, and two thousand others."""
    ids = [one.ids for one in load("minilm").tokenizer._tokenizer.encode_batch(texts)]
    return np.union1d(np.concatenate(ids), np.arange(2000, 4000))


@pytest.fixture(scope="module", params=["static", "minilm"])
def encoder(request):
    return TermEncoder.start(request.param, TEXTS, TermSettings(True, 12, 30), pieces=pieces_of(TEXTS), seed=3)


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    """A small masked language model with drawn weights, saved as transformers does, MiniLM's tokenizer beside it."""
    from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

    folder = tmp_path_factory.mktemp("masked") / "model"
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30522, hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    model = BertForMaskedLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.4)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(weights("minilm")).save_pretrained(folder)
    return folder


def found(encoder: TermEncoder, texts: list[str], task: str) -> np.ndarray:
    with torch.no_grad():
        return encoder.store(texts, task).vectors(np.arange(len(texts)), forward=encoder).numpy()


@pytest.mark.parametrize("task", ["query", "document"])
def test_weights_against_the_formula(encoder, task):
    both = found(encoder, TEXTS, task)
    store = encoder.store(TEXTS, task)
    pieces = encoder.pieces.tolist()
    with torch.no_grad():
        rows = encoder.backbone.table[encoder.pieces].double()
        table = rows / rows.norm(dim=1, keepdim=True)
        for row, text in enumerate(TEXTS):
            ids = store.ids[store.offsets[row] : store.offsets[row + 1]].tolist()
            if encoder.backbone.static:
                states = encoder.backbone.source[0].embedding.weight[ids].double()
                states = states / states.norm(dim=1, keepdim=True)
            else:  # one text alone, through the library's own call
                states = load("minilm").encode(text, output_value="token_embeddings").double()
            seen = states @ encoder.align.weight.double().T + encoder.align.bias.double()
            logits = (seen @ table.T).max(dim=0).values + encoder.bias.double()
            base = np.log1p(np.maximum(0, logits.numpy()))
            np.testing.assert_allclose(both[row, 0], base, atol=2e-4)
            layer = encoder.estimate
            estimate = (states.mean(dim=0) @ layer.weight.double().T + layer.bias.double()).numpy()
            whole = base + np.isin(pieces, ids) * (estimate.max() - estimate)
            k = 12 if task == "query" else 30
            whole = np.where(whole >= np.sort(whole)[::-1][k - 1], whole, 0)
            np.testing.assert_allclose(both[row, 1], whole, atol=1e-3)


def test_it_starts_by_saying_what_stands_in_the_text(encoder):
    """A token's own piece has the highest logit or nearly so; without `aligned` it would be one of thousands."""
    base = found(encoder, TEXTS, "document")[:, 0]
    store, pieces = encoder.store(TEXTS, "document"), encoder.pieces.numpy()
    for row in range(len(TEXTS)):
        ids = np.unique(store.ids[store.offsets[row] : store.offsets[row + 1]])
        own = np.isin(pieces, ids)
        ranks = np.argsort(np.argsort(-base[row]))[own]
        assert np.median(ranks) < 3 * own.sum()
    share = (base > 0).mean()
    assert 0.005 < share < 0.05  # START_SHARE


def test_special_pieces_are_no_terms_and_words_are():
    encoder = TermEncoder(Backbone.load("minilm"), TermSettings())
    names = encoder.terms()
    assert encoder.width == len(names) == 30522 - 5
    assert not {"[CLS]", "[SEP]", "[PAD]", "[MASK]", "[UNK]"} & set(names)
    assert {"mug", "steel", "##s"} <= set(names)


def test_a_text_of_nothing_has_no_terms():
    encoder = TermEncoder.start("static", TEXTS)
    both = found(encoder, ["", "red mug", ""], "query")
    assert both[0].sum() == both[2].sum() == 0 < both[1, 0].sum()


def test_neighbours_change_nothing(encoder):
    together, alone = found(encoder, TEXTS, "document"), found(encoder, TEXTS[2:3], "document")
    np.testing.assert_allclose(together[2], alone[0], atol=1e-4)


def test_a_masked_language_model_keeps_its_own_head(masked):
    """Equal to transformers' logits, and to the library's own SPLADE encoder on the same weights."""
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sentence_transformer.modules import Transformer
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    encoder = TermEncoder.start(str(masked), TEXTS, TermSettings(False, None, None))
    assert encoder.align is None
    stock = SparseEncoder(modules=[Transformer(str(masked), transformer_task="fill-mask"), SpladePooling("max")])
    expected = stock.encode(TEXTS, convert_to_sparse_tensor=False, show_progress_bar=False).cpu().numpy()
    both = found(encoder, TEXTS, "document")
    np.testing.assert_allclose(both[:, 0], expected[:, encoder.pieces.numpy()], atol=1e-4)
    np.testing.assert_array_equal(both[:, 0], both[:, 1])


def test_saved_and_loaded_is_the_same(encoder, masked, tmp_path):
    own = TermEncoder.start(str(masked), TEXTS, TermSettings(True, 7, 9), seed=1)
    for number, made in enumerate((encoder, own)):
        made.save(tmp_path / str(number), {"seed": 3})
        again = TermEncoder.load(tmp_path / str(number))
        assert again.settings == made.settings
        assert again.terms() == made.terms()
        for task in ("query", "document"):
            np.testing.assert_array_equal(found(again, TEXTS, task), found(made, TEXTS, task))
        assert terms_fingerprint(again) == terms_fingerprint(made)
        names = {path.suffix for path in (tmp_path / str(number)).rglob("*") if path.is_file()}
        assert not names & {".bin", ".pt", ".pkl"}
    # and it can be saved again after saving: the output layer was put back
    own.save(tmp_path / "again")
    np.testing.assert_array_equal(
        found(TermEncoder.load(tmp_path / "again"), TEXTS, "query"), found(own, TEXTS, "query")
    )


def test_damage_and_absence(tmp_path):
    with pytest.raises(MissingError):
        TermEncoder.load(tmp_path)
    encoder = TermEncoder.start("static", TEXTS, pieces=np.arange(1000, 1100))
    encoder.save(tmp_path / "made")
    path = tmp_path / "made/head.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match="damaged"):
        TermEncoder.load(tmp_path / "made")


def test_it_stands_on_a_two_tower_encoder_but_not_on_two_backbones():
    towers = two_tower("static", TEXTS)
    backbone = Backbone(towers)
    assert backbone.static
    assert torch.equal(backbone.table, towers[0].embedding.weight)
    with pytest.raises(SettingError, match="tied"):
        Backbone(two_tower("static", TEXTS, untied=True))
    with pytest.raises(SettingError, match="query_window=0"):
        TermEncoder(backbone, TermSettings(True, 0, 3))


def test_encode_terms_equals_the_encoder_goes_on_and_is_never_stale(tmp_path, monkeypatch):
    encoder = TermEncoder.start("static", TEXTS, TermSettings(True, 8, 20), pieces=pieces_of(TEXTS))
    texts = [*TEXTS, TEXTS[0], "mug"]
    expected = found(encoder, texts, "document")[:, 1]
    monkeypatch.setattr(encode_module, "CHUNK", 2)

    def dense(vectors) -> np.ndarray:
        vectors.checked()
        result = np.zeros((len(vectors), vectors.width), np.float32)
        result[np.repeat(np.arange(len(vectors)), vectors.counts), vectors.terms] = vectors.weights
        return result

    first = encode_terms(encoder, texts, "document", tmp_path)
    np.testing.assert_allclose(dense(first), expected, atol=1e-5)
    parts = sorted(tmp_path.glob("*.npz"))
    assert len(parts) == 3
    # a kill after the first part: what is there is not made again, the rest is
    parts[1].unlink()
    calls = []
    encoded = encode_module._encoded
    monkeypatch.setattr(encode_module, "_encoded", lambda *given: calls.append(1) or encoded(*given))
    np.testing.assert_array_equal(dense(encode_terms(encoder, texts, "document", tmp_path)), dense(first))
    assert len(calls) == 1
    with torch.no_grad():
        encoder.bias += 0.1
    assert not np.allclose(dense(encode_terms(encoder, texts, "document", tmp_path)), dense(first))
    assert len(calls) == 4
