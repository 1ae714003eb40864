"""Towers, tokens, fingerprints and the vector cache, with the real MiniLM weights."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from motherlode.encoders import encode as encode_module
from motherlode.encoders.encode import encode
from motherlode.encoders.fingerprint import weights_fingerprint
from motherlode.encoders.presets import load, prompts, weights
from motherlode.encoders.principal import principal_directions
from motherlode.encoders.static import document_frequency
from motherlode.encoders.tokens import TokenStore
from motherlode.encoders.towers import two_tower
from motherlode.errors import MissingError, SettingError

TEXTS = [
    "red ceramic mug",
    "a stainless steel pan, 28 cm, with lid, a product in Kitchen > Cookware",
    "mug",
    "garden hose 15 m",
    "red ceramic mug",
    "cordless drill with two batteries and a case, 18 V, brushless, a product in Tools > Power Tools",
    "",
]


@pytest.fixture(scope="module", params=["static", "minilm"])
def model(request):
    return two_tower(request.param, TEXTS)


def test_untrained_towers_rank_as_their_backbone_does():
    vectors = two_tower("minilm", TEXTS).encode_document(TEXTS)
    np.testing.assert_allclose(vectors, load("minilm").encode(TEXTS), atol=1e-5)


def test_e5_gets_the_prompts_that_its_folder_does_not_name(tmp_path):
    folder = tmp_path / "intfloat/multilingual-e5-small"
    folder.parent.mkdir()
    folder.symlink_to(weights("minilm"))
    plain, model = load("minilm"), two_tower(str(folder), TEXTS)
    np.testing.assert_allclose(model.encode_document("mug"), plain.encode("passage: mug"), atol=1e-5)
    model.save(str(tmp_path / "saved"))
    np.testing.assert_allclose(load(str(tmp_path / "saved")).encode_query("mug"), plain.encode("query: mug"), atol=1e-5)
    assert prompts("intfloat/e5-base-v2") and not prompts("intfloat/e5-mistral-7b-instruct") and not prompts("minilm")


def test_unit_vectors_on_both_routes(model):
    for vectors in (model.encode_query(TEXTS[:6]), model.encode_document(TEXTS[:6])):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_heads_are_separate_and_the_backbone_is_shared(model):
    names = [name for name, _ in model.named_parameters()]
    heads = [name for name in names if "sub_modules" in name]
    assert sorted(name.split(".")[-4] for name in heads) == ["document", "query"]
    other = two_tower("static", TEXTS)
    with torch.no_grad():
        dict(other.named_parameters())[next(n for n, _ in other.named_parameters() if ".query." in n)].neg_()
    np.testing.assert_allclose(other.encode_query(TEXTS[:4]), -other.encode_document(TEXTS[:4]), atol=1e-6)


def test_untied_towers_have_a_backbone_each():
    model = two_tower("static", TEXTS, untied=True)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".query." in name:
                parameter.zero_()
    assert not model.encode_query(TEXTS[:3]).any()
    assert model.encode_document(TEXTS[:3]).any()


@pytest.mark.parametrize("base", ["static", "minilm"])
def test_a_narrower_output_keeps_most_of_the_similarity(base, data_root):
    import polars as pl

    titles = pl.read_parquet(data_root / "esci_us_150q/products.parquet", columns=["title"])["title"].to_list()[:300]
    wide, narrow = two_tower(base, titles), two_tower(base, titles, dim=64)
    full, short = wide.encode_document(titles), narrow.encode_document(titles)
    assert short.shape == (300, 64)
    assert np.corrcoef((full @ full.T).ravel(), (short @ short.T).ravel())[0, 1] > 0.9


def test_too_wide_is_refused():
    with pytest.raises(SettingError, match="wider"):
        two_tower("minilm", TEXTS, dim=512)


def test_saved_folder_loads_without_motherlode(model, tmp_path):
    expected_query, expected_item = model.encode_query(TEXTS[:3]), model.encode_document(TEXTS[:3])
    model.save(str(tmp_path / "encoder"), create_model_card=False)
    program = (
        "import sys, json; from sentence_transformers import SentenceTransformer\n"
        f"m = SentenceTransformer({str(tmp_path / 'encoder')!r}, device='cpu'); t = {TEXTS[:3]!r}\n"
        "assert not any(name.startswith('motherlode') for name in sys.modules)\n"
        "print(json.dumps([m.encode_query(t).tolist(), m.encode_document(t).tolist()]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    query, item = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose(query, expected_query, atol=1e-6)
    np.testing.assert_allclose(item, expected_item, atol=1e-6)


def test_chunked_token_store_equals_plain_encoding(model):
    store = TokenStore(model, TEXTS, "document", token_budget=32)
    rows = np.array([5, 0, 3, 1, 0, 2])
    with torch.no_grad():
        found = store.vectors(rows).numpy()
    np.testing.assert_allclose(found, model.encode_document([TEXTS[row] for row in rows]), atol=1e-5)


def test_chunks_give_the_gradients_of_one_padded_pass():
    gradients = []
    for budget in (16, 100_000):
        model = two_tower("minilm", TEXTS)
        vectors = TokenStore(model, TEXTS, "document", token_budget=budget).vectors(np.arange(6))
        (vectors * torch.linspace(-1, 1, vectors.numel()).view_as(vectors)).sum().backward()
        gradients.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=2e-4, rtol=1e-3, msg=name)


def test_principal_directions_are_orthonormal_ordered_and_of_settled_sign():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 6)) * [5, 4, 3, 2, 1, 0.5]
    found = principal_directions(vectors, 4)
    np.testing.assert_allclose(found.T @ found, np.eye(4), atol=1e-12)
    moments = ((vectors @ found) ** 2).sum(0)
    assert (np.diff(moments) < 0).all()
    np.testing.assert_allclose(moments, np.linalg.svd(vectors)[1][:4] ** 2)
    np.testing.assert_allclose(principal_directions(-vectors[::-1], 4), found, atol=1e-9)
    assert (found[np.abs(found).argmax(0), range(4)] > 0).all()


def test_document_frequency_counts_texts_not_occurrences():
    tokenizer = load("minilm").tokenizer._tokenizer
    counts = document_frequency(tokenizer, ["mug mug mug", "red mug", "hose"], tokenizer.get_vocab_size())
    ids = {word: tokenizer.token_to_id(word) for word in ("mug", "red", "drill")}
    assert [int(counts[ids[word]]) for word in ("mug", "red", "drill")] == [2, 1, 0]


def test_fingerprint_follows_the_weights_alone(tmp_path):
    first = two_tower("static", TEXTS)
    first.save(str(tmp_path / "a"), create_model_card=False)
    mark = weights_fingerprint(first)
    assert weights_fingerprint(load(str(tmp_path / "a"))) == mark
    first.encode(TEXTS, task="query")  # sets padding and truncation on the tokenizer
    assert weights_fingerprint(first) == mark
    with torch.no_grad():
        next(first.parameters())[0, 0] += 1e-3
    assert weights_fingerprint(first) != mark


def test_each_distinct_text_is_encoded_once_and_then_read_back(tmp_path, monkeypatch):
    model = two_tower("static", TEXTS)
    seen: list[str] = []
    plain = type(model).encode
    monkeypatch.setattr(type(model), "encode", lambda self, texts, **k: seen.extend(texts) or plain(self, texts, **k))
    vectors = encode(model, TEXTS, "document", tmp_path)
    assert sorted(seen) == sorted(set(TEXTS))
    np.testing.assert_array_equal(vectors, encode(model, TEXTS, "document", tmp_path))
    assert len(seen) == len(set(TEXTS))
    encode(model, TEXTS, "query", tmp_path)  # another route is another file
    with torch.no_grad():
        next(model.parameters()).mul_(-1)
    np.testing.assert_allclose(encode(model, TEXTS, "document", tmp_path)[:6], -vectors[:6], atol=1e-6)


def test_a_killed_encoding_goes_on_after_its_last_chunk(tmp_path, monkeypatch):
    monkeypatch.setattr(encode_module, "CHUNK", 2)
    model = two_tower("static", TEXTS)
    whole = np.array(encode(model, TEXTS, "document", tmp_path / "whole"))
    plain, calls = type(model).encode, []

    def dying(self, texts, **options):
        calls.append(list(texts))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return plain(self, texts, **options)

    monkeypatch.setattr(type(model), "encode", dying)
    with pytest.raises(KeyboardInterrupt):
        encode(model, TEXTS, "document", tmp_path / "cut")
    resumed = encode(model, TEXTS, "document", tmp_path / "cut")
    np.testing.assert_array_equal(resumed, whole)
    assert calls[0] not in calls[1:]
    assert calls[3] == calls[2]


def test_names(tmp_path):
    assert weights("some/model") == "some/model"
    with pytest.raises(MissingError, match="No encoder could be loaded"):
        load(str(tmp_path / "nothing"))


def test_merged_weights_lie_between_and_are_put_back() -> None:
    from motherlode.encoders.merge import merged, snapshot

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    start = snapshot(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    trained = snapshot(model)
    with merged(model, start, 0.25):
        weight = model[0].weight.detach().clone()
    torch.testing.assert_close(weight, 0.75 * start["0.weight"] + 0.25 * trained["0.weight"])
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in trained.items())
    with merged(model, start, 1.0):
        assert torch.equal(model[0].weight, trained["0.weight"])
