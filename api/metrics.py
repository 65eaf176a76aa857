"""What a monitoring system scrapes: counts and durations, never a name or an address.

Requests are told by their route's template, so that there are as many series as routes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.access_log import METHODS
from commands.counts import WriterCounts

MEDIA_TYPE: Final = CONTENT_TYPE_LATEST.partition("; charset")[0]
"""The framework names the charset of every text."""
NO_ROUTE: Final = "-"
BUCKETS_S: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Picture(NamedTuple):
    """What only the database knows."""

    read_model_lag: int
    stopped_read_models: int
    outdated_read_models: int
    unsigned_events: int
    queue_length: int
    running_tasks: int
    online_servers: int
    busy_gpus: int
    idle_gpus: int


_GAUGES: Final = {
    "read_model_lag": "Events that the slowest live read model has yet to fold.",
    "stopped_read_models": "Read models that met an event which they cannot fold.",
    "outdated_read_models": "Read models whose rows other folds made than this version's.",
    "unsigned_events": "Events that no signed checkpoint covers yet.",
    "queue_length": "Tasks that wait.",
    "running_tasks": "Tasks that run.",
    "online_servers": "GPU servers that are online.",
    "busy_gpus": "GPUs on which a task runs.",
    "idle_gpus": "GPUs of online servers on which none runs.",
}


class Metrics:
    """One application's figures."""

    def __init__(self, counts: WriterCounts) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "owl_http_requests",
            "Requests that were answered.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._durations = Histogram(
            "owl_http_request_seconds",
            "Time from the request's head to the end of its answer.",
            ["method", "route"],
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._registry.register(_Writer(counts))
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)

    def note(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """Count one request; whatever the client made up is counted together."""
        key = (method if method in METHODS else NO_ROUTE, route or NO_ROUTE, status)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = (
                self._requests.labels(*key),
                self._durations.labels(*key[:2]),
            )
        known[0].inc()
        known[1].observe(seconds)

    def text(self, picture: Picture | None) -> bytes:
        """The exposition; without a picture the database is told to be out of reach."""
        scrape = CollectorRegistry()
        scrape.register(_Database(picture))
        return generate_latest(self._registry) + generate_latest(scrape)


class _Writer(Collector):
    def __init__(self, counts: WriterCounts) -> None:
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        told = {
            "rounds": "Commits of the writer of this process.",
            "commands": "Commands that it has answered, refused ones too.",
            "facts": "Events that it has appended.",
            "failed_rounds": "Commits that had to be decided again.",
        }
        for name, text in told.items():
            value = getattr(self._counts, name)
            yield CounterMetricFamily(f"owl_writer_{name}", text, value=value)


class _Database(Collector):
    def __init__(self, picture: Picture | None) -> None:
        self._picture = picture

    def collect(self) -> Iterable[Metric]:
        up: Any = int(self._picture is not None)
        yield GaugeMetricFamily("owl_database_up", "Whether Postgres answers.", value=up)
        if self._picture is None:
            return
        for name, text in _GAUGES.items():
            yield GaugeMetricFamily(f"owl_{name}", text, value=getattr(self._picture, name))
