"""A model that is no archive, from its upload to the requests for an instance: the customer's own size among them."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np
import pytest
from botocore.exceptions import ClientError
from botocore.response import StreamingBody

from benchmarks import shapes
from examples.tiny_companions import write_tiny_lora, write_tiny_projector
from examples.tiny_gguf import write_tiny_gguf
from pipeline import package_files
from pipeline.aws.resource_tags import tag_value
from pipeline.errors import ArchiveNotFound, InvalidArchive, InvalidInput, QuotaTooSmall
from pipeline.sizing import live_prices
from pipeline.sizing.live_prices import PriceFile
from tests.functional.cli.test_plan_command import lengthened
from tests.functional.tasks.test_plan_deployment import DEFAULTS, EXECUTION
from tests.paginated import Paginated

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.aws.clients import Clients
    from tests.functional.tasks.conftest import Script, Task

KEY = "models/harbour/gemma.gguf"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
INSTANCE = {"hosting": "instance", "container": "llama-cpp"}


class SparseS3(Paginated):
    """One object that is a file with a hole, and what is copied of it: sizes and ETags, no data."""

    def __init__(self, path: Path, key: str = KEY) -> None:
        self._path = path
        self._key = key
        self.size = path.stat().st_size
        self.read = 0
        self.there: dict[str, dict[str, Any]] = {}
        self._uploads: dict[str, dict[str, Any]] = {}
        self.copied: list[tuple[int, int]] = []

    def head_object(self, **request: Any) -> dict[str, Any]:
        """Describe the upload, or what has been copied."""
        if request["Bucket"] == "uploads" and request["Key"] == self._key:
            return {"ContentLength": self.size, "ETag": '"9b2c-99"', "VersionId": "v1", "LastModified": NOW}
        if request["Key"] in self.there:
            return self.there[request["Key"]]
        raise _missing("HeadObject", "404")

    def list_objects_v2(self, **request: Any) -> dict[str, Any]:
        """List the one upload in its folder."""
        assert request == {"Bucket": "uploads", "Prefix": "models/harbour/", "Delimiter": "/"}
        return {"Contents": [{"Key": self._key, "ETag": '"9b2c-99"', "LastModified": NOW}]}

    def get_object(self, **request: Any) -> dict[str, Any]:
        """Read a range of the upload; there is no deployment.json."""
        if request["Key"] != self._key:
            raise _missing("GetObject", "NoSuchKey")
        assert request["IfMatch"] == '"9b2c-99"'
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", request["Range"])
        assert found is not None
        start, end = int(found[1]), int(found[2]) + 1
        with self._path.open("rb") as file:
            file.seek(start)
            data = file.read(end - start)
        self.read += len(data)
        return {"Body": BytesIO(data)}

    def create_multipart_upload(self, **request: Any) -> dict[str, Any]:
        """Begin a copy."""
        self._uploads["1"] = request
        return {"UploadId": "1"}

    def upload_part_copy(self, **request: Any) -> dict[str, Any]:
        """Copy a part of the very version that was checked."""
        assert request["CopySource"] == {"Bucket": "uploads", "Key": self._key, "VersionId": "v1"}
        assert request["CopySourceIfMatch"] == '"9b2c-99"'
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", request["CopySourceRange"])
        assert found is not None
        self.copied.append((int(found[1]), int(found[2]) + 1))
        return {"CopyPartResult": {"ETag": f'"{request["PartNumber"]}"'}}

    def complete_multipart_upload(self, **request: Any) -> dict[str, Any]:
        """End the copy."""
        begun = self._uploads.pop(request["UploadId"])
        parts = len(request["MultipartUpload"]["Parts"])
        described = {"ContentLength": self.size, "ETag": f'"copy-{parts}"', "Metadata": begun["Metadata"]}
        self.there[request["Key"]] = described
        return {}

    def get_object_tagging(self, **request: Any) -> dict[str, Any]:
        """Say that nothing was marked by the sweeper."""
        assert request["Key"] in self.there
        return {"TagSet": []}


def _missing(operation: str, code: str) -> ClientError:
    response = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": 404}}
    return ClientError(response, operation)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The customer's model: its true header and its true size; where the weights would be is a hole."""
    return shapes.sparse(shapes.GEMMA_27B, tmp_path_factory.mktemp("gemma") / "gemma.gguf")


