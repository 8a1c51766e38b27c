"""instructor: a form for every answer, by SageMaker's OpenAI route, in each of its modes for OpenAI's chats."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import instructor
from calls import LONGEST, USER, Calls, Site, check, report
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel, Field, field_validator


class Cargo(BaseModel):
    """What a ship carries."""

    tons: int = Field(ge=0, le=9)
    kind: Literal["bulk", "box"]


class Note(BaseModel):
    """What every JSON object is: the form is told in the prompt, and held by nothing but the model."""

    text: str = ""


class Fleet(BaseModel):
    """Forms within a form."""

    flag: Literal["DK", "NO"]
    ships: list[Cargo] = Field(min_length=1, max_length=2)


class Odd(BaseModel):
    """A form with a rule that no schema tells, which most answers break."""

    tons: int = Field(ge=0, le=9)

    @field_validator("tons")
    @classmethod
    def _is_odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("even; wanted an odd number")
        return value


def calls(site: Site) -> Calls:
    """Return all calls of this package."""

    def ask(mode: instructor.Mode, model: Any = Cargo, **more: Any) -> Any:
        client = instructor.from_openai(OpenAI(base_url=site.base_url, api_key=site.token), mode=mode)
        usual = {"model": "m", "messages": USER, "temperature": 0, "max_tokens": LONGEST, "max_retries": 0}
        return client.chat.completions.create(response_model=model, **{**usual, **more})

    def form(mode: instructor.Mode, model: type[BaseModel] = Cargo, **more: Any) -> None:
        found = ask(mode, model, **more)
        check(isinstance(found, model), found)

    def several() -> None:
        found = list(ask(instructor.Mode.TOOLS, Iterable[Cargo]))
        check(all(isinstance(one, Cargo) for one in found), found)

    def partial() -> None:
        client = instructor.from_openai(
            OpenAI(base_url=site.base_url, api_key=site.token), mode=instructor.Mode.TOOLS
        )
        *_, last = client.chat.completions.create_partial(
            response_model=Cargo, model="m", messages=USER, temperature=0, max_tokens=LONGEST
        )
        check(last.kind in {"bulk", "box"}, last)

    def beside_the_answer() -> None:
        client = instructor.from_openai(
            OpenAI(base_url=site.base_url, api_key=site.token), mode=instructor.Mode.TOOLS
        )
        found, completion = client.chat.completions.create_with_completion(
            response_model=Cargo, model="m", messages=USER, temperature=0, max_tokens=LONGEST
        )
        check(isinstance(found, Cargo) and completion.usage.completion_tokens > 0, completion)

    async def at_once() -> None:
        client = instructor.from_openai(AsyncOpenAI(base_url=site.base_url, api_key=site.token))
        found = await client.chat.completions.create(
            response_model=Cargo, model="m", messages=USER, temperature=0, max_tokens=LONGEST
        )
        check(isinstance(found, Cargo), found)

    return {
        "tools": lambda: form(instructor.Mode.TOOLS),
        "tools: forms in a form": lambda: form(instructor.Mode.TOOLS, Fleet),
        "tools: several": several,
        "tools: partial": partial,
        "tools: with the completion": beside_the_answer,
        "tools: async": at_once,
        "tools: asked again": lambda: form(instructor.Mode.TOOLS, Odd, max_retries=2),
        "json": lambda: form(instructor.Mode.JSON, Note),
        "json_schema": lambda: form(instructor.Mode.JSON_SCHEMA),
        "json_schema: forms in a form": lambda: form(instructor.Mode.JSON_SCHEMA, Fleet),
    }


if __name__ == "__main__":
    report(calls)
