"""Our losses in the real SentenceTransformerTrainer: equal to a hand-made loop, on both column formats."""

import copy
import math

import pytest
import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from motherlode import losses
from motherlode.encoders.towers import two_tower
from motherlode.errors import InputError, SettingError
from motherlode.training.sentence_transformers_loss import SentenceTransformersLoss, distinct_texts

WORDS = ["red", "blue", "mug", "pan", "hose", "steel", "long", "small"]
PAIRS = [
    ("red mug", "red mug small", 2),
    ("red mug", "blue mug", 1),
    ("steel pan", "steel pan long", 2),
    ("red mug", "long hose", 0),
    ("steel pan", "long hose", 0),
    ("steel pan", "pan", 1),
    ("long hose", "hose", 2),
    ("long hose", "blue mug", 0),
]
LISTS = [
    ("red mug", "red mug small", "blue mug", "long hose", [2.0, 1.0, 0.0]),
    ("steel pan", "steel pan long", "long hose", "pan", [2.0, 0.0, 1.0]),
    ("long hose", "hose", "blue mug", "", [2.0, 0.0, math.nan]),
]


def tokenizer() -> Tokenizer:
    made = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1} | {w: i + 2 for i, w in enumerate(WORDS)}, "[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


@pytest.fixture
def model() -> SentenceTransformer:
    disable_progress_bar()
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(len(WORDS) + 2, 6, generator=generator)
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer(), embedding_weights=table)], device="cpu")


def pairs() -> Dataset:
    return Dataset.from_dict(dict(zip(("query", "item", "label"), map(list, zip(*PAIRS, strict=True)), strict=True)))


def lists() -> Dataset:
    names = ("query", "item_1", "item_2", "item_3", "label")
    return Dataset.from_dict(dict(zip(names, map(list, zip(*LISTS, strict=True)), strict=True)))


def trained(model, data, loss, folder, steps=3, **more):
    """Weights after some steps of the library's Trainer, every batch the whole data."""
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=len(data),
        learning_rate=0.01,
        lr_scheduler_type="constant",
        max_grad_norm=0.0,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
        **more,
    )
    SentenceTransformerTrainer(model=model, args=arguments, train_dataset=data, loss=loss).train()
    return model


def by_hand(model, pure, steps=3, **settings):
    """The same training in a bare loop: vectors, cosines, a matrix filled pair by pair."""
    queries, items = (sorted({pair[side] for pair in PAIRS}) for side in (0, 1))
    grades, mask = torch.zeros(len(queries), len(items)), torch.zeros(len(queries), len(items), dtype=torch.bool)
    for query, item, grade in PAIRS:
        grades[queries.index(query), items.index(item)] = grade
        mask[queries.index(query), items.index(item)] = True
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.0)
    for _ in range(steps):
        sides = [model(model.preprocess(texts))["sentence_embedding"] for texts in (queries, items)]
        left, right = (side / side.norm(dim=1, keepdim=True) for side in sides)
        optimiser.zero_grad()
        pure(left @ right.T, grades, mask, **settings).backward()
        optimiser.step()
    return model


CASES = [
    (losses.graded_supcon, {"temperature": 0.05}),
    (losses.multilevel_circle, {"gamma": 16.0, "reduction": "mean"}),
    (losses.weighted_triplet, {}),
    (losses.info_nce, {}),
    (losses.cosent, {}),
    (losses.graded_circle, {}),
    (losses.gcl, {"symmetric": True}),
    (losses.roar, {}),
    (losses.kl_distillation, {}),
    (losses.margin_mse, {"scale": 2.0}),
    (losses.lambda_loss, {}),
]


@pytest.mark.parametrize(("pure", "settings"), CASES, ids=[pure.__name__ for pure, _ in CASES])
def test_trainer_equals_a_loop_made_by_hand(model, tmp_path, pure, settings):
    start = model[0].embedding.weight.detach().clone()
    expected = by_hand(copy.deepcopy(model), pure, **settings)[0].embedding.weight
    ours = trained(model, pairs(), SentenceTransformersLoss(model, pure, **settings), tmp_path)[0].embedding.weight
    assert (ours - start).abs().max() > 0.01
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_lists_with_filling_equal_pairs(model, tmp_path):
    def loss(inner):
        return SentenceTransformersLoss(inner, losses.multilevel_circle, gamma=16.0)

    twin = copy.deepcopy(model)
    by_pairs = trained(twin, pairs(), loss, tmp_path / "pairs")
    by_lists = trained(model, lists(), loss, tmp_path / "lists")
    torch.testing.assert_close(by_lists[0].embedding.weight, by_pairs[0].embedding.weight, rtol=1e-4, atol=1e-5)


def test_temperature_is_learnt_at_its_own_rate_and_stays_in_bounds(model, tmp_path):
    loss = SentenceTransformersLoss(model, losses.graded_supcon, temperature=0.05, learn=["temperature"])
    assert loss.learnt()["temperature"].item() == pytest.approx(0.05)
    trained(model, pairs(), loss, tmp_path, steps=2, learning_rate_mapping={"log_factor": 0.3})
    factor = loss.log_factor["temperature"].item()
    assert abs(factor) == pytest.approx(0.6, abs=0.05)  # Adam's first steps are as long as the rate
    assert loss.learnt()["temperature"].item() == pytest.approx(0.05 * math.exp(factor))
    for far, bound in [(-9.0, 0.01), (9.0, 0.5)]:
        with torch.no_grad():
            loss.log_factor["temperature"].fill_(far)
        assert loss.learnt()["temperature"].item() == pytest.approx(bound)
    assert loss.get_config_dict()["learn"] == ["temperature"]