def document(**fields: Any) -> dict[str, Any]:
    """Return an execution input."""
    return {"archive": {"bucket": "uploads", "key": KEY}, **fields}


def planned(do: Task, clients: Any, checked: dict[str, Any]) -> dict[str, Any]:
    """Run PlanDeployment."""
    started = "2024-01-02T03:04:05.678Z"
    return do(
        "PlanDeployment",
        clients,
        results={"check_archive": checked},
        execution=EXECUTION,
        started=started,
        defaults=DEFAULTS,
    )


def assembled(do: Task, clients: Any, checked: dict[str, Any]) -> dict[str, Any]:
    """Run AssembleArchive."""
    archive, assembly = checked["archive"], checked["assembly"]
    return do("AssembleArchive", clients, archive=archive, assembly=assembly, hosting="instance")


def test_the_customers_model_goes_to_an_instance(do: Task, script: Script, gemma: Path) -> None:
    """16.5 GB through check, plan, assembly, model and configuration: exact bodies, and only the header is read."""
    s3 = SparseS3(gemma)
    clients: Any = SimpleNamespace(s3=s3)

    checked = do("CheckArchive", clients, input=document(**INSTANCE), defaults=DEFAULTS)
    script.no_prices().account()
    plan = planned(do, script.clients, checked)
    put = assembled(do, clients, checked)

    assert s3.size == 16_546_536_992
    assert s3.read < 10 << 20
    assert checked["model"]["architecture"] == "gemma3"
    assert checked["evidence"]["bytes_read"] == s3.read
    name = plan["names"]["model"]
    key = checked["assembly"]["key"]
    assert re.fullmatch(r"archives/[0-9a-f]{40}/gemma\.gguf", key)
    assert put["key"] == key
    assert min(s3.copied)[0] == 0
    assert max(s3.copied)[1] == s3.size
    assert sum(end - start for start, end in s3.copied) == s3.size
    assert (put["written"], put["bytes_moved"], put["etag"]) == (True, 0, f"copy-{len(s3.copied)}")
    tags = [
        {"Key": "sealift:service", "Value": "harbour"},
        {"Key": "sealift:execution", "Value": EXECUTION},
        {"Key": "sealift:archive", "Value": f"uploads/{KEY}"},
        {"Key": "sealift:archive-version", "Value": "v1"},
        {"Key": "sealift:uploaded-at", "Value": "2026-01-02T03:04:05Z"},
    ]
    model = {
        "ModelName": name,
        "PrimaryContainer": {
            "Image": "763104351884.dkr.ecr.us-east-1.amazonaws.com/llama-cpp:server-sagemaker-cuda-v1",
            "ModelDataSource": {
                "S3DataSource": {
                    "S3Uri": f"s3://artifacts/{key}",
                    "S3DataType": "S3Object",
                    "CompressionType": "None",
                    "ETag": put["etag"],
                }
            },
            "Environment": {
                "SM_LLAMA_CPP_MODEL": "/opt/ml/model/gemma.gguf",
                "SM_LLAMA_CPP_N_GPU_LAYERS": "63",
                "SM_LLAMA_CPP_FLASH_ATTN": "on",
                "SM_LLAMA_CPP_PARALLEL": "6",
                "SM_LLAMA_CPP_METRICS": "true",
                "LLAMA_ARG_CTX_CHECKPOINTS": "1",
                "LLAMA_ARG_LOAD_MODE": "none",
                "SM_LLAMA_CPP_TEMP": "0.7",
                "SM_LLAMA_CPP_TOP_P": "0.9",
                "SM_LLAMA_CPP_CTX_SIZE": "12288",
                "SM_LLAMA_CPP_BATCH_SIZE": "512",
                "SM_LLAMA_CPP_N_PREDICT": "150",
                "SM_LLAMA_CPP_CACHE_RAM": "32",
            },
        },
        "ExecutionRoleArn": DEFAULTS["execution_role_arn"],
        "Tags": tags,
    }
    config = {
        "EndpointConfigName": name,
        "ProductionVariants": [
            {
                "VariantName": "AllTraffic",
                "ModelName": name,
                "InstancePools": [
                    {"InstanceType": "ml.g6.xlarge", "Priority": 1},
                    {"InstanceType": "ml.g5.xlarge", "Priority": 2},
                    {"InstanceType": "ml.g6e.xlarge", "Priority": 3},
                ],
                "VariantInstanceProvisionTimeoutInSeconds": 600,
                "InitialInstanceCount": 1,
                "InferenceAmiVersion": "al2023-ami-sagemaker-inference-gpu-4-1",
                "ModelDataDownloadTimeoutInSeconds": 621,
                "ContainerStartupHealthCheckTimeoutInSeconds": 600,
            }
        ],
        "MetricsConfig": {"EnableDetailedObservability": True},
        "Tags": tags,
    }
    script.answers("sagemaker", "create_model", {"ModelArn": "arn:aws:sagemaker:us-east-1:1:model/m"}, model)
    described = {**model, "ModelArn": "arn:aws:sagemaker:us-east-1:1:model/m", "CreationTime": NOW}
    del described["Tags"]
    script.answers("sagemaker", "describe_model", described)
    arn = "arn:aws:sagemaker:us-east-1:1:endpoint-config/c"
    script.answers("sagemaker", "create_endpoint_config", {"EndpointConfigArn": arn}, config)
    described = {**config, "EndpointConfigArn": arn, "CreationTime": NOW}
    del described["Tags"]
    script.answers("sagemaker", "describe_endpoint_config", described)
    requests = plan["requests"]

    made = do(
        "CreateModel",
        script.clients,
        request=requests["create_model"],
        others=requests["other_models"],
        assembled=put,
    )
    configured = do("CreateEndpointConfig", script.clients, request=requests["create_endpoint_config"])

    assert (made["name"], configured["name"]) == (name, name)


