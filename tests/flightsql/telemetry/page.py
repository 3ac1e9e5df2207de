"""`/metrics`, read as Prometheus reads it."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.waiting import until

PATIENCE_S = 30.0


class Page:
    def __init__(self, url: str) -> None:
        self.url = url

    def text(self) -> str:
        with urllib.request.urlopen(self.url, timeout=PATIENCE_S) as answer:
            assert answer.headers["content-type"].startswith("text/plain")
            return str(answer.read().decode())

    def families(self) -> list[Metric]:
        return list(text_string_to_metric_families(self.text()))

    def value(self, sample: str, **labels: str) -> float:
        """The sum of the samples with these labels."""
        found = [each for family in self.families() for each in family.samples if each.name == sample]
        return sum(each.value for each in found if labels.items() <= each.labels.items())

    def wait(self, holds: Callable[[float], bool], sample: str, **labels: str) -> None:
        until(lambda: holds(self.value(sample, **labels)), f"{sample} {labels} is never so")

    def grows(self, by: float, sample: str, **labels: str) -> Callable[[], None]:
        """What waits until it is so much more than it is here."""
        wanted = self.value(sample, **labels) + by
        return lambda: self.wait(lambda value: value == wanted, sample, **labels)
