"""`sealift.service(...).openai()`: the package as it is, in an environment of its own, on both kinds of hosting."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.clients.test_connect import CONSUMERS, HOSTINGS
from tests.system.conftest import Deployments
from tests.system.workflow.test_deployment import settings
from tools import pages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local_cloud.cloud import LocalCloud

PATH = f"import sys; sys.path += [{str(pages.TOP)!r}, {sysconfig.get_path('purelib')!r}]\n"
"""The environment's own packages come first."""
CALLS = """
import openai, sealift
client = sealift.service(sys.argv[1]).openai()
ask = {"model": "any", "messages": [{"role": "user", "content": "What?"}], "temperature": 0}
whole = client.chat.completions.create(**ask).choices[0].message.content
with client.chat.completions.create(**ask, stream=True) as events:
    pieces = [one.choices[0].delta.content or "" for one in events if one.choices]
assert "".join(pieces) == whole, pieces
assert client.completions.create(model="any", prompt="Sealift", max_tokens=3).choices[0].text
for kind, call in (
    (openai.BadRequestError, lambda: client.chat.completions.create(model="any", messages=[])),
    (openai.NotFoundError, lambda: client.models.list()),
    (openai.NotFoundError, lambda: sealift.service("nowhere").openai().chat.completions.create(**ask)),
):
    try:
        call()
    except kind:
        continue
    raise AssertionError(kind)
print(whole)
"""


@pytest.fixture(scope="module", params=HOSTINGS)
def service(request: pytest.FixtureRequest, running_cloud: LocalCloud, archive: Path) -> Iterator[str]:
    """Return the name of a service."""
    given = settings(**HOSTINGS[request.param])
    name = "demo"
    if "hosting" in HOSTINGS[request.param]:
        del given["max_concurrency"]  # serverless endpoints' alone
        given["container"] = "pytorch"  # AWS's llama.cpp image answers chats alone
    ended = Deployments(running_cloud).upload(archive, name, given)
    assert ended.status == "SUCCEEDED", ended.cause
    yield name
    endpoint = ended.results["plan_deployment"]["names"]["endpoint"]
    running_cloud.clients.sagemaker.delete_endpoint(EndpointName=endpoint)


def test_the_package_asks_a_service(running_cloud: LocalCloud, service: str, tmp_path: Path) -> None:
    """Whole, as a stream, by its errors; and the example of the page as it stands."""
    assert CONSUMERS.is_file(), f"no {CONSUMERS}; wanted the libraries there: run `make clients`"
    page = (pages.TOP / "docs" / "python.md").read_text(encoding="utf-8")
    (example,) = (one for one in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if ".openai()" in one)

    for script in (CALLS, f"import sealift\n{example}"):
        done = subprocess.run(
            [CONSUMERS, "-c", PATH + script, service],
            env={
                "PATH": os.defpath,
                "HOME": str(tmp_path),
                "AWS_ENDPOINT_URL": running_cloud.url,
                "AWS_REGION": running_cloud.region,
                "AWS_ACCESS_KEY_ID": "local",
                "AWS_SECRET_ACCESS_KEY": "local",
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout.strip()
