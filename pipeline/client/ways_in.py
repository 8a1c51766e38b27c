"""How a service is asked, in short: the command, the endpoint, the URL, one statement of Python.

For whoever has to see it in a line each: `sealift status`, the notification. Owns the question and the bodies that all
such code has. Pure: names in, texts out. The code for each client, in full, is `client.snippets`'s.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline import inference_component, settings
from pipeline.gguf import questions

if TYPE_CHECKING:
    from collections.abc import Iterator

QUESTION: Final = "What does a sealift do?"
_OTHER: Final = "Interest rates rose."
_BODIES: Final = {
    questions.MESSAGES: {"messages": [{"role": "user", "content": QUESTION}]},
    questions.PROMPT: {"prompt": QUESTION},
    questions.INPUT: {"input": QUESTION},
    questions.QUERY: {"query": QUESTION, "documents": [QUESTION, _OTHER]},
}
_NAME: Final = re.compile(r"[A-Za-z0-9-]+")
"""Of a service, a stack, an endpoint and a region: nothing that a shell, JSON or Python reads otherwise."""


@dataclass(frozen=True, slots=True)
class WaysIn:
    """How one service is asked."""

    ask: str
    """The command; empty where `sealift ask` cannot: a reranker ranks."""
    connect: str
    """The command that prints code for each client."""
    endpoint_name: str
    url: str
    """The `base_url` of SageMaker's OpenAI route on instances, for chats; else where signed requests are sent."""
    boto3: str
    """One statement, whose value is the answer's bytes."""

    def lines(self) -> Iterator[str]:
        """Yield what a person reads, a line each."""
        if self.ask:
            yield f"ask it: {self.ask}"
        yield f"endpoint: {self.endpoint_name}"
        yield f"boto3: {self.boto3}"


def of(
    service: str,
    endpoint: str,
    form: str,
    *,
    region: str,
    runtime: str,
    streams: bool,
    stack: str | None,
    elsewhere: bool = False,
    component: bool = False,
) -> WaysIn:
    """Return how a service is asked.

    Args:
        service: its name.
        endpoint: the one that serves.
        form: the field to ask it with, one of `questions.FORMS`.
        region: it is in.
        runtime: the URL of SageMaker's runtime there.
        streams: whether it is on instances.
        stack: that it is of; None where it is not known, or any.
        elsewhere: whether whoever reads it may have other settings, so that the commands name the region.
        component: whether it hosts an inference component, which every call names.

    Raises:
        ValueError: what is to be a name is none.
    """
    must_be_names(service, endpoint, region, *([stack] if stack else []))
    options = f" --region {region}" if elsewhere else ""
    options += f" --stack {stack}" if stack and stack != settings.STACK else ""
    named = "".join(
        f'{name}="{value}", '
        for name, value in inference_component.parameters(endpoint, component=component).items()
    )
    route = "openai/v1" if streams and form == questions.MESSAGES else "invocations"
    return WaysIn(
        ask="" if form == questions.QUERY else f'sealift ask {service} "{QUESTION}"{options}',
        connect=f"sealift connect {service}{options}",
        endpoint_name=endpoint,
        url=f"{runtime}/endpoints/{endpoint}/{route}",
        boto3=f'boto3.client("sagemaker-runtime", region_name="{region}").invoke_endpoint('
        f'{named}ContentType="application/json", Body=\'{body(form)}\')["Body"].read()',
    )


def body(form: str) -> str:
    """Return a request of a form, as JSON and as Python have it."""
    return json.dumps(_BODIES[form])


def aws_runtime(region: str) -> str:
    """Return the URL of SageMaker's runtime in a region."""
    return f"https://runtime.sagemaker.{region}.{_suffix(region)}"


def aws_store(region: str) -> str:
    """Return the URL of the Parameter Store in a region."""
    return f"https://ssm.{region}.{_suffix(region)}"


def _suffix(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def must_be_names(*given: str) -> None:
    """Make sure that what goes into code is nothing but names.

    Raises:
        ValueError: one is none.
    """
    for one in given:
        if not _NAME.fullmatch(one):
            raise ValueError(f"{one!r} is no name")
