"""Code to paste that asks one endpoint, with its true names: for boto3, the OpenAI SDK, LangChain, LiteLLM and curl.

Owns which of them can be told of an endpoint: SageMaker's OpenAI route is for endpoints on instances, and takes chats
alone. Pure: names in, texts out. Every one of them is run by a test.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import Template
from typing import TYPE_CHECKING, Final

from pipeline.gguf import questions

if TYPE_CHECKING:
    from pipeline.client.service_endpoint import ServiceEndpoint


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


_BOTO3: Final = Template("""\
import json

import boto3

runtime = boto3.client("sagemaker-runtime", region_name="$region"$endpoint_url)
response = runtime.invoke_endpoint(
    EndpointName="$endpoint",
    ContentType="application/json",
    Body=json.dumps($body),
)
answer = json.load(response["Body"])
print($answer)
""")

_OPENAI: Final = Template("""\
import subprocess

from openai import OpenAI

token = subprocess.check_output(["sealift", "token", "--region", "$region"], text=True).strip()
client = OpenAI(base_url="$runtime/endpoints/$endpoint/openai/v1", api_key=token)
answer = client.chat.completions.create(
    model="$service",
    messages=[{"role": "user", "content": "$question"}],
)
print(answer.choices[0].message.content)
""")

_SIGNED: Final = """\
import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.session import Session

URL = "$runtime/endpoints/$endpoint/invocations"


class Signed(httpx.Auth):
    requires_request_body = True

    def auth_flow(self, request):
        signed = AWSRequest("POST", URL, data=request.content, headers={"Content-Type": "application/json"})
        SigV4Auth(Session().get_credentials(), "sagemaker", "$region").add_auth(signed)
        request.url = httpx.URL(URL)
        request.headers.update(dict(signed.headers))
        request.headers["host"] = request.url.netloc.decode()
        yield request


"""
_OPENAI_SIGNED: Final = Template(
    "from openai import OpenAI\n"
    + _SIGNED
    + """\
client = OpenAI(base_url="https://unused", api_key="unused", http_client=httpx.Client(auth=Signed(), timeout=250))
answer = client.chat.completions.create(
    model="$service",
    messages=[{"role": "user", "content": "$question"}],
)
print(answer.choices[0].message.content)
"""
)

_LANGCHAIN: Final = Template("""\
import subprocess

from langchain_openai import ChatOpenAI

token = subprocess.check_output(["sealift", "token", "--region", "$region"], text=True).strip()
model = ChatOpenAI(model="$service", base_url="$runtime/endpoints/$endpoint/openai/v1", api_key=token)
print(model.invoke("$question").content)
""")

_LANGCHAIN_SIGNED: Final = Template(
    "from langchain_openai import ChatOpenAI\n"
    + _SIGNED
    + """\
model = ChatOpenAI(
    model="$service", base_url="https://unused", api_key="unused", http_client=httpx.Client(auth=Signed(), timeout=250)
)
print(model.invoke("$question").content)
"""
)

_LITELLM: Final = Template("""\
import litellm

answer = litellm.completion(
    model="sagemaker_chat/$endpoint",
    messages=[{"role": "user", "content": "$question"}],
    aws_region_name="$region",$sagemaker_base_url
)
print(answer.choices[0].message.content)
""")

_CURL: Final = Template("""\
curl --fail-with-body --silent --show-error \\
  --aws-sigv4 "aws:amz:$region:sagemaker" --user "$$AWS_ACCESS_KEY_ID:$$AWS_SECRET_ACCESS_KEY" \\
  --header "x-amz-security-token: $${AWS_SESSION_TOKEN:-}" --header "Content-Type: application/json" \\
  --data '$json' \\
  "$runtime/endpoints/$endpoint/invocations"
""")

_LAMBDA: Final = Template("""\
ENDPOINT_NAME=$endpoint
""")

_ANSWERS: Final = {
    questions.MESSAGES: 'answer["choices"][0]["message"]["content"]',
    questions.PROMPT: 'answer["choices"][0]["text"]',
    questions.INPUT: 'answer["data"][0]["embedding"]',
    questions.QUERY: 'answer["results"]',
}
_BODIES: Final = {
    questions.MESSAGES: '{"messages": [{"role": "user", "content": "$question"}]}',
    questions.PROMPT: '{"prompt": "$question"}',
    questions.INPUT: '{"input": "$question"}',
    questions.QUERY: '{"query": "$question", "documents": ["$question", "Interest rates rose."]}',
}
QUESTION: Final = "What does a sealift do?"


def of(endpoint: ServiceEndpoint, region: str, runtime: str) -> tuple[Snippet, ...]:
    """Return the pieces of code that ask an endpoint.

    Args:
        endpoint: the one that serves.
        region: it is in.
        runtime: the URL of SageMaker's runtime, which the SDKs are told where it is not what they take by themselves.
    """
    told = runtime != aws_runtime(region)
    body = Template(_BODIES[endpoint.form]).substitute(question=QUESTION)
    names = {
        "endpoint": endpoint.name,
        "service": endpoint.service,
        "region": region,
        "runtime": runtime,
        "question": QUESTION,
        "body": body,
        "json": body,
        "answer": _ANSWERS[endpoint.form],
        "endpoint_url": f', endpoint_url="{runtime}"' if told else "",
        "sagemaker_base_url": f'\n    sagemaker_base_url="{runtime}/endpoints/{endpoint.name}/invocations",'
        if told
        else "",
    }
    found = [Snippet("boto3", "boto3", _BOTO3.substitute(names), needs="boto3")]
    if endpoint.form == questions.MESSAGES:
        openai, langchain = (_OPENAI, _LANGCHAIN) if endpoint.streams else (_OPENAI_SIGNED, _LANGCHAIN_SIGNED)
        by = "by SageMaker's OpenAI route" if endpoint.streams else "by requests that are signed"
        found += [
            Snippet("openai", f"the OpenAI SDK, {by}", openai.substitute(names), needs="openai"),
            Snippet("langchain", f"LangChain, {by}", langchain.substitute(names), needs="langchain-openai"),
            Snippet("litellm", "LiteLLM", _LITELLM.substitute(names), needs="litellm boto3"),
        ]
    found += [
        Snippet("curl", "curl 7.75 or newer", _CURL.substitute(names), "sh"),
        Snippet("lambda", "a Lambda's environment", _LAMBDA.substitute(names), "sh"),
    ]
    return tuple(found)


def aws_runtime(region: str) -> str:
    """Return the URL of SageMaker's runtime in a region."""
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://runtime.sagemaker.{region}.{suffix}"
