r"""Write down the fields of OpenAI's requests, from its description of its interface.

    git clone --depth 1 https://github.com/openai/openai-openapi
    python tools/openai_fields.py openai-openapi/openapi.yaml --commit $(git -C openai-openapi rev-parse HEAD) \
        --date $(git -C openai-openapi log -1 --format=%cs)

It writes `tests/unit/inference/openai_fields.json`. Then `tests/unit/inference/test_fields.py` says which of them have
no place in `inference/sealift_fields.py` yet.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

WRITTEN: Final = Path(__file__).resolve().parents[1] / "tests" / "unit" / "inference" / "openai_fields.json"
REQUESTS: Final = ("chat/completions", "completions", "embeddings", "responses")
MESSAGE: Final = "ChatCompletionRequestMessage"


def fields(schemas: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    """Give the properties of a schema and of all that it consists of."""
    if "$ref" in schema:
        yield from fields(schemas, schemas[schema["$ref"].rpartition("/")[2]])
    yield from schema.get("properties", {})
    for name in ("allOf", "anyOf", "oneOf"):
        for part in schema.get(name, []):
            yield from fields(schemas, part)


def collected(description: dict[str, Any], commit: str, date: str) -> dict[str, Any]:
    """Return the fields of each kind of request, and of a chat's messages, with where they come from."""
    schemas = description["components"]["schemas"]
    found = {
        path: description["paths"][f"/{path}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        for path in REQUESTS
    }
    return {
        "source": "github.com/openai/openai-openapi",
        "commit": commit,
        "date": date,
        "requests": {path: sorted(set(fields(schemas, schema))) for path, schema in found.items()},
        "messages": sorted(set(fields(schemas, schemas[MESSAGE]))),
    }


def main() -> None:
    """Read a description and write its fields."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("description", type=Path)
    parser.add_argument("--commit", required=True)
    parser.add_argument("--date", required=True, help="of the commit, as 2026-08-21")
    given = parser.parse_args()
    description = yaml.load(given.description.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    WRITTEN.write_text(
        json.dumps(collected(description, given.commit, given.date), indent=2) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
