"""OpenAI's own package: chats by SageMaker's OpenAI route, everything else by InvokeEndpoint."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Literal

import httpx
import openai
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.session import Session
from calls import LONGEST, QUESTION, USER, Call, Calls, Site, arguments, check, joined, raises, report, seen
from openai import AsyncOpenAI, BadRequestError, NotFoundError, OpenAI, PermissionDeniedError
from pydantic import BaseModel, Field

COLD: dict[str, Any] = {"temperature": 0, "model": "m"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"town": "Kiel"}'}}
WEATHER = {
    "type": "object",
    "properties": {"town": {"type": "string", "maxLength": 8}, "unit": {"enum": ["C", "F"]}},
    "required": ["town", "unit"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "weather", "description": "Tell it.", "parameters": WEATHER}}
OTHER = {"type": "function", "function": {"name": "tide", "parameters": {"type": "object", "properties": {}}}}
NAMED = {"type": "function", "function": {"name": "weather"}}
PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Cargo(BaseModel):
    """Bounds, a length and a choice."""

    tons: int = Field(ge=0, le=9)
    name: str = Field(max_length=4)
    kind: Literal["bulk", "box"]


class Weather(BaseModel):
    """The arguments of a tool."""

    town: str = Field(max_length=8)


class Signed(httpx.Auth):
    """What a user writes to reach InvokeEndpoint by this package: the body goes there, signed."""

    requires_request_body = True

    def __init__(self, url: str) -> None:
        self._url = url
        self._credentials = Session().get_credentials()

    def auth_flow(self, request: httpx.Request) -> Any:
        """Send the request to the endpoint instead, whatever its path was."""
        signed = AWSRequest(
            "POST", self._url, data=request.content, headers={"Content-Type": "application/json"}
        )
        SigV4Auth(self._credentials, "sagemaker", "us-east-1").add_auth(signed)
        request.url = httpx.URL(self._url)
        request.headers.update(dict(signed.headers))
        request.headers["host"] = request.url.netloc.decode()
        yield request


def chats(site: Site) -> Calls:
    """Return the calls of a chat that are one answer."""
    client = OpenAI(base_url=site.base_url, api_key=site.token, max_retries=0)
    create = client.chat.completions.create

    def ask(**more: Any) -> Any:
        return create(**{"messages": USER, **COLD, **more})

    def text(**more: Any) -> str:
        return str(ask(**more).choices[0].message.content)

    history = [*USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}]
    history.append({"role": "tool", "tool_call_id": "call_1", "content": "sun"})

    def required(**more: Any) -> Any:
        return ask(tools=[TOOL, OTHER], tool_choice="required", max_tokens=LONGEST, **more).choices[0]

    def calls_are_required() -> None:
        choice = required()
        check(choice.finish_reason == "tool_calls", choice)
        check(choice.message.tool_calls[0].function.name in {"weather", "tide"}, choice)
        arguments(choice.message.tool_calls[0].function.arguments)

    def a_tool_is_named() -> None:
        choice = ask(tools=[OTHER, TOOL], tool_choice=NAMED, max_tokens=LONGEST).choices[0]
        function = choice.message.tool_calls[0].function
        check(function.name == "weather", choice)
        check(arguments(function.arguments)["unit"] in {"C", "F"}, choice)

    def and_the_conversation_goes_on() -> None:
        message = ask(tools=[TOOL], tool_choice=NAMED, max_tokens=LONGEST).choices[0].message
        result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sun"}
        again = ask(messages=[*USER, message, result], tools=[TOOL], tool_choice="none").choices[0].message
        check(again.content and not again.tool_calls, again)

    def tools_parse() -> None:
        tool = openai.pydantic_function_tool(Weather)
        parsed = client.chat.completions.parse(
            messages=USER, tools=[tool], tool_choice="required", max_tokens=LONGEST, **COLD
        )
        call = parsed.choices[0].message.tool_calls[0].function
        check(isinstance(call.parsed_arguments, Weather), call)

    def parses() -> None:
        parsed = client.chat.completions.parse(
            model="m", messages=USER, response_format=Cargo, seed=1, max_tokens=LONGEST
        )
        cargo = parsed.choices[0].message.parsed
        check(isinstance(cargo, Cargo), parsed)

    def is_json() -> None:
        arguments(text(response_format={"type": "json_object"}, seed=2, max_tokens=LONGEST))

    def same_seed() -> None:
        one, other = (text(temperature=1, seed=7, max_tokens=12) for _ in range(2))
        check(one == other, (one, other))

    def logprobs() -> None:
        told = ask(logprobs=True, top_logprobs=2, max_tokens=4).choices[0].logprobs.content
        check(told and len(told[0].top_logprobs) == 2 and told[0].logprob <= 0, told)

    def choices() -> None:
        found = ask(n=3, max_tokens=4).choices
        check([one.index for one in found] == [0, 1, 2], found)

    def length() -> None:
        answered = ask(max_completion_tokens=3)
        check(answered.choices[0].finish_reason == "length", answered)
        check(answered.usage.completion_tokens == 3, answered)

    def usage() -> None:
        told = ask().usage
        check(told.total_tokens == told.prompt_tokens + told.completion_tokens > 0, told)

    def stops() -> None:
        for stop in (" cargo", ["nothing of it", " cargo"]):
            found = ask(stop=stop)
            check("cargo" not in found.choices[0].message.content, found)
            check(found.choices[0].finish_reason == "stop", found)

    def functions() -> None:
        message = (
            ask(functions=[TOOL["function"]], function_call={"name": "weather"}, max_tokens=LONGEST)
            .choices[0]
            .message
        )
        check(message.function_call.name == "weather", message)
        arguments(message.function_call.arguments)

    def raw() -> None:
        answered = client.chat.completions.with_raw_response.create(messages=USER, **COLD)
        check(answered.headers["content-type"].startswith("application/json"), answered.headers)
        seen(answered.parse().choices[0].message.content)

    def streamed_raw() -> None:
        with client.chat.completions.with_streaming_response.create(messages=USER, **COLD) as answered:
            seen(json.loads(b"".join(answered.iter_bytes()))["choices"][0]["message"]["content"])

    return {
        "chat": lambda: seen(text()),
        "chat: usage": usage,
        "chat: system": lambda: seen(text(messages=[{"role": "system", "content": "Be brief."}, *USER])),
        "chat: developer": lambda: seen(
            text(messages=[{"role": "developer", "content": "Be brief."}, *USER])
        ),
        "chat: parts of a content": lambda: seen(
            text(messages=[{"role": "user", "content": [{"type": "text", "text": QUESTION}]}])
        ),
        "chat: names": lambda: seen(text(messages=[{"role": "user", "name": "ann", "content": QUESTION}])),
        "chat: several turns": lambda: seen(
            text(messages=[*USER, {"role": "assistant", "content": "It carries."}, *USER])
        ),
        "chat: n": choices,
        "chat: seed": same_seed,
        "chat: stop": stops,
        "chat: max_completion_tokens": length,
        "chat: sampling": lambda: text(
            temperature=0.7,
            top_p=0.9,
            frequency_penalty=0.2,
            presence_penalty=0.1,
            logit_bias={"5": -100},
            seed=3,
        ),
        "chat: extra_body": lambda: seen(text(extra_body={"top_k": 1, "min_p": 0.1, "repeat_penalty": 1.0})),
        "chat: logprobs": logprobs,
        "chat: what changes nothing": lambda: seen(
            text(
                reasoning_effort="low",
                store=True,
                metadata={"a": "b"},
                user="u",
                service_tier="auto",
                verbosity="low",
                safety_identifier="s",
                prompt_cache_key="p",
                prediction={"type": "content", "content": "x"},
                modalities=["text"],
                frequency_penalty=0,
                presence_penalty=0,
                logit_bias={},
                n=1,
            )
        ),
        "chat: json_object": is_json,
        "chat: parse": parses,
        "tools: auto": lambda: ask(tools=[TOOL], tool_choice="auto", parallel_tool_calls=False),
        "tools: none": lambda: seen(text(tools=[TOOL], tool_choice="none")),
        "tools: required": calls_are_required,
        "tools: named": a_tool_is_named,
        "tools: several at once": lambda: arguments(
            required(parallel_tool_calls=True).message.tool_calls[0].function.arguments
        ),
        "tools: history": lambda: seen(text(messages=history)),
        "tools: a whole round": and_the_conversation_goes_on,
        "tools: parse": tools_parse,
        "tools: functions": functions,
        "raw response": raw,
        "streaming response": streamed_raw,
        "with_options": lambda: seen(
            client.with_options(timeout=60, max_retries=1)
            .chat.completions.create(messages=USER, **COLD)
            .choices[0]
            .message.content
        ),
        "extra_headers": lambda: seen(text(extra_headers={"X-Trace": "1"}, timeout=60)),
    }


def streams(site: Site) -> Calls:
    """Return the calls of a chat that are streams."""
    client = OpenAI(base_url=site.base_url, api_key=site.token, max_retries=0)

    def events(**more: Any) -> list[Any]:
        return list(client.chat.completions.create(**{"messages": USER, "stream": True, **COLD, **more}))

    def text() -> None:
        found = events()
        seen(joined(one.choices[0].delta.content for one in found))
        check(found[0].choices[0].delta.role == "assistant", found[0])
        check(found[-1].choices[0].finish_reason == "stop", found[-1])

    def usage() -> None:
        found = events(stream_options={"include_usage": True})
        check(found[-1].choices == [] and found[-1].usage.completion_tokens > 0, found[-1])

    def choices() -> None:
        found = events(n=2, max_tokens=4)
        check({one.choices[0].index for one in found if one.choices} == {0, 1}, found)

    def called() -> None:
        found = events(tools=[TOOL], tool_choice="required", max_tokens=LONGEST)
        deltas = [call for one in found for call in one.choices[0].delta.tool_calls or []]
        check(deltas and deltas[0].function.name == "weather" and deltas[0].id, found)
        arguments(joined(one.function.arguments for one in deltas if one.index == deltas[0].index))
        check(found[-1].choices[0].finish_reason == "tool_calls", found[-1])

    def held() -> None:
        schema = {"type": "json_schema", "json_schema": {"name": "c", "schema": Cargo.model_json_schema()}}
        found = events(response_format=schema, seed=1, max_tokens=LONGEST)
        Cargo.model_validate_json(joined(one.choices[0].delta.content for one in found))

    def logprobs() -> None:
        found = events(logprobs=True, top_logprobs=1, max_tokens=4)
        check(any(one.choices[0].logprobs for one in found), found)

    def left_early() -> None:
        with client.chat.completions.create(messages=USER, stream=True, **COLD) as stream:
            next(iter(stream))
        seen(client.chat.completions.create(messages=USER, **COLD).choices[0].message.content)

    def helper() -> None:
        with client.chat.completions.stream(messages=USER, **COLD) as stream:
            seen(joined(event.delta for event in stream if event.type == "content.delta"))
            seen(stream.get_final_completion().choices[0].message.content)

    def helper_parses() -> None:
        with client.chat.completions.stream(
            model="m", messages=USER, response_format=Cargo, seed=1, max_tokens=LONGEST
        ) as stream:
            done = [event for event in stream if event.type == "content.done"]
        check(isinstance(done[-1].parsed, Cargo), done)

    def helper_calls() -> None:
        tool = openai.pydantic_function_tool(Weather)
        with client.chat.completions.stream(
            messages=USER, tools=[tool], tool_choice="required", max_tokens=LONGEST, **COLD
        ) as stream:
            done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        check(isinstance(done[-1].parsed_arguments, Weather), done)

    return {
        "stream": text,
        "stream: usage": usage,
        "stream: n": choices,
        "stream: tools": called,
        "stream: json_schema": held,
        "stream: logprobs": logprobs,
        "stream: left early": left_early,
        "stream helper": helper,
        "stream helper: parse": helper_parses,
        "stream helper: tools": helper_calls,
    }


def at_once(site: Site) -> Calls:
    """Return the calls of the asynchronous client."""

    def client() -> AsyncOpenAI:
        return AsyncOpenAI(base_url=site.base_url, api_key=site.token)

    async def chat() -> None:
        async with client() as one:
            seen((await one.chat.completions.create(messages=USER, **COLD)).choices[0].message.content)

    async def stream() -> None:
        async with client() as one:
            found = await one.chat.completions.create(messages=USER, stream=True, **COLD)
            seen(joined([event.choices[0].delta.content async for event in found]))

    async def helper() -> None:
        async with client() as one, one.chat.completions.stream(messages=USER, **COLD) as found:
            seen((await found.get_final_completion()).choices[0].message.content)

    async def parse() -> None:
        async with client() as one:
            found = await one.chat.completions.parse(
                model="m", messages=USER, response_format=Cargo, seed=1, max_tokens=LONGEST
            )
        check(isinstance(found.choices[0].message.parsed, Cargo), found)

    async def six() -> None:
        async with client() as one:
            asked = [one.chat.completions.create(messages=USER, max_tokens=8, **COLD) for _ in range(6)]
            for answered in await asyncio.gather(*asked):
                seen(answered.choices[0].message.content)

    return {
        "async chat": chat,
        "async stream": stream,
        "async stream helper": helper,
        "async parse": parse,
        "async six at once": six,
    }


def errors(site: Site) -> Calls:
    """Return the calls that are to be refused, in the classes of this package."""
    client = OpenAI(base_url=site.base_url, api_key=site.token, max_retries=0)

    def ask(at: OpenAI = client, **more: Any) -> Any:
        return at.chat.completions.create(**{"messages": USER, **COLD, **more})

    def bad(**more: Any) -> Call:
        """Return a call that is good when the container says what is wrong with it, and not SageMaker."""

        def refused() -> None:
            try:
                ask(**more)
            except BadRequestError as error:
                check(isinstance(error.body, dict) and error.body.get("message"), error)
                check("type" in error.body and error.body["type"] != "api_error", error.body)
            else:
                raise AssertionError("it was answered")

        return refused

    long = [{"role": "user", "content": f"{QUESTION} " * 2000}]
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PIXEL}}]}]
    stranger = OpenAI(base_url=site.base_url, api_key="sk-1", max_retries=0)
    elsewhere = OpenAI(
        base_url=site.base_url.replace(site.endpoint, "nowhere"), api_key=site.token, max_retries=0
    )
    return {
        "error: a wrong type": bad(temperature="hot"),
        "error: n out of bounds": bad(n=1000),
        "error: no messages": bad(messages=[]),
        "error: a role": bad(messages=[{"role": "pilot", "content": "a"}]),
        "error: a schema": bad(
            response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": 7}}}
        ),
        "error: an image": raises(openai.APIStatusError, lambda: ask(messages=image, max_tokens=4), "image"),
        "error: audio": bad(modalities=["audio"], audio={"voice": "a", "format": "wav"}),
        "error: more than the context": raises(BadRequestError, lambda: ask(messages=long), "context"),
        "error: a stream": bad(stream=True, n=1000),
        "error: no token": raises(PermissionDeniedError, lambda: ask(stranger)),
        "error: no endpoint": raises((BadRequestError, NotFoundError), lambda: ask(elsewhere), "not found"),
        "error: models": raises(NotFoundError, client.models.list),
    }


def beside_chats(site: Site, url: str) -> OpenAI:
    """Return the client for what SageMaker's OpenAI route has no path for."""
    if not site.signed:
        return OpenAI(base_url=site.base_url, api_key=site.token, max_retries=0)
    return OpenAI(
        base_url=site.runtime_url, api_key="none", max_retries=0, http_client=httpx.Client(auth=Signed(url))
    )


