"""Human grades as conversations, in the JSONL that providers fine-tune chat models from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from motherlode.atomic import replacing, write_json
from motherlode.endpoint.prompt import messages, pair_ids, system_prompt, template_version
from motherlode.endpoint.settings import EndpointSettings
from motherlode.errors import InputError, SettingError
from motherlode.grading.grader import Pair
from motherlode.progress import bar
from motherlode.tables.hashing import hash_ids, uniform

if TYPE_CHECKING:
    from motherlode.grading.pairs import PairTexts
    from motherlode.grading.rubric import Rubric

FEWEST = 10  # conversations that providers ask for
AT_ONCE = 256  # conversations whose texts are held


def export_finetune(
    query_ids: Sequence[str],
    item_ids: Sequence[str],
    grades: ArrayLike,
    texts: PairTexts,
    rubric: Rubric,
    settings: EndpointSettings,
    folder: Path | str,
    *,
    validation: float = 0.1,
    seed: int = 0,
) -> dict[str, Any]:
    """Write train.jsonl, validation.jsonl and finetune.json into `folder`; what finetune.json says.

    A line is {"messages": [system, user, assistant]}: the very prompt that an EndpointGrader with these settings
    sends, and the answer it should get. All pairs of a query are on one side; `validation` is that side's share of the
    queries, by a hash of their ids. Conversations stand in random order, so that a query's do not follow each other.
    Raises SettingError where the settings ask for reasons (human grades have none), InputError for a grade that is not
    0, 1 or 2, or for fewer conversations than providers take.
    """
    if settings.reasons:
        raise SettingError(
            "A fine-tuning file teaches grades alone: set reasons to false, here and for the tuned judge."
        )
    chosen = np.asarray(grades)
    if chosen.shape != (len(query_ids),) or len(item_ids) != len(query_ids):
        raise InputError(
            f"{len(query_ids)} queries, {len(item_ids)} items, {chosen.size} grades: give one of each a pair."
        )
    if not np.isin(chosen, (0, 1, 2)).all():
        row = int(np.flatnonzero(~np.isin(chosen, (0, 1, 2)))[0])
        raise InputError(f"Pair {row} has grade {chosen[row]}: only grades 0, 1 and 2 can be taught.")
    folder = Path(folder)
    queries = pl.Series(query_ids, dtype=pl.String)
    held_out = uniform(hash_ids(queries, seed, "finetune")) < validation
    generator = np.random.default_rng([seed, 0xF17E])
    facts: dict[str, Any] = {"rubric": rubric.version, "template": template_version(False), "seed": seed}
    sides = {"train": np.flatnonzero(~held_out), "validation": np.flatnonzero(held_out)}
    if -(-len(sides["train"]) // settings.pairs_per_request) < FEWEST:
        raise InputError(
            f"These pairs make fewer than {FEWEST} conversations, the least providers take: give more pairs."
        )
    system = system_prompt(rubric.text, False)
    for side, rows in sides.items():
        # the pairs of a query together, as a judge is asked about them
        rows = rows[queries[rows].arg_sort().to_numpy()]
        parts = [
            rows[start : start + settings.pairs_per_request]
            for start in range(0, len(rows), settings.pairs_per_request)
        ]
        order = [parts[place] for place in generator.permutation(len(parts))]
        with replacing(folder / f"{side}.jsonl") as temporary, temporary.open("w", encoding="utf-8") as file:
            for pairs, part in _with_texts(order, query_ids, item_ids, texts, side):
                file.write(
                    json.dumps({"messages": _conversation(system, pairs, chosen[part])}, ensure_ascii=False) + "\n"
                )
        counts = np.bincount(chosen[rows].astype(np.int64), minlength=3).tolist()
        facts[side] = {"conversations": len(order), "pairs": len(rows), "grades": counts}
    write_json(folder / "finetune.json", facts)
    return facts


def _conversation(system: str, pairs: Sequence[Pair], grades: NDArray[Any]) -> list[dict[str, str]]:
    ids = pair_ids(pairs)
    verdicts = [{"id": number, "grade": int(grade)} for number, grade in zip(ids, grades, strict=True)]
    return [*messages(system, pairs, ids), {"role": "assistant", "content": json.dumps({"verdicts": verdicts})}]


def _with_texts(
    parts: list[NDArray[np.int64]], query_ids: Sequence[str], item_ids: Sequence[str], texts: PairTexts, side: str
) -> Iterator[tuple[list[Pair], NDArray[np.int64]]]:
    """Each part with its pairs, the texts of a few hundred parts in memory at a time."""
    with bar(f"writing {side}.jsonl", len(parts), "conversations") as advance:
        for start in range(0, len(parts), AT_ONCE):
            some = parts[start : start + AT_ONCE]
            rows = np.concatenate(some).tolist()
            pairs = iter(texts.pairs([query_ids[row] for row in rows], [item_ids[row] for row in rows]))
            for part in some:
                yield [next(pairs) for _ in part], part
                advance()
