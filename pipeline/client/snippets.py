"""Code to paste that asks one endpoint, with its true names: for boto3, the OpenAI SDK, LangChain, LiteLLM and curl.

Owns which of them can be told of an endpoint: SageMaker's OpenAI route is for endpoints on instances, and takes chats
alone. Pure: names in, texts out. Every one of them is run by a test.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Final

from pipeline import inference_component
from pipeline.client import ways_in
from pipeline.client.proxy import PORT
from pipeline.gguf import questions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.client.endpoint import ServiceEndpoint


@dataclass(frozen=True, slots=True)
class Snippet:
    """A piece of code."""

    name: str
    """For `sealift connect --only`."""
    title: str
    code: str
    language: str = "python"
    needs: str = ""
    """What is installed for it, as pip has it."""


TEMPLATES: Final = Path(__file__).resolve().parent / "templates"
"""A file for each piece, with `$name` where a name goes: what can be opened and read as the code that it is."""
_ANSWERS: Final = {
    questions.MESSAGES: 'answer["choices"][0]["message"]["content"]',
    questions.PROMPT: 'answer["choices"][0]["text"]',
    questions.INPUT: 'answer["data"][0]["embedding"]',
    questions.QUERY: 'answer["results"]',
}


PROXY: Final = f"http://127.0.0.1:{PORT}"
"""Where `sealift proxy` listens unless it is told otherwise."""
_BY_PROXY: Final = frozenset({questions.MESSAGES, questions.PROMPT, questions.INPUT})
"""The forms that the OpenAI SDK has a call for."""


def of(
    endpoint: ServiceEndpoint, region: str, runtime: str, proxy: str = PROXY, *, store: str | None = None
) -> tuple[Snippet, ...]:
    """Return the pieces of code that ask an endpoint.

    Args:
        endpoint: the one that serves.
        region: it is in.
        runtime: the URL of SageMaker's runtime, which the SDKs are told where it is not what they take by themselves.
        proxy: the URL of `sealift proxy`.
        store: the URL of the Parameter Store; None for AWS's own.

    Raises:
        ValueError: what is to be a name is none.
    """
    ways_in.must_be_names(endpoint.service, endpoint.name, region)
    told = runtime != ways_in.aws_runtime(region)
    body = ways_in.body(endpoint.form)
    names = {
        "endpoint": endpoint.name,
        "service": endpoint.service,
        "parameter": endpoint.parameter,
        "region": region,
        "runtime": runtime,
        "proxy": proxy,
        "question": ways_in.QUESTION,
        "body": body,
        "json": body,
        "answer": _ANSWERS[endpoint.form],
        "endpoint_url": f', endpoint_url="{runtime}"' if told else "",
        "store_url": f', endpoint_url="{store}"' if store and store != ways_in.aws_store(region) else "",
        "sagemaker_base_url": f'\n    sagemaker_base_url="{runtime}/endpoints/{endpoint.name}/invocations",'
        if told
        else "",
    }
    named, header = inference_component.PARAMETER, inference_component.HEADER
    component = inference_component.name_of(endpoint.name)
    of_component = {
        "component": f'\n    {named}="{component}",',
        "component_of_parameter": f"\n    {named}=endpoint,",
        "component_header": f', "{header}": "{component}"',
        "component_option": f'\n    extra_headers={{"{header}": "{component}"}},',
        "component_argument": f', default_headers={{"{header}": "{component}"}}',
        "component_curl": f'--header "{header}: {component}" ',
        "component_variable": f"\nINFERENCE_COMPONENT_NAME={component}",
    }
    names |= of_component if endpoint.component else dict.fromkeys(of_component, "")
    names["signed"] = _filled("signed.py", names)
    found = [Snippet("boto3", "boto3", _filled("boto3.py", names), needs="boto3")]
    if endpoint.parameter:
        by_parameter = _filled("parameter.py", names)
        found.append(Snippet("parameter", "boto3, by the name that stays", by_parameter, needs="boto3"))
    if endpoint.form == questions.MESSAGES:
        by = "by SageMaker's OpenAI route" if endpoint.streams else "by requests that are signed"
        way, signing = ("", "") if endpoint.streams else ("-signed", " httpx boto3")
        openai, langchain = (_filled(f"{name}{way}.py", names) for name in ("openai", "langchain"))
        found += [
            Snippet("openai", f"the OpenAI SDK, {by}", openai, needs=f"openai{signing}"),
            Snippet("langchain", f"LangChain, {by}", langchain, needs=f"langchain-openai{signing}"),
            Snippet("litellm", "LiteLLM", _filled("litellm.py", names), needs="litellm boto3"),
        ]
    if endpoint.form in _BY_PROXY:
        by_proxy = _filled(f"openai-proxy-{endpoint.form}.py", names)
        title = (
            f"the OpenAI SDK, by `sealift proxy --port {proxy.rpartition(':')[2]}`, whichever endpoint serves"
        )
        found.append(Snippet("openai-proxy", title, by_proxy, needs="openai"))
    found += [
        Snippet("curl", "curl 7.75 or newer", _filled("curl.sh", names), "sh"),
        Snippet("lambda", "a Lambda's environment", _filled("lambda.sh", names), "sh"),
    ]
    return tuple(found)


def _filled(name: str, names: Mapping[str, str]) -> str:
    return Template((TEMPLATES / f"{name}.txt").read_text(encoding="utf-8")).substitute(names)