def test_a_long_header_is_read_as_far_as_it_goes(do: Task, tmp_path: Path) -> None:
    """Also beyond the first 15 MiB, where Gemma 4's ends."""
    shape = replace(shapes.LLAMA_1B, vocabulary=1000, embedding=256, feed_forward=256)
    s3 = SparseS3(lengthened(shapes.sparse(shape, tmp_path / "gemma.gguf")))

    checked = do("CheckArchive", SimpleNamespace(s3=s3), input=document(**INSTANCE), defaults=DEFAULTS)

    assert checked["model"]["architecture"] == "llama"
    assert 20 << 20 < s3.read < 28 << 20


def test_what_is_there_already_is_not_copied_again(do: Task, gemma: Path) -> None:
    """A retry, and the same model for another deployment."""
    s3 = SparseS3(gemma)
    clients: Any = SimpleNamespace(s3=s3)
    checked = do("CheckArchive", clients, input=document(**INSTANCE), defaults=DEFAULTS)
    first = assembled(do, clients, checked)
    s3.copied.clear()

    assert assembled(do, clients, checked) == {**first, "written": False}
    assert s3.copied == []


# ------------------------------------------------------------- with the inference code


def uploaded(clients: Clients, bodies: dict[str, bytes]) -> None:
    """Put objects into the bucket of uploads."""
    for key, body in bodies.items():
        clients.s3.put_object(Bucket="uploads", Key=key, Body=body)


def contents(clients: Clients) -> dict[str, bytes]:
    """Return what lies below archives/, by what follows on the digest."""
    pages = clients.s3.get_paginator("list_objects_v2").paginate(Bucket="artifacts", Prefix="archives/")
    keys = [one["Key"] for page in pages for one in page.get("Contents", ())]
    return {
        key.split("/", 2)[2]: clients.s3.get_object(Bucket="artifacts", Key=key)["Body"].read()
        for key in keys
    }


