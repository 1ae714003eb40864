"""Shared by the tests of serving: a small shop's index with an encoder of its own, and a client."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from motherlode.index.store import Index
from motherlode.serve.settings import Settings
from motherlode.tables.tables import Tables, TableWriter

COLOURS, THINGS, BRANDS = ("red", "blue", "green"), ("chair", "table", "lamp", "hose"), ("Acme", "Behr", None)
CATALOGUE: dict[str, list[Any]] = {"item_id": [], "title": [], "brand": [], "taxonomy": [], "attributes": []}
for number, (colour, thing) in enumerate((colour, thing) for colour in COLOURS for thing in THINGS):
    CATALOGUE["item_id"].append(f"i{number:02d}")
    CATALOGUE["title"].append(f"{colour} {thing}")
    CATALOGUE["brand"].append(BRANDS[number % 3])
    CATALOGUE["taxonomy"].append(["Garden", "Water"] if thing == "hose" else ["Home"])
    CATALOGUE["attributes"].append(
        [{"name": "colour", "value": colour}, {"name": "price", "value": str(10 * (number + 1))}]
    )


def encoder(folder: Path, seed: int = 0) -> Path:
    """Save an encoder: a table of random token vectors, so that it is quick."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    words = ["?", *COLOURS, *THINGS, "purple", "kettle"]
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    weights = np.random.default_rng(seed).standard_normal((len(words), 16)).astype(np.float32)
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights), Normalize()]).save(str(folder))
    return folder


def build(place: Path, folder: Path, seed: int = 0) -> Index:
    """Publish an index of the catalogue under the encoder of this seed in `folder`; scratch files in `place`."""
    from sentence_transformers import SentenceTransformer

    tables = place / "tables"
    if not tables.exists():
        with TableWriter(tables, "catalogue") as writer:
            writer.write(CATALOGUE)
        with TableWriter(tables, "queries") as writer:
            writer.write({"query_id": ["q1"], "text": ["red chair"]})
    path = encoder(place / f"encoder{seed}", seed)
    vectors = SentenceTransformer(str(path)).encode_document(CATALOGUE["title"], show_progress_bar=False)
    np.save(place / "vectors.npy", vectors)
    # titles alone are what is encoded: no levels of the taxonomy
    facts = {"recipe": {"text": {"levels": 0}}}
    return Index.build(Tables(tables), place / "vectors.npy", path, folder, 0.5, facts)


def settings(workspace: Path, **values: Any) -> Settings:
    """Settings over workspace/index; what others publish is looked for often."""
    given: dict[str, Any] = {
        "indexes": {"shop": workspace / "index"},
        "workspace": workspace,
        "keys": workspace / "serve/keys.json",
        "publish_every": 0.05,
        "look_every": 0.02,
        "search_timeout": 30,
        "log": False,
    }
    return Settings(**(given | values))


@contextmanager
def client(workspace: Path, **values: Any) -> Iterator[Any]:
    """A client of the application over a workspace, from start to end of its lifespan."""
    from starlette.testclient import TestClient

    from motherlode.serve.app import create

    app = create(settings(workspace, **values))
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as opened:
        yield opened
