"""Gives metrics to Prometheus: by an endpoint on this machine, or by a file for node_exporter's textfile collector."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

from prometheus_client import CollectorRegistry, Metric, start_http_server, write_to_textfile
from prometheus_client.registry import Collector

from reconciler.core.errors import ReconcileError


class Spread(Protocol):
    """A histogram."""

    @property
    def buckets(self) -> tuple[tuple[str, float], ...]:
        """Counts by upper bound, cumulative."""
        ...

    @property
    def total(self) -> float:
        """The sum of what was counted."""
        ...


class Family(Protocol):
    """One metric with all its series; ``reports.metrics`` makes them."""

    @property
    def name(self) -> str:
        """Its name, without the ``_total`` of a counter."""
        ...

    @property
    def help(self) -> str:
        """What it means."""
        ...

    @property
    def sort(self) -> Literal["gauge", "counter", "histogram"]:
        """Its type."""
        ...

    @property
    def samples(self) -> Sequence[tuple[tuple[tuple[str, str], ...], float | Spread]]:
        """Its series."""
        ...


Measure = Callable[[], Iterable[Family]]


class _Measured(Collector):
    def __init__(self, measure: Measure) -> None:
        self._measure = measure

    def describe(self) -> list[Metric]:
        return []  # so that nothing is measured before somebody asks

    def collect(self) -> Iterator[Metric]:
        for family in self._measure():
            yield _metric(family)


def _metric(family: Family) -> Metric:
    metric = Metric(family.name, family.help, family.sort)
    for labels, value in family.samples:
        if isinstance(value, float):
            metric.add_sample(family.name + ("_total" if family.sort == "counter" else ""), dict(labels), value)
            continue
        for bound, count in value.buckets:
            metric.add_sample(family.name + "_bucket", {**dict(labels), "le": bound}, count)
        metric.add_sample(family.name + "_count", dict(labels), value.buckets[-1][1])
        metric.add_sample(family.name + "_sum", dict(labels), value.total)
    return metric


def _registry(measure: Measure) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Measured(measure))
    return registry


def write(path: Path, measure: Measure) -> None:
    """Write the metrics to a file that takes the place of the old one as a whole.

    Raises:
        ReconcileError: The disk refuses.
    """
    try:
        write_to_textfile(str(path), _registry(measure))
    except OSError as error:
        raise ReconcileError(
            f"the metrics cannot be written: {error.strerror}", where=str(path), do="check `--metrics-file`"
        ) from error


def address(text: str, *, anywhere: bool) -> tuple[str, int]:
    """Read ``HOST:PORT`` of an endpoint; the host is an IP address.

    Args:
        anywhere: Whether it may be another address than this machine's own loopback.

    Raises:
        ReconcileError: It is none, or it would be open to others.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        own = ipaddress.ip_address(host).is_loopback
        number = int(port)
        if not 0 <= number < 65536:
            raise ValueError("no port")
    except ValueError:
        raise ReconcileError(f"{text!r} is no address such as 127.0.0.1:9464", do="check `--metrics`") from None
    if not own and not anywhere:
        raise ReconcileError(
            f"{text} would show the metrics to other machines, and without a password",
            do="use 127.0.0.1, or say `--metrics-for-anyone` as well",
        )
    return host, number


@contextmanager
def serving(where: tuple[str, int], measure: Measure) -> Iterator[int]:
    """Answer Prometheus for as long as the context is open; yields the port.

    Raises:
        ReconcileError: The address cannot be used.
    """
    host, port = where
    try:
        server, thread = start_http_server(port, host, _registry(measure))
    except OSError as error:
        raise ReconcileError(f"no endpoint for metrics: {error.strerror}", where=f"{host}:{port}") from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