def test_the_prebuilt_image_gets_its_code_beside_the_model(
    do: Task, buckets: Clients, script: Script, tiny_model: Path
) -> None:
    """Below one prefix lies what an extracted archive would hold, and SageMaker puts it into the model's folder."""
    body = tiny_model.read_bytes()
    uploaded(buckets, {KEY: body})

    checked = do("CheckArchive", buckets, input=document(hosting="instance"), defaults=DEFAULTS)
    script.no_prices().account()
    plan = planned(do, script.clients, checked)
    put = assembled(do, buckets, checked)

    assert contents(buckets) == {"gemma.gguf": body, **package_files.code_contents()}
    assert put["etag"] is None
    source = plan["requests"]["create_model"]["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]
    assert source == {
        "S3Uri": f"s3://artifacts/{put['key']}",
        "S3DataType": "S3Prefix",
        "CompressionType": "None",
    }
    assert put["key"].endswith("/")
    assert assembled(do, buckets, checked)["written"] is False


def test_the_very_objects_that_were_checked_are_copied(do: Task, buckets: Clients, tiny_model: Path) -> None:
    """An upload that comes between does not get in."""
    body = tiny_model.read_bytes()
    uploaded(buckets, {KEY: body})
    checked = do("CheckArchive", buckets, input=document(**INSTANCE), defaults=DEFAULTS)
    uploaded(buckets, {KEY: b"GGUF of another"})

    put = assembled(do, buckets, checked)

    assert contents(buckets) == {"gemma.gguf": body}
    assert put["etag"] == hashlib.md5(body, usedforsecurity=False).hexdigest()


def test_a_changed_object_without_versions_is_refused(
    do: Task, moto_clients: Clients, tiny_model: Path
) -> None:
    """Only its ETag tells there."""
    for bucket in ("uploads", "artifacts"):
        moto_clients.s3.create_bucket(Bucket=bucket)
    uploaded(moto_clients, {KEY: tiny_model.read_bytes()})
    checked = do("CheckArchive", moto_clients, input=document(**INSTANCE), defaults=DEFAULTS)
    uploaded(moto_clients, {KEY: b"GGUF of another"})

    with pytest.raises(InvalidArchive, match="no longer the one with ETag"):
        assembled(do, moto_clients, checked)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        pytest.param(b"PK\x03\x04 and so on", "NotGGUF", id="a zip"),
        pytest.param(b"GGUF\x03\x00\x00\x00", "GGUF", id="cut short"),
        pytest.param(b"", "NotGGUF", id="nothing"),
    ],
)
def test_what_is_no_model_is_refused(do: Task, buckets: Clients, body: bytes, error: str) -> None:
    """By its header, before anything is made."""
    uploaded(buckets, {KEY: body})

    with pytest.raises(InvalidArchive) as refusal:
        do("CheckArchive", buckets, input=document(**INSTANCE), defaults=DEFAULTS)

    assert error in refusal.value.problems[0].error


def test_on_serverless_it_is_refused_by_its_name(do: Task, buckets: Clients) -> None:
    """Serverless takes a tar.gz only; both ways out are named."""
    with pytest.raises(InvalidInput, match=r"`sealift push` pack it.*\"hosting\": \"instance\""):
        do("CheckArchive", buckets, input=document(), defaults=DEFAULTS)


# ------------------------------------------------------------------------ shards