def invocations(site: Site) -> Calls:
    """Return the calls that SageMaker's OpenAI route has no path for, sent to InvokeEndpoint."""
    client = beside_chats(site, site.invocations)
    prompt = "What does a"

    def complete(**more: Any) -> Any:
        return client.completions.create(**{"prompt": prompt, "max_tokens": 8, **COLD, **more})

    def completed() -> None:
        found = complete()
        check(found.object == "text_completion" and found.choices[0].text, found)

    def several() -> None:
        found = complete(prompt=[prompt, prompt], n=2)
        check([one.index for one in found.choices] == [0, 1, 2, 3], found)

    def echoed() -> None:
        found = complete(echo=True).choices[0].text
        check(found.startswith(prompt) and len(found) > len(prompt), found)

    def logprobs() -> None:
        told = complete(logprobs=2).choices[0].logprobs
        check(len(told.tokens) == len(told.token_logprobs) == len(told.top_logprobs) > 0, told)

    def best() -> None:
        check(len(complete(best_of=2, n=1, temperature=0.8, seed=1).choices) == 1)

    def streamed() -> None:
        found = list(complete(stream=True))
        check(joined(one.choices[0].text for one in found) == complete().choices[0].text, found)

    def respond(**more: Any) -> Any:
        return client.responses.create(**{"model": "m", "input": QUESTION, "temperature": 0, **more})

    def responded() -> None:
        found = respond(instructions="Be brief.", store=False)
        seen(found.output_text)
        check(found.status == "completed" and found.usage.output_tokens > 0, found)

    def response_streamed() -> None:
        found = list(respond(stream=True))
        seen(joined(one.delta for one in found if one.type == "response.output_text.delta"))
        check(found[-1].type == "response.completed", found[-1])

    def response_helper() -> None:
        with client.responses.stream(model="m", input=QUESTION, temperature=0) as stream:
            list(stream)
            seen(stream.get_final_response().output_text)

    def response_parsed() -> None:
        found = client.responses.parse(
            model="m",
            input=[{"role": "user", "content": QUESTION}],
            text_format=Cargo,
            max_output_tokens=LONGEST,
        )
        check(isinstance(found.output_parsed, Cargo), found)

    def response_called() -> None:
        tool = {"type": "function", "name": "weather", "parameters": WEATHER, "strict": True}
        found = respond(tools=[tool], tool_choice="required", max_output_tokens=LONGEST)
        call = next(one for one in found.output if one.type == "function_call")
        arguments(call.arguments)
        done = {"type": "function_call_output", "call_id": call.call_id, "output": "sun"}
        again = respond(input=[{"role": "user", "content": QUESTION}, *found.output, done])
        check(again.output_text, again)

    chat = {"messages": USER, **COLD}
    return {
        "invoked chat": lambda: seen(client.chat.completions.create(**chat).choices[0].message.content),
        "invoked chat: stream": lambda: seen(
            joined(
                one.choices[0].delta.content for one in client.chat.completions.create(stream=True, **chat)
            )
        ),
        "completion": completed,
        "completion: several": several,
        "completion: tokens": lambda: check(complete(prompt=[1, 20, 21]).choices[0].text is not None),
        "completion: echo": echoed,
        "completion: logprobs": logprobs,
        "completion: best_of": best,
        "completion: stream": streamed,
        "response": responded,
        "response: stream": response_streamed,
        "response: stream helper": response_helper,
        "response: parse": response_parsed,
        "response: tools": response_called,
        "response: a conversation elsewhere": raises(
            openai.APIStatusError, lambda: respond(previous_response_id="resp_1"), "stored"
        ),
    }


