"""What consumers' own libraries do with an endpoint: run by `test_consumers.py`, in the environment that has them.

    python consumers.py BASE_URL TOKEN RUNTIME_URL ENDPOINT

Writes one JSON object on its last line: for each call its name, and None or what went wrong.
"""

import json
import sys
from collections.abc import Callable

import litellm
from langchain_openai import ChatOpenAI
from openai import BadRequestError, OpenAI
from pydantic import BaseModel, Field

BASE_URL, TOKEN, RUNTIME_URL, ENDPOINT = sys.argv[1:]
USER = [{"role": "user", "content": "What does a sealift do?"}]
CALL = {"id": "1", "type": "function", "function": {"name": "w", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "w", "parameters": {"type": "object", "properties": {}}}}
ANSWER = "Sealift carries heavy cargo"
COLD = {"temperature": 0, "model": "m"}


class Cargo(BaseModel):
    """What no grammar of ours could hold before: bounds, and a length."""

    tons: int = Field(ge=0, le=9)
    name: str = Field(max_length=4)


def seen(text: str) -> None:
    """See the model's sentence in an answer."""
    assert ANSWER in text, text


def chats(client: OpenAI) -> dict[str, Callable[[], object]]:
    """Return the calls of `openai` on a chat."""
    chat = client.chat.completions

    def streamed(**more: object) -> list[object]:
        return list(chat.create(messages=USER, stream=True, **COLD, **more))

    def usage() -> None:
        events = streamed(stream_options={"include_usage": True})
        assert events[-1].usage.completion_tokens > 0, events[-1]

    def parsed() -> None:
        cargo = (
            chat.parse(model="m", messages=USER, response_format=Cargo, seed=1, max_tokens=400)
            .choices[0]
            .message.parsed
        )
        assert 0 <= cargo.tons <= 9, cargo

    def refused() -> None:
        try:
            chat.create(messages=USER, n=1000, **COLD)
        except BadRequestError:
            return
        raise AssertionError("n=1000 was answered")

    history = [*USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}]
    history.append({"role": "tool", "tool_call_id": "1", "content": "sun"})
    return {
        "openai chat": lambda: seen(chat.create(messages=USER, **COLD).choices[0].message.content),
        "openai stream": lambda: seen("".join(e.choices[0].delta.content or "" for e in streamed())),
        "openai usage in a stream": usage,
        "openai n": lambda: [][len(chat.create(messages=USER, n=3, **COLD).choices) - 3 :],
        "openai parse": parsed,
        "openai history of tools": lambda: chat.create(messages=history, **COLD),
        "openai tools": lambda: chat.create(
            messages=USER, tools=[TOOL], tool_choice="auto", parallel_tool_calls=False, **COLD
        ),
        "openai developer and what changes nothing": lambda: chat.create(
            messages=[{"role": "developer", "content": "Be brief."}, *USER],
            reasoning_effort="low",
            store=True,
            metadata={"a": "b"},
            frequency_penalty=0,
            logit_bias={},
            **COLD,
        ),
        "openai logprobs": lambda: (
            chat.create(messages=USER, logprobs=True, top_logprobs=2, **COLD).choices[0].logprobs.content[0]
        ),
        "openai refusal": refused,
    }


def others() -> dict[str, Callable[[], object]]:
    """Return the calls of other libraries."""
    chain = ChatOpenAI(
        base_url=BASE_URL, api_key=TOKEN, model="m", temperature=0, max_tokens=400, max_retries=0
    )
    at = {"sagemaker_base_url": f"{RUNTIME_URL}/endpoints/{ENDPOINT}/invocations", "max_tokens": 60}

    def sagemaker() -> None:
        answer = litellm.completion(model=f"sagemaker/{ENDPOINT}", messages=USER, temperature=0, **at)
        assert answer.choices[0].message.content, answer

    return {
        "langchain invoke": lambda: seen(chain.invoke("What does a sealift do?").content),
        "langchain stream": lambda: seen(
            "".join(part.content for part in chain.stream("What does a sealift do?"))
        ),
        "langchain batch": lambda: chain.batch(["a", "b", "c"]),
        "langchain structured": lambda: chain.with_structured_output(Cargo, method="json_schema").invoke("a"),
        "litellm openai": lambda: seen(
            litellm.completion(
                model="openai/m", api_base=BASE_URL, api_key=TOKEN, messages=USER, temperature=0
            )
            .choices[0]
            .message.content
        ),
        "litellm sagemaker": sagemaker,
    }


def tried(call: Callable[[], object]) -> str | None:
    """Return what went wrong with a call."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 whatever it is, it is what went wrong
        return f"{type(error).__name__}: {error}"[:500]
    return None


if __name__ == "__main__":
    calls = chats(OpenAI(base_url=BASE_URL, api_key=TOKEN, max_retries=0)) | others()
    sys.stdout.write(json.dumps({name: tried(call) for name, call in calls.items()}) + "\n")