def shard(number: int, count: int = 2) -> str:
    """Return the key of a shard."""
    return f"models/harbour/gemma-{number:05}-of-{count:05}.gguf"


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A model split in two, as llama-gguf-split writes it."""
    folder = tmp_path_factory.mktemp("shards")
    bodies = {}
    for number in (1, 2):
        path = folder / f"{number}.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        if number == 1:
            writer.add_block_count(1)
            writer.add_context_length(512)
            writer.add_embedding_length(32)
            writer.add_feed_forward_length(64)
            writer.add_head_count(2)
            writer.add_head_count_kv(2)
            writer.add_vocab_size(32)
            writer.add_layer_norm_rms_eps(1e-6)
            writer.add_tokenizer_model("llama")
            writer.add_token_list(["a"] * 32)
        writer.add_uint16("split.no", number - 1)
        writer.add_uint16("split.count", 2)
        writer.add_int32("split.tensors.count", 2)
        writer.add_tensor(f"blk.0.{number}.weight", np.zeros((32, 32), dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        bodies[shard(number)] = path.read_bytes()
    return bodies


def test_a_split_model_is_all_of_its_files(do: Task, buckets: Clients, shards: dict[str, bytes]) -> None:
    """Named by the first; together below one prefix; another version of any of them is another model."""
    uploaded(buckets, shards)
    asked = {"archive": {"bucket": "uploads", "key": shard(1)}, **INSTANCE}

    checked = do("CheckArchive", buckets, input=asked, defaults=DEFAULTS)
    put = assembled(do, buckets, checked)

    assert checked["archive"]["size"] == sum(map(len, shards.values()))
    assert checked["model"]["shards_read"] == 2
    assert checked["assembly"]["form"] == "prefix"
    assert contents(buckets) == {key.rpartition("/")[2]: body for key, body in shards.items()}
    assert put["key"] == checked["assembly"]["key"]
    again = {**shards, shard(2): shards[shard(2)] + bytes(32)}
    uploaded(buckets, again)
    other = do("CheckArchive", buckets, input=asked, defaults=DEFAULTS)
    assert other["archive"]["etag"] != checked["archive"]["etag"]
    assert other["assembly"]["key"] != checked["assembly"]["key"]


def test_a_shard_that_is_not_there_is_named(do: Task, buckets: Clients, shards: dict[str, bytes]) -> None:
    """An execution that is started by hand may be too early."""
    uploaded(buckets, {shard(1): shards[shard(1)]})
    asked = {"archive": {"bucket": "uploads", "key": shard(1)}, **INSTANCE}

    with pytest.raises(ArchiveNotFound, match="gemma-00002-of-00002"):
        do("CheckArchive", buckets, input=asked, defaults=DEFAULTS)


def test_what_lies_beside_a_model_goes_with_it(do: Task, buckets: Clients, tmp_path: Path) -> None:
    """All of the folder's that is named so, below one prefix; with another adapter it is another model."""
    model, adapter = write_tiny_gguf(tmp_path / "m.gguf"), write_tiny_lora(tmp_path / "lora.gguf")
    bodies = {
        "models/harbour/gemma.gguf": model.read_bytes(),
        "models/harbour/lora-tone.gguf": adapter.read_bytes(),
        "models/harbour/notes.txt": b"what it is for",
        "models/harbour/older/lora-tone.gguf": b"of another time",
    }
    uploaded(buckets, bodies)
    asked = {"archive": {"bucket": "uploads", "key": "models/harbour/gemma.gguf"}, **INSTANCE}

    checked = do("CheckArchive", buckets, input=asked, defaults=DEFAULTS)
    assembled(do, buckets, checked)

    assert contents(buckets) == {"gemma.gguf": model.read_bytes(), "lora-tone.gguf": adapter.read_bytes()}
    assert checked["assembly"]["form"] == "prefix"
    assert [one["path"] for one in checked["model"]["companions"]] == ["lora-tone.gguf"]
    assert checked["archive"]["size"] == model.stat().st_size + adapter.stat().st_size
    other = write_tiny_lora(tmp_path / "lora.gguf", seed=1).read_bytes()
    uploaded(buckets, {"models/harbour/lora-tone.gguf": other})
    again = do("CheckArchive", buckets, input=asked, defaults=DEFAULTS)
    assert again["assembly"]["key"] != checked["assembly"]["key"]


