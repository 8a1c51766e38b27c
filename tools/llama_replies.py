"""Record what the real llama-server says to the adapter's translation, for tests that run without it.

    python -m tools.llama_replies

Owns the questions. `tests/unit/inference/adapter/test_translation.py` replays them: what is asked of llama-server must
be what was asked when it was recorded, so that a body that changes is recorded anew, against the server itself.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT), str(ROOT / "inference")]
REPLIES = ROOT / "tests" / "unit" / "inference" / "adapter" / "llama_server_replies.json"

USER = {"role": "user", "content": "Hi."}
CITY = {"type": "object", "properties": {"city": {"enum": ["Bern"]}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": CITY}}
THINKS = "<think> ships </think> cargo"
PLAIN: dict[str, dict[str, Any]] = {
    "chat": {"messages": [USER]},
    "chat with log-probabilities": {"messages": [USER], "logprobs": True, "top_logprobs": 2, "max_tokens": 2},
    "chat in choices": {"messages": [USER], "n": 2, "max_tokens": 2, "stream": True},
    "streamed chat": {"messages": [USER], "stream": True, "stream_options": {"include_usage": True}},
    "response": {"input": [USER], "stream": True, "max_output_tokens": 2},
    "text": {"prompt": "Good", "logprobs": 1, "stop": ["voyage"]},
    "streamed text": {"prompt": "Good", "logprobs": 1, "stop": ["voyage"], "stream": True},
    "inputs": {"inputs": "Good", "parameters": {"details": True, "max_new_tokens": 3}},
    "streamed inputs": {
        "inputs": "Good",
        "stream": True,
        "parameters": {"details": True, "max_new_tokens": 3},
    },
    "length of both": {"inputs": [USER], "parameters": {"max_length": 12}},
    "too long": {"prompt": [300] * 2100},
}
THOUGHT: dict[str, dict[str, Any]] = {
    "thought": {"messages": [USER]},
    "streamed thought": {"messages": [USER], "stream": True},
}
CALLED: dict[str, dict[str, Any]] = {
    "call": {"messages": [USER], "tools": [TOOL], "tool_choice": "required", "max_tokens": 60},
    "streamed call": {
        "messages": [USER],
        "tools": [TOOL],
        "tool_choice": "required",
        "max_tokens": 60,
        "stream": True,
    },
    "streamed function": {
        "messages": [USER],
        "functions": [TOOL["function"]],
        "function_call": {"name": "weather"},
        "max_tokens": 60,
        "stream": True,
    },
}
READ: dict[str, dict[str, dict[str, Any]]] = {
    "embeds": {
        "embedding": {"input": "hello harbour", "dimensions": 3},
        "embedding too long": {"input": ["hello", "harbour " * 200]},
    },
    "reranks": {"ranking": {"query": "ship", "documents": ["hello", "tide"], "top_n": 1}},
}


def record() -> dict[str, Any]:
    """Return all questions with what was asked of llama-server, and what it said."""
    import gguf

    from examples.tiny_encoder import write_tiny_encoder
    from examples.tiny_gguf import write_tiny_gguf

    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        found |= _recorded(write_tiny_gguf(folder / "plain.gguf"), PLAIN)
        template = (ROOT / ".build" / "templates" / "Qwen-Qwen3-0.6B.jinja").read_text(encoding="utf-8")
        path = write_tiny_gguf(folder / "thoughts.gguf", template=template, corpus=[THINKS])
        found |= _recorded(path, THOUGHT)
        found |= _recorded(write_tiny_gguf(folder / "calls.gguf", tools=True), CALLED)
        found |= _recorded(write_tiny_encoder(folder / "encoder.gguf"), READ["embeds"], embeds=True)
        path = write_tiny_encoder(folder / "ranker.gguf", pooling=gguf.PoolingType.RANK)
        found |= _recorded(path, READ["reranks"], reranks=True)
    return found


def _recorded(path: Path, bodies: dict[str, dict[str, Any]], **does: bool) -> dict[str, Any]:
    from adapter.translation import translate
    from adapter.upstream import UpstreamReply, learn

    from sealift_request import BadRequest
    from sealift_settings import Settings
    from tests.llama_server import CONTEXT, LlamaServer

    option = [f"--{'embeddings' if name == 'embeds' else 'reranking'}" for name in does]
    server = LlamaServer(path, path.parent, *option)
    try:
        facts = server.run(learn("recorded", **does))
        found = {}
        for name, body in bodies.items():
            said: list[Any] = []

            def asked(call: Any, kept: list[Any] = said) -> UpstreamReply:
                reply = server.whole(call)  # as the adapter's shell asks
                kept.append(
                    {"call": [call.path, call.body], "status": reply.status, "document": reply.document}
                )
                return reply

            translation = translate(
                json.dumps(body).encode(),
                None,
                facts,
                Settings(n_ctx=CONTEXT, max_tokens=8, temperature=0.0),
                identity="0" * 32,
                created=1,
            )
            if translation.streams:
                status, events = server.events(translation.first)
                said.append(
                    {
                        "call": [translation.first.path, translation.first.body],
                        "status": status,
                        "events": events,
                    }
                )
            else:
                try:
                    server.run(translation.steps(), asked)
                except BadRequest as error:
                    said.append({"refused": error.reason})
            found[name] = {"body": body, "facts": vars(facts), "said": said}
        return found
    finally:
        server.end()


def main() -> None:
    """Write the recordings."""
    text = json.dumps(record(), ensure_ascii=False, separators=(",", ":"))
    # One exchange to a line, so that a difference is readable.
    REPLIES.write_text(
        text.replace('},"said":[', '},\n"said":[\n').replace('},{"call":', '},\n{"call":') + "\n"
    )
    print(f"{REPLIES.relative_to(ROOT)}: {REPLIES.stat().st_size} bytes")


if __name__ == "__main__":
    main()
