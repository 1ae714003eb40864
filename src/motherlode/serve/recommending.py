"""Items for a user, from the recommender that lies beside an index."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from motherlode.errors import InputError, MissingError
from motherlode.serve.answering import Answering
from motherlode.serve.errors import Refused
from motherlode.serve.forms import Recommend
from motherlode.serve.keys import stamp_of

if TYPE_CHECKING:
    from motherlode.recommend.serving import Recommender

FOLDER = "recommender"  # in a workspace
SPARE = 20  # items asked for beyond k: some may be gone from the index


class Recommending:
    """Opened when first asked, and again when its folder is exchanged."""

    def __init__(self, workspace: Path) -> None:
        self._folder = workspace / FOLDER
        self._lock = Lock()
        self._stamp: tuple[int, int] | None = None
        self._opened: Recommender | None = None

    def answer(self, asked: Recommend, answering: Answering) -> bytes:
        """Hits for a user or a history. Raises Refused: 409 without a recommender, 404 or 422 for who is not known."""
        recommender = self._current()
        if recommender is None:
            raise none(answering.name)
        history = asked.history
        if asked.user_id is not None:
            try:
                history = recommender.history_of(asked.user_id)
            except MissingError as error:
                raise Refused(409, "no_users", str(error)) from error
            except InputError as error:
                raise Refused(404, "no_such_user", str(error)) from error
        try:
            found = recommender.recommend(history, asked.k + SPARE)
        except InputError as error:
            raise Refused(404, "no_such_item", str(error)) from error
        return answering.recommended({one.item_id: one.score for one in found}, asked.k)

    def _current(self) -> Recommender | None:
        from motherlode.recommend.serving import Recommender

        with self._lock:
            stamp = stamp_of(self._folder / "recommender.json")
            if stamp != self._stamp:
                self._opened = Recommender.open(self._folder) if stamp else None
                self._stamp = stamp
            return self._opened


def none(index: str) -> Refused:
    """There is no recommender."""
    return Refused(409, "no_recommender", f"The index '{index}' has no recommender: train one on interactions first.")