def test_one_that_the_container_does_not_load_is_refused(do: Task, buckets: Clients, tmp_path: Path) -> None:
    """Silence would answer otherwise than whoever put it there expects."""
    uploaded(
        buckets,
        {
            "models/harbour/gemma.gguf": write_tiny_gguf(tmp_path / "m.gguf").read_bytes(),
            "models/harbour/mmproj.gguf": write_tiny_projector(tmp_path / "p.gguf").read_bytes(),
        },
    )
    asked = {"archive": {"bucket": "uploads", "key": "models/harbour/gemma.gguf"}, "hosting": "instance"}

    with pytest.raises(InvalidArchive, match=r"'mmproj\.gguf': a projector.*'pytorch' loads none"):
        do("CheckArchive", buckets, input={**asked, "container": "pytorch"}, defaults=DEFAULTS)


# ------------------------------------------------------------------------ the ladder


def refused(limit: int) -> dict[str, str]:
    """Return a quota's refusal as a Catch has it."""
    text = (
        f"CreateEndpoint: ResourceLimitExceeded: The account-level service limit 'ml.r5.xlarge for endpoint usage' is "
        f"{limit} Instances, with current utilization of 0 Instances and a request delta of 2 Instances. Please use "
        "AWS Service Quotas to request an increase for this quota."
    )
    cause = json.dumps({"errorType": "QuotaTooSmall", "errorMessage": text})
    return {"Error": "QuotaTooSmall", "Cause": cause}


def test_prices_that_were_read_from_aws_decide(do: Task, script: Script, gemma: Path) -> None:
    """What somebody's `sealift prices --refresh` has put into the artifact bucket, for the stack's region."""
    clients: Any = SimpleNamespace(s3=SparseS3(gemma))
    checked = do("CheckArchive", clients, input=document(**INSTANCE), defaults=DEFAULTS)
    read = PriceFile("us-east-1", datetime(2026, 11, 30, tzinfo=UTC), {"ml.c5.9xlarge": 0.5})
    body = json.dumps(read.to_json()).encode()
    script.answers(
        "s3",
        "get_object",
        {"Body": StreamingBody(BytesIO(body), len(body))},
        {"Bucket": DEFAULTS["artifact_bucket"], "Key": live_prices.KEY},
    )
    script.account()

    on = planned(do, script.clients, checked)["instances"]

    assert (on["type"], on["usd_per_hour"]) == ("ml.c5.9xlarge", 0.5)
    assert on["offers"][0]["price"] == "AWS's price list for us-east-1, read 2026-11-30"


@pytest.fixture
def two(do: Task, script: Script, gemma: Path) -> dict[str, Any]:
    """The plan of a deployment on two instances."""
    clients: Any = SimpleNamespace(s3=SparseS3(gemma))
    asked = document(**INSTANCE, instance_count=2)
    checked = do("CheckArchive", clients, input=asked, defaults=DEFAULTS)
    script.no_prices().account()
    return planned(do, script.clients, checked)


def test_a_quota_leads_to_fewer_and_then_to_the_next_type(
    do: Task, script: Script, two: dict[str, Any]
) -> None:
    """Each with a configuration of its own; the one that no endpoint will have is deleted."""
    gone = two["names"]["endpoint_config"]
    script.account()
    arn = f"arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/{gone}"
    described = {
        "EndpointConfigName": gone,
        "EndpointConfigArn": arn,
        "ProductionVariants": two["requests"]["create_endpoint_config"]["ProductionVariants"],
    }
    script.answers("sagemaker", "describe_endpoint_config", {**described, "CreationTime": NOW})
    script.tags(tag_value(EXECUTION))
    script.answers("sagemaker", "delete_endpoint_config", {}, {"EndpointConfigName": gone})

    fewer = do("StepDown", script.clients, plan=two, refusal=refused(1))
    script.account().missing("describe_endpoint_config", "endpoint configuration")
    other = do("StepDown", script.clients, plan=fewer, refusal=refused(0))

    assert (fewer["instances"]["type"], fewer["instances"]["count"]) == ("ml.g6.xlarge", 1)
    assert (other["instances"]["type"], other["instances"]["count"]) == ("ml.g5.xlarge", 2)
    assert len({one["names"]["endpoint_config"] for one in (two, fewer, other)}) == 3
    assert [step["did"] for step in other["steps"]] == [
        "ask for 1 x ml.g6.xlarge",
        "ask for 2 x ml.g5.xlarge, at $1.408 an hour each",
    ]
    told = do("RestoreCapacity", script.clients, plan=other, running={})
    assert told == {
        "max_concurrency": None,
        "steps": ["runs on 2 x ml.g5.xlarge instead of 2 x ml.g6.xlarge"],
        "told": "2 x ml.g5.xlarge; runs on 2 x ml.g5.xlarge instead of 2 x ml.g6.xlarge",
    }


