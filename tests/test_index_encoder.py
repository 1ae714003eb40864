"""A static encoder computed with arrays gives what sentence-transformers gives."""

import numpy as np
import pytest

from motherlode.errors import InputError
from motherlode.index.encoder import encode, load, query_encoder

TEXTS = ["red paint", "", "unknown words", "paint paint hose \ud800", "hose"]


@pytest.fixture(scope="module")
def parts():
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    tokenizer = Tokenizer(WordLevel({"?": 0, "red": 1, "paint": 2, "hose": 3}, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    return tokenizer, np.random.default_rng(0).standard_normal((4, 12)).astype(np.float32)


def saved(folder, parts, *rest, **options):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    SentenceTransformer(modules=[StaticEmbedding(parts[0], embedding_weights=parts[1]), *rest], **options).save(
        str(folder)
    )
    return folder


def test_two_towers_are_the_query_route(tmp_path, parts):
    import torch
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Router

    torch.manual_seed(0)
    heads = [Dense(12, 8, bias=bias, activation_function=torch.nn.Identity()) for bias in (True, False)]
    folder = saved(tmp_path / "e", parts, Router.for_query_document([heads[0]], [heads[1]]), Normalize())
    quick = query_encoder(folder)
    assert quick.__qualname__.startswith("_static")
    np.testing.assert_allclose(quick(TEXTS), encode(load(folder), TEXTS), atol=1e-6)


@pytest.mark.parametrize("odd", ["prompt", "activation", "norm first"])
def test_what_is_not_plainly_static_goes_the_long_way(tmp_path, parts, odd):
    import torch
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize

    activation = torch.nn.Tanh() if odd == "activation" else torch.nn.Identity()
    head = Dense(12, 8, activation_function=activation)
    rest = [Normalize(), head] if odd == "norm first" else [head, Normalize()]
    folder = saved(tmp_path / "e", parts, *rest, prompts={"query": "red "} if odd == "prompt" else None)
    plain = query_encoder(folder)
    assert not plain.__qualname__.startswith("_static")
    np.testing.assert_allclose(plain(TEXTS), encode(load(folder), TEXTS), atol=1e-6)


def test_a_folder_that_is_no_encoder_is_said(tmp_path):
    with pytest.raises(InputError, match="not a whole encoder"):
        query_encoder(tmp_path)
