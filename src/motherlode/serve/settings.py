"""What the server is told when it starts: what it serves, where, and every limit it keeps."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOST = 100  # results of one answer
LONGEST = 500  # characters of a query or a modifier
BATCH_ITEMS = 1_000  # items of one upsert or delete


class Settings(BaseModel, extra="forbid", frozen=True):
    """Settings of a server; JSON-able, so that worker processes get the same."""

    indexes: dict[str, Path] = Field(description="name -> folder of an index; the first is the one asked by default")
    workspace: Path | None = Field(None, description="where tables, ledger and recommender of the first index lie")
    keys: Path | None = Field(None, description="file of hashed API keys")
    host: str = "127.0.0.1"
    port: int = Field(8480, ge=0, le=65_535)
    workers: int = Field(1, ge=1, le=64, description="processes; each holds its own models")
    threads: int = Field(1, ge=1, le=64, description="threads of torch and faiss in each process")
    waiting: int = Field(64, ge=1, description="searches that may wait for an index; more are refused with 429")
    batch: int = Field(16, ge=1, description="waiting queries that are encoded together at most")
    search_timeout: float = Field(2.0, gt=0, description="seconds until a search is given up with 503")
    write_timeout: float = Field(60.0, gt=0, description="seconds until a change is no longer waited for")
    publish_every: float = Field(1.0, ge=0, description="seconds between two published versions at least")
    look_every: float = Field(0.2, gt=0, description="seconds between two looks for versions others published")
    drain: int = Field(20, ge=1, description="seconds that running requests get when the server is told to end")
    cache_bytes: int = Field(64 << 20, ge=0, description="answers kept ready for queries asked again")
    body_bytes: int = Field(8 << 20, ge=1_024, description="size of a request body")
    body_timeout: float = Field(10.0, gt=0, description="seconds in which a request body must arrive")
    target_bytes: int = Field(8 << 10, ge=256, description="length of an address with its query string")
    connections: int = Field(1_000, ge=1, description="connections open at once")
    log: bool = Field(True, description="one line of JSON a request on stderr")

    @property
    def local(self) -> bool:
        """Whether the server can be reached from this machine alone."""
        return self.host in LOOPBACK
