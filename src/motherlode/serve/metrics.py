"""What Prometheus may read: requests, latencies, queue, cache, versions; of all worker processes together."""

from __future__ import annotations

import os
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # where worker processes keep their figures; set by whoever starts several
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
disable_created_metrics()  # a second series for each, which nobody reads
KIND = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The figures of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        held: dict[str, Any] = {"registry": self._registry}
        self._requests = Counter("motherlode_requests", "Requests answered.", ["route", "status"], **held)
        self._seconds = Histogram(
            "motherlode_request_seconds", "From request to answer.", ["route"], buckets=SECONDS, **held
        )
        self._cache = Counter("motherlode_cache", "Searches by whether the answer was ready.", ["found"], **held)
        self._hit, self._miss = self._cache.labels("yes"), self._cache.labels("no")
        self._shed = Counter("motherlode_shed", "Requests refused because too many waited.", **held)
        self._batch = Histogram("motherlode_batch_size", "Searches done together.", buckets=(1, 2, 4, 8, 16), **held)
        self._search = Histogram("motherlode_batch_seconds", "Time of a batch.", buckets=SECONDS, **held)
        self._publish = Histogram("motherlode_publish_seconds", "Time of publishing.", buckets=SECONDS, **held)
        self._swaps = Counter("motherlode_swaps", "Versions exchanged while serving.", ["index"], **held)
        self._failures = Counter("motherlode_swap_failures", "Versions that could not be read.", ["index"], **held)
        self._version = Gauge("motherlode_index_version", "Version served.", ["index"], multiprocess_mode="max", **held)
        self._items = Gauge("motherlode_index_items", "Items served.", ["index"], multiprocess_mode="max", **held)
        self._of: dict[tuple[str, int], tuple[Any, Any]] = {}

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count one request of a route (its pattern, never a path that somebody made up)."""
        found = self._of.get((route, status))
        if found is None:
            found = self._of[route, status] = self._requests.labels(route, str(status)), self._seconds.labels(route)
        found[0].inc()
        found[1].observe(seconds)

    def cached(self, found: bool) -> None:
        """Count a search by whether its answer was ready."""
        (self._hit if found else self._miss).inc()

    def shed(self) -> None:
        """Count a refusal."""
        self._shed.inc()

    def searched(self, count: int, seconds: float) -> None:
        """Count a batch of searches."""
        self._batch.observe(count)
        self._search.observe(seconds)

    def published(self, seconds: float) -> None:
        """Count a version written."""
        self._publish.observe(seconds)

    def serves(self, index: str, version: int, items: int, swapped: bool = True) -> None:
        """Tell which version is served."""
        if swapped:
            self._swaps.labels(index).inc()
        self._version.labels(index).set(version)
        self._items.labels(index).set(items)

    def unreadable(self, index: str) -> None:
        """Count a version that could not be opened."""
        self._failures.labels(index).inc()

    def text(self) -> bytes:
        """All figures in Prometheus' text format."""
        if SHARED not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)
        return generate_latest(together)
