"""The metrics of an endpoint's log: which figures of its lines, and the very requests that make them; no call.

A metric filter of the endpoint's log group makes each, as AWS documents it for every log group: on serverless and on
instances alike. What a line says is `inference.sealift_log`'s; here is what CloudWatch makes of it. Metrics have the
dimensions of SageMaker's own, EndpointName and VariantName, so that a service's name finds both, and what was measured
outlives its endpoint.

Sources: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html for patterns,
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutMetricFilter.html for their bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from inference import sealift_log
from inference.sealift_log import IN_COLUMNS, IN_JSON
from pipeline import inference_component
from pipeline.naming import VARIANT

NAMESPACE: Final = "Sealift"
PREFIX: Final = "sealift-"
"""What the names of the filters begin with: a log group may have others."""

MILLISECONDS: Final = "Milliseconds"
COUNT: Final = "Count"
PER_SECOND: Final = "Count/Second"

_BEFORE: Final = ("time", "level", "thread", "logger = MODEL_LOG", "dash", f"mark = {sealift_log.MARK}")
"""The fields that come before the columns: TorchServe's `%d{ISO8601} [%-5p] %t %c - ` and our own mark."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric, and of which lines."""

    name: str
    meaning: str
    unit: str
    value: str | None
    """The field of the line; None: each line counts 1."""
    where: tuple[tuple[str, str], ...] = ()
    """What fields have to be, beside that the value is a number: each with operator and number."""
    event: str = sealift_log.ANSWERED
    statuses: tuple[int, ...] = ()
    """Any of these; empty for all. A line in columns has none."""

    @property
    def conditions(self) -> dict[str, str]:
        """What each field has to be."""
        return {**({} if self.value is None else {self.value: ">= 0"}), **dict(self.where)}

    @property
    def forms(self) -> tuple[str, ...]:
        """The forms of lines that it can be read of."""
        return (IN_JSON,) if self.statuses else (IN_JSON, IN_COLUMNS)

    def pattern(self, form: str) -> str:
        """Return the filter pattern for lines of a form."""
        return self._json() if form == IN_JSON else self._columns()

    def _json(self) -> str:
        terms = [f'($.event = "{self.event}")', *(f"($.{name} = *)" for name in ("endpoint", "variant"))]
        terms += [f"($.{name} {wanted})" for name, wanted in self.conditions.items()]
        if self.statuses:
            terms.append(f"({' || '.join(f'($.status = {status})' for status in self.statuses)})")
        return f"{{ {' && '.join(terms)} }}"

    def _columns(self) -> str:
        wanted = {"event": f"= {self.event}", **self.conditions}
        fields = [f"{name} {wanted[name]}" if name in wanted else name for name in sealift_log.COLUMNS]
        return f"[{', '.join((*_BEFORE, *fields))}, ...]"

    def request(self, endpoint: str, form: str, *, component: bool = False) -> dict[str, Any]:
        """Return PutMetricFilter's parameters."""
        field = "$." if form == IN_JSON else "$"
        return {
            "logGroupName": inference_component.log_group(endpoint, component=component),
            "filterName": PREFIX + self.name,
            "filterPattern": self.pattern(form),
            "metricTransformations": [
                {
                    "metricNamespace": NAMESPACE,
                    "metricName": self.name,
                    "metricValue": "1" if self.value is None else field + self.value,
                    "unit": self.unit,
                    "dimensions": {"EndpointName": f"{field}endpoint", "VariantName": f"{field}variant"},
                }
            ],
        }


FIRST_TOKEN: Final = Metric(
    "TimeToFirstToken",
    "from a request's arrival to its first token, the queue among it",
    MILLISECONDS,
    "ttft_ms",
)
QUEUE: Final = Metric("QueueTime", "what a request waited for its turn", MILLISECONDS, "queue_ms")
SPEED: Final = Metric(
    "TokensPerSecond",
    "how fast one answer's tokens came",
    PER_SECOND,
    "predicted_per_second",
    # One token takes no time that could be divided by.
    where=(("predicted_n", "> 1"),),
)
GENERATED: Final = Metric("GeneratedTokens", "tokens of answers", COUNT, "predicted_n")
EVALUATED: Final = Metric("EvaluatedPromptTokens", "tokens of prompts that were evaluated", COUNT, "prompt_n")
CACHED: Final = Metric(
    "CachedPromptTokens", "tokens of prompts that were there from an earlier one", COUNT, "cache_n"
)
REFUSALS: Final = Metric(
    "Refusals",
    "requests that found no place, or got no turn in time",
    COUNT,
    None,
    event=sealift_log.REFUSED,
    statuses=(429, 503),
)
METRICS: Final = (FIRST_TOKEN, QUEUE, SPEED, GENERATED, EVALUATED, CACHED, REFUSALS)


def environment(endpoint: str) -> dict[str, str]:
    """Return what an endpoint's containers have to know to say in each line where it was written."""
    return {sealift_log.ENDPOINT_VARIABLE: endpoint, sealift_log.VARIANT_VARIABLE: VARIANT}


def of_form(form: str | None) -> tuple[Metric, ...]:
    """Return the metrics of a log whose lines have a form; none of one without."""
    return tuple(one for one in METRICS if form in one.forms)


def requests(endpoint: str, form: str | None, *, component: bool = False) -> list[dict[str, Any]]:
    """Return the parameters of PutMetricFilter for each metric of an endpoint.

    Args:
        endpoint: its name.
        form: of its log's lines; None where they are not ours.
        component: whether the endpoint hosts an inference component, which has the log.
    """
    return [] if form is None else [one.request(endpoint, form, component=component) for one in of_form(form)]
