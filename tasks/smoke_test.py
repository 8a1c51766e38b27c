"""SmokeTest: ask the new endpoint and look at its answers. InService alone proves nothing.

The prebuilt image's /ping says 200 even when the model could not be loaded; an answer is the first proof.
"""

from __future__ import annotations

import json
from time import perf_counter
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pipeline import answers, aws
from pipeline.errors import NotYetVisible, SmokeTestFailed

if TYPE_CHECKING:
    from pipeline.aws import Clients


def run(event: dict[str, Any], clients: Clients) -> dict[str, Any]:
    """Return the `transcript`: each prompt with its answer, tokens and seconds.

    Raises:
        SmokeTestFailed: when the container fails, or an answer is not what was expected.
    """
    test, endpoint = event["smoke_test"], event["endpoint_name"]
    transcript: list[dict[str, Any]] = []
    for prompt in test["prompts"]:
        begun = perf_counter()
        answer = _ask(clients, endpoint, prompt, test["max_tokens"])
        seconds = round(perf_counter() - begun, 3)
        wrong = answers.shortcomings(answer.text, answer.completion_tokens, test["expect"])
        # The first answer may pay for a cold start; the limit on an answer is judged from the second on.
        if transcript and seconds > test["timeout_s"]:
            wrong.append(f"it took {seconds:.1f} s, wanted at most {test['timeout_s']} s")
        if wrong:
            raise SmokeTestFailed(
                f"endpoint {endpoint!r} answered {prompt!r} with {answer.text[:500]!r}: {'; '.join(wrong)}"
            )
        transcript.append(
            {
                "prompt": prompt,
                "answer": answer.text,
                "completion_tokens": answer.completion_tokens,
                "finish_reason": answer.finish_reason,
                "seconds": seconds,
            }
        )
    return {"transcript": transcript}


def _ask(clients: Clients, endpoint: str, prompt: str, max_tokens: int) -> answers.Answer:
    body = {"messages": [{"role": "user", "content": prompt}], "max_tokens": max_tokens, "temperature": 0}
    try:
        response = clients.sagemaker_runtime.invoke_endpoint(
            EndpointName=endpoint,
            ContentType="application/json",
            Accept="application/json",
            Body=json.dumps(body).encode(),
        )
    except ClientError as error:
        if aws.is_unknown_to_runtime(error):
            raise NotYetVisible(f"endpoint {endpoint!r} cannot be invoked yet: {aws.text(error)}") from error
        if aws.code(error) != "ModelError":
            raise
        told = error.response.get("OriginalMessage") or aws.text(error)
        status = error.response.get("OriginalStatusCode", "no")
        raise SmokeTestFailed(
            f"endpoint {endpoint!r} answered {prompt!r} with status {status}: {told}; {aws.text(error)}"
        ) from error
    try:
        return answers.parse(response["Body"].read())
    except answers.NotAnAnswer as error:
        raise SmokeTestFailed(f"endpoint {endpoint!r}: {error}") from error


handler = aws.task(run)