def embeddings(site: Site) -> Calls:
    """Return the calls to a model that embeds."""
    url = site.invocations.replace(site.endpoint, site.embedder or site.endpoint)
    client = beside_chats(site, url)
    texts = ["hello harbour", "the night tide", "hello harbour"]

    def embed(**more: Any) -> list[list[float]]:
        return [
            one.embedding
            for one in client.embeddings.create(
                **{"model": site.embedding_model, "input": texts, **more}
            ).data
        ]

    def several() -> None:
        found = embed()
        check(len(found) == 3 and found[0] == found[2] != found[1], [one[:3] for one in found])

    def numbers() -> None:
        for packed, plain in zip(embed(), embed(encoding_format="float"), strict=True):
            check(max(abs(a - b) for a, b in zip(packed, plain, strict=True)) < 1e-4, (packed[:3], plain[:3]))

    return {
        "embedding": lambda: check(len(embed(input="hello")) == 1),
        "embedding: several": several,
        "embedding: float and base64": numbers,
        "embedding: dimensions": lambda: check(len(embed(dimensions=16)[0]) == 16),
        "embedding: a chat is refused": raises(
            openai.APIStatusError,
            lambda: client.chat.completions.create(messages=USER, **{**COLD, "model": site.embedding_model}),
            "embed",
        ),
    }


def calls(site: Site) -> Calls:
    """Return all calls of this package."""
    return {
        **chats(site),
        **streams(site),
        **at_once(site),
        **errors(site),
        **invocations(site),
        **embeddings(site),
    }


if __name__ == "__main__":
    report(calls)