def test_what_runs_of_a_pool_is_told(do: Task, script: Script, two: dict[str, Any]) -> None:
    """By DescribeEndpoint's word, when SageMaker has taken another type, or several."""
    for running, what in (
        ({"ml.g5.xlarge": 2}, "2 x ml.g5.xlarge"),
        ({"ml.g6.xlarge": 1, "ml.g6e.xlarge": 1}, "1 x ml.g6.xlarge + 1 x ml.g6e.xlarge"),
    ):
        told = do("RestoreCapacity", script.clients, plan=two, running=running)

        (step,) = told["steps"]
        assert step == (
            f"runs on {what} instead of 2 x ml.g6.xlarge, since SageMaker had no capacity of ml.g6.xlarge"
        )
        assert told["told"] == f"{what}; {step}"
    same = do("RestoreCapacity", script.clients, plan=two, running={"ml.g6.xlarge": 2})
    assert same == {"max_concurrency": None, "steps": [], "told": "2 x ml.g6.xlarge"}


def test_a_type_without_quota_leaves_the_pool(do: Task, script: Script, two: dict[str, Any]) -> None:
    """One to fall back to goes; the first stays, as many as were asked for."""
    refusal = refused(0)
    refusal["Cause"] = refusal["Cause"].replace("ml.r5.xlarge", "ml.g5.xlarge")
    script.account().missing("describe_endpoint_config", "endpoint configuration")

    stepped = do("StepDown", script.clients, plan=two, refusal=refusal)

    (variant,) = stepped["requests"]["create_endpoint_config"]["ProductionVariants"]
    assert [one["InstanceType"] for one in variant["InstancePools"]] == ["ml.g6.xlarge", "ml.g6e.xlarge"]
    assert variant["InitialInstanceCount"] == 2
    assert stepped["steps"][-1]["did"] == "ask for 2 x ml.g6.xlarge without ml.g5.xlarge in the pool"


def test_a_type_runs_its_own_model_when_the_first_has_left(
    do: Task, script: Script, two: dict[str, Any]
) -> None:
    """The configuration names it as the variant's; the other one stays the plan's, so that a rollback takes it too."""
    first, name = two["names"]["model"], f"{two['names']['model']}-0a1b2c"
    kept, *offers = two["instances"]["offers"]
    others = [{"ModelName": name, "PrimaryContainer": two["requests"]["create_model"]["PrimaryContainer"]}]
    own = {
        **two,
        "instances": {
            **two["instances"],
            "offers": [kept, *({**one, "model": name} for one in offers)],
            "count": 1,
        },
        "requests": {**two["requests"], "other_models": others},
    }
    script.account().missing("describe_endpoint_config", "endpoint configuration")

    stepped = do("StepDown", script.clients, plan=own, refusal=refused(0))

    requests = stepped["requests"]
    assert requests["create_model"]["ModelName"] == name
    assert [one["ModelName"] for one in requests["other_models"]] == [first]
    (variant,) = requests["create_endpoint_config"]["ProductionVariants"]
    assert variant["ModelName"] == name
    assert not any("ModelNameOverride" in one for one in variant["InstancePools"])
    assert stepped["names"]["model"] == first


def test_a_type_that_was_asked_for_is_not_changed(do: Task, script: Script, two: dict[str, Any]) -> None:
    """Then the ladder has an end."""
    on = two["instances"]
    only = {**two, "instances": {**on, "offers": on["offers"][:1], "count": 1}}
    script.account()

    with pytest.raises(QuotaTooSmall, match="Service Quotas"):
        do("StepDown", script.clients, plan=only, refusal=refused(0))
