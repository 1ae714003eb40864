"""Synthetic queries by a language model behind an endpoint: items in, a few queries each out, broad to narrow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl

from motherlode.atomic import fingerprint
from motherlode.endpoint.asking import TRIES, TRIES_OF_PARTS, Asking
from motherlode.endpoint.budget import Budget
from motherlode.endpoint.client import ChatClient, log, require_httpx
from motherlode.endpoint.dialect import Dialect
from motherlode.endpoint.prompt import LONGEST, pair_ids
from motherlode.endpoint.query_prompt import (
    LEVELS,
    messages,
    read_queries,
    schema,
    system_prompt,
    template_version,
    wanted,
)
from motherlode.endpoint.settings import EndpointSettings
from motherlode.endpoint.tally import Tally
from motherlode.errors import SettingError
from motherlode.grading.grader import Pair
from motherlode.tables.hashing import hash_ids
from motherlode.text.judged_item import judged_item

FEATURES = ("title", "taxonomy", "brand", "attributes", "description")
QUERY_TOKENS = 24  # most a query may take, with its quotes; more than most need


class QueryWriter:
    """A language model as generator of synthetic queries (`text.synthetic.Generator`).

    Each item's features go out as data, several items to a request (`pairs_per_request`), and `each` queries of
    different specificity come back: broad (the kind of thing), middle (with one property) and narrow (with several);
    of fewer than three, which is drawn by a hash of (seed, item id). An answer that cannot be used is asked for once
    more; an item without one has no queries. Requests, back-off, limits and budget are those of the judges.

    Source: queries from item-side features are the paper's (arXiv 2602.17654 §4.2), which says neither who wrote them
    nor how; model, prompt and levels are ours.

    Attributes:
        tally: what was asked and what it cost so far; its "pairs" are items.
        spent: what was spent, where the budget ended before all items had an answer; else "".
    """

    def __init__(
        self, settings: EndpointSettings, *, each: int = 3, seed: int = 0, remember: Path | str | None = None
    ) -> None:
        """`remember` names a file of JSON lines to keep queries in: no item is paid for twice, also after a kill.

        Raises SettingError where `each` is not 1, 2 or 3, MissingError where httpx is not installed.
        """
        if not 1 <= each <= len(LEVELS):
            raise SettingError(f"each = {each}: a query writer writes 1 to {len(LEVELS)} queries an item.")
        require_httpx()
        self.settings, self.each, self.seed = settings, each, seed
        self.tally, self.spent = Tally(), ""
        self._version = fingerprint(settings.model, template_version(), settings.temperature, settings.extra)
        self._path = None if remember is None else Path(remember)
        client = ChatClient(settings, Budget(settings), self.tally)
        self._asking = Asking(settings, client, Dialect(settings.structured, logprobs=False))

    def queries(self, items: pl.DataFrame, ceiling: float) -> list[tuple[str, ...] | None]:
        """Up to `each` queries for every row of a catalogue table, broad to narrow; None for a row without any.

        The frame needs item_id and title; taxonomy, brand, attributes and description are told where it has them.
        Queries are asked to share at most `ceiling` of their words with the title, and not checked here.

        Where the budget ends the rows that are left have None, and `spent` says so. Raises EndpointError when the
        server cannot be used or is away for longer than `patience`.
        """
        draws = hash_ids(items["item_id"], self.seed, "levels")
        sheet = _Sheet(
            items["item_id"].to_list(),
            [_text(item) for item in items.iter_rows(named=True)],
            [wanted(int(draw), self.each) for draw in draws],
            system_prompt(ceiling),
        )
        keys = [
            fingerprint(self._version, ceiling, text, levels)
            for text, levels in zip(sheet.texts, sheet.wants, strict=True)
        ]
        remembered = self._remembered()
        sheet.queries = [remembered.get(key) for key in keys]
        self.spent = ""
        try:
            spent = _run(self._write(sheet, keys))
        finally:
            self.tally.pairs += len(items)
            self.tally.answered += sum(one is not None for one in sheet.queries)
        if spent:
            left = sum(one is None for one in sheet.queries)
            self.spent = f"the budget is spent ({self._asking.client.budget.spent()}): {left:,} items have no queries"
            log.warning("%s: %s", self.settings.name or self.settings.model, self.spent)
        return sheet.queries

    async def _write(self, sheet: _Sheet, keys: list[str]) -> bool:
        """Fill the sheet, several requests at once; whether the budget ended before it was full."""
        open_rows = [row for row, one in enumerate(sheet.queries) if one is None]
        size = self.settings.pairs_per_request
        parts = [open_rows[start : start + size] for start in range(0, len(open_rows), size)]

        async def ask(rows: list[int]) -> None:
            try:
                await self._ask(sheet, rows)
            finally:
                self._remember({keys[row]: sheet.queries[row] for row in rows})

        return await self._asking.side_by_side(parts, ask)

    async def _ask(self, sheet: _Sheet, rows: list[int], problem: str = "", tries: int = TRIES) -> None:
        """One request for these rows, and one more for those whose answer is unusable."""
        texts, wants = [sheet.texts[row] for row in rows], [sheet.wants[row] for row in rows]
        ids = pair_ids([Pair("", sheet.ids[row], "", text) for row, text in zip(rows, texts, strict=True)])
        sent = messages(sheet.system, texts, wants, ids, problem)
        tokens = 64 + len(rows) * (self.settings.answer_tokens or 16 + QUERY_TOKENS * self.each)
        got = await self._asking.reply(sent, schema(), tokens, tries)
        if isinstance(got, str):
            await self._take_apart(sheet, rows, problem, got)
            return
        reply, _ = got
        row_of = dict(zip(ids, rows, strict=True))
        found, wrong = read_queries(reply.text, {number: len(sheet.wants[row]) for number, row in row_of.items()})
        for number, queries in found.items():
            sheet.queries[row_of[number]] = queries
        left = [row for row in rows if sheet.queries[row] is None]
        if left and not problem:
            if reply.finish == "length":
                wrong = f"it was cut off at the longest length allowed; {wrong}"
            self.tally.repairs += 1
            await self._ask(sheet, left, wrong)

    async def _take_apart(self, sheet: _Sheet, rows: list[int], problem: str, why: str) -> None:
        """A request that the server cannot take: ask for its halves, down to the one item that has no queries."""
        if len(rows) == 1:
            log.info("No queries for item %s: %s", sheet.ids[rows[0]], why)
            self._asking.in_vain(why)
            return
        half = len(rows) // 2
        for part in (rows[:half], rows[half:]):
            await self._ask(sheet, part, problem, TRIES_OF_PARTS)

    def _remembered(self) -> dict[str, tuple[str, ...]]:
        """Queries by key; a line that a kill cut short is passed over."""
        found: dict[str, tuple[str, ...]] = {}
        if self._path is None or not self._path.exists():
            return found
        for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                one = json.loads(line)
                found[str(one["key"])] = tuple(map(str, one["queries"]))
            except (ValueError, KeyError, TypeError):
                continue
        return {key: queries for key, queries in found.items() if queries}

    def _remember(self, answers: dict[str, tuple[str, ...] | None]) -> None:
        """Add the answers there are to the file, in one piece."""
        lines = [json.dumps({"key": key, "queries": one}, ensure_ascii=False) for key, one in answers.items() if one]
        if self._path is None or not lines:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write("\n" + "\n".join(lines) + "\n")  # after a line cut short, these must begin their own


class _Sheet:
    """The items asked about and what was written for them so far."""

    def __init__(self, ids: Sequence[str], texts: Sequence[str], wants: Sequence[tuple[str, ...]], system: str) -> None:
        self.ids, self.texts, self.wants, self.system = ids, texts, wants, system
        self.queries: list[tuple[str, ...] | None] = [None] * len(ids)


def _text(item: dict[str, Any]) -> str:
    return judged_item(*(item.get(name) for name in FEATURES))[:LONGEST]  # type: ignore[arg-type]


def _run(work: Coroutine[Any, Any, bool]) -> bool:
    """Run it to its end, also from inside a running loop (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()
