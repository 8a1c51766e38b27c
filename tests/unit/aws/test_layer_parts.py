"""Parts of a layer in ECR's requests: the very bodies that the SDK would have sent."""

from __future__ import annotations

import base64
import json
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse

from pipeline.aws.clients import Clients

UPLOAD = "12345678-1234-1234-1234-123456789012"
PARTS = [
    pytest.param(bytes(range(256)) * 7, id="bytes"),
    pytest.param(bytearray(b"written to before"), id="a buffer"),
    pytest.param(b"", id="nothing"),
]


class _Raw:
    def stream(self, *_how: Any, **_more: Any) -> Any:
        yield json.dumps({"lastByteReceived": 9}).encode()


def bodies(client: Any) -> list[bytes]:
    """Let a client answer by itself; return where the bodies go that it would have sent."""
    sent: list[bytes] = []

    def keep(request: Any, **_more: Any) -> AWSResponse:
        sent.append(request.body)
        headers = {"content-type": "application/x-amz-json-1.1", "x-amzn-requestid": "r"}
        return AWSResponse(request.url, 200, headers, _Raw())

    client.meta.events.register("before-send", keep)
    return sent


def call(client: Any, part: bytes | bytearray) -> Any:
    """Send a part."""
    return client.upload_layer_part(
        registryId="123456789012",
        repositoryName="team/sealift",
        uploadId=UPLOAD,
        partFirstByte=0,
        partLastByte=max(len(part) - 1, 0),
        layerPartBlob=part,
    )


@pytest.mark.parametrize("part", PARTS)
def test_the_body_is_the_sdks(part: bytes | bytearray) -> None:
    """ECR gets the same bytes as from a client that nobody has touched."""
    theirs = boto3.client(
        "ecr", region_name="us-east-1", aws_access_key_id="AKIA", aws_secret_access_key="secret"
    )
    ours = Clients(
        region="us-east-1", credentials={"aws_access_key_id": "AKIA", "aws_secret_access_key": "secret"}
    ).registry
    wanted, found = bodies(theirs), bodies(ours)
    call(theirs, part)
    answer = call(ours, part)

    assert found == wanted
    assert base64.b64decode(json.loads(found[0])["layerPartBlob"]) == part
    assert answer["lastByteReceived"] == 9


def test_other_calls_are_left_alone() -> None:
    """Nothing is put into a request that has no part."""
    client: Any = Clients(
        region="us-east-1", credentials={"aws_access_key_id": "AKIA", "aws_secret_access_key": "secret"}
    ).registry
    found = bodies(client)
    client.initiate_layer_upload(repositoryName="sealift")

    assert json.loads(found[0]) == {"repositoryName": "sealift"}