def features(model, columns):
    return [dict(model.preprocess(list(texts))) for texts in columns]


def test_rows_are_distinct_queries_by_distinct_items_and_in_batch_items_join_as_grade_0(model):
    queries, items, labels = zip(*PAIRS, strict=True)
    columns, known = features(model, [queries, items]), {(q, i): g for q, i, g in PAIRS}
    rows, grid = list(dict.fromkeys(queries)), list(dict.fromkeys(items))
    for in_batch in (False, True):
        loss = SentenceTransformersLoss(model, losses.info_nce, in_batch=in_batch)
        scores, grades, mask = loss.rows(columns, torch.tensor(labels))
        assert scores.shape == grades.shape == mask.shape == (len(rows), len(grid))
        for (r, query), (c, item) in ((a, b) for a in enumerate(rows) for b in enumerate(grid)):
            assert bool(mask[r, c]) == (in_batch or (query, item) in known)
            assert float(grades[r, c]) == known.get((query, item), 0)
            vectors = torch.from_numpy(model.encode([query, item], normalize_embeddings=True))
            assert float(scores[r, c].detach()) == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-6)


def test_filling_joins_nobody_and_a_pair_twice_counts_with_its_highest_label(model):
    columns = features(model, [["red mug", "red mug"], ["pan", "hose"], ["mug", "pan"], ["", ""]])
    labels = torch.tensor([[1.0, 0.0, math.nan], [0.0, 2.0, math.nan]])
    loss = SentenceTransformersLoss(model, losses.info_nce, in_batch=True)
    _, grades, mask = loss.rows(columns, labels)
    assert grades.tolist() == [[2.0, 0.0, 0.0, 0.0]]  # pan, hose, mug, filling
    assert mask.tolist() == [[True, True, True, False]]


class Counted(torch.nn.Module):
    """Passes on to a model and notes how many texts it was given."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.texts = inner, []

    def forward(self, features):
        self.texts.append(len(features["offsets"]))
        return self.inner(features)


def test_every_distinct_text_is_encoded_once(model):
    counted = Counted(model)
    queries, items, labels = zip(*PAIRS, strict=True)
    SentenceTransformersLoss(counted, losses.cosent)(features(model, [queries, items]), torch.tensor(labels))
    assert counted.texts == [len(set(queries)), len(set(items))] == [3, 6]


def test_transformer_columns_of_unequal_width_are_merged(tmp_path):
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS) + 2, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    BertModel(config).save_pretrained(tmp_path)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer(), pad_token="[PAD]", unk_token="[UNK]").save_pretrained(
        tmp_path
    )
    disable_progress_bar()
    transformer = Transformer(str(tmp_path))
    model = SentenceTransformer(modules=[transformer, Pooling(transformer.get_embedding_dimension())], device="cpu")
    model.eval()
    columns = [["red mug", "red mug small long", ""], ["pan", "red mug", "hose"]]
    given, index = distinct_texts(features(model, columns))
    assert given["input_ids"].shape == (5, 4)
    assert index.tolist() == [0, 1, 2, 3, 0, 4]
    vectors = model(given)["sentence_embedding"][index]
    texts = [text for column in columns for text in column]
    for place in (0, 1, 3, 4, 5):
        expected = torch.from_numpy(model.encode([texts[place]]))[0]
        torch.testing.assert_close(vectors[place].detach(), expected, rtol=1e-4, atol=1e-5)


def test_two_towers_train_both_heads_through_their_routes(tmp_path):
    items = ["red mug small", "blue mug", "steel pan long", "long hose", "pan", "hose"]
    model = two_tower("static", items, dim=4)
    routes = {"query": "query", "item": "document"}
    before = {name: value.detach().clone() for name, value in model.named_parameters() if "linear" in name}
    trained(model, pairs(), SentenceTransformersLoss(model, losses.multilevel_circle), tmp_path, router_mapping=routes)
    assert len(before) == 2
    for name, value in model.named_parameters():
        if name in before:
            assert not torch.equal(value, before[name])


def test_scores_are_float32_under_autocast(model):
    queries, items, labels = zip(*PAIRS, strict=True)
    loss = SentenceTransformersLoss(model, losses.cosent)
    plain, *_ = loss.rows(features(model, [queries, items]), torch.tensor(labels))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores, *_ = loss.rows(features(model, [queries, items]), torch.tensor(labels))
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, plain)


def test_what_does_not_fit_is_refused(model):
    columns = features(model, [["red mug"], ["pan"], ["hose"]])
    loss = SentenceTransformersLoss(model, losses.cosent)
    for wrong in (None, torch.tensor([1]), torch.tensor([[1, 0, 0]])):
        with pytest.raises(InputError, match="do not fit"):
            loss(columns, wrong)
    with pytest.raises(InputError, match="do not fit"):
        loss(columns[:1], torch.tensor([1]))
    with pytest.raises(InputError, match="routes"):
        loss([columns[0], {**columns[1], "task": "query"}, {**columns[2], "task": "document"}], torch.tensor([[1, 0]]))
    with pytest.raises(InputError, match="pixel_values"):
        loss([{"pixel_values": torch.zeros(1, 3, 4, 4)}] * 2, torch.tensor([1]))
    with pytest.raises(SettingError, match="no setting 'gama'"):
        SentenceTransformersLoss(model, losses.multilevel_circle, gama=3.0)
    with pytest.raises(SettingError, match="needs the setting 'temperature'"):
        SentenceTransformersLoss(model, losses.graded_supcon)
    with pytest.raises(SettingError, match="positive number"):
        SentenceTransformersLoss(model, losses.cosent, scale=-1.0, learn=["scale"])
