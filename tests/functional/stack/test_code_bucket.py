"""The bucket for code, against moto."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from moto import mock_aws

from pipeline.aws import service_errors
from pipeline.aws.clients import Clients
from pipeline.errors import NameConflict
from pipeline.stack import bundles, code_bucket
from pipeline.stack.code_bucket import Bucket

BUCKET = Bucket("123456789012", "eu-central-1")
CODES = {"One": bundles.code_of({"a.py": b"1"}), "Two": bundles.code_of({"a.py": b"2"})}


def silent(_sent: int, _total: int) -> None:
    """Draw nothing."""


def make(clients: Clients) -> None:
    """Make the bucket, without the policy: moto would refuse everything, since it does not know conditions."""
    code_bucket.ensure(clients.s3, BUCKET)
    clients.s3.delete_bucket_policy(Bucket=BUCKET.name)


@pytest.fixture
def clients() -> Iterator[Clients]:
    """The clients of an empty account."""
    with mock_aws():
        yield Clients(region="eu-central-1")


@pytest.fixture
def stubbed() -> Iterator[tuple[Clients, Stubber]]:
    """Clients whose S3 answers what a test says."""
    clients = Clients(region="eu-central-1")
    with Stubber(clients.s3) as stubber:
        yield clients, stubber


def test_it_is_made_once_private_and_for_tls_only(clients: Clients) -> None:
    """In the region of the stack, with nothing public, no ACLs and no versions."""
    assert code_bucket.ensure(clients.s3, BUCKET)
    assert not code_bucket.ensure(clients.s3, BUCKET)

    name = BUCKET.name
    assert name == "sealift-code-123456789012-eu-central-1"
    assert clients.s3.get_bucket_location(Bucket=name)["LocationConstraint"] == "eu-central-1"
    assert all(clients.s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values())
    rules = clients.s3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert "Status" not in clients.s3.get_bucket_versioning(Bucket=name)
    (statement,) = json.loads(BUCKET.policy())["Statement"]
    assert (statement["Effect"], statement["Condition"]) == (
        "Deny",
        {"Bool": {"aws:SecureTransport": "false"}},
    )


@pytest.mark.parametrize(
    ("operation", "code", "status"),
    [
        pytest.param("head_bucket", "403", 403, id="seen at once"),
        pytest.param("create_bucket", "BucketAlreadyExists", 409, id="seen when it is to be made"),
    ],
)
def test_another_accounts_bucket_is_refused(
    stubbed: tuple[Clients, Stubber], operation: str, code: str, status: int
) -> None:
    """Nobody's code is uploaded to somebody else."""
    clients, stubber = stubbed
    if operation == "create_bucket":
        stubber.add_client_error("head_bucket", "404", http_status_code=404)
    stubber.add_client_error(operation, code, http_status_code=status)

    with pytest.raises(NameConflict, match=r"sealift-code-.*; wanted a bucket of account 123456789012"):
        code_bucket.ensure(clients.s3, BUCKET)


def test_what_is_there_is_not_uploaded_again(clients: Clients) -> None:
    """Keys are made of the content; each stack has its own."""
    make(clients)
    told: list[tuple[int, int]] = []

    def draw(sent: int, total: int) -> None:
        told.append((sent, total))

    first = code_bucket.upload(clients.s3, BUCKET, "sealift", CODES, draw)
    again = code_bucket.upload(clients.s3, BUCKET, "sealift", CODES, draw)
    other = code_bucket.upload(clients.s3, BUCKET, "other", CODES, silent)

    total = sum(len(code.body) for code in CODES.values())
    assert first == again == {name: f"sealift/{code.key}" for name, code in CODES.items()}
    assert [sent for sent, _ in told][-1] == total
    assert len(told) == len(CODES)
    assert set(other.values()).isdisjoint(first.values())
    stored = clients.s3.get_object(Bucket=BUCKET.name, Key=first["One"])["Body"].read()
    assert stored == CODES["One"].body
    assert code_bucket.sizes(clients.s3, BUCKET, "sealift") == (2, total)


def test_a_template_is_found_by_its_url(clients: Clients) -> None:
    """The URL is the endpoint's, so that it is the local cloud's there."""
    make(clients)

    url = code_bucket.put_template(clients.s3, BUCKET, "sealift", '{"a":1}')

    assert url.startswith(f"https://s3.eu-central-1.amazonaws.com/{BUCKET.name}/sealift/template/")
    key = url.partition(f"{BUCKET.name}/")[2]
    assert clients.s3.get_object(Bucket=BUCKET.name, Key=key)["Body"].read() == b'{"a":1}'


def test_only_what_is_old_and_unused_is_pruned(clients: Clients) -> None:
    """What is deployed stays, and what somebody may be about to deploy; other stacks' code always."""
    make(clients)
    keys = code_bucket.upload(clients.s3, BUCKET, "sealift", CODES, silent)
    code_bucket.upload(clients.s3, BUCKET, "sealift-2", CODES, silent)
    kept = frozenset({keys["One"]})
    now = datetime.now(UTC)

    fresh = code_bucket.prune(clients.s3, BUCKET, "sealift", keep=kept, older_than=now - timedelta(days=1))
    old = code_bucket.prune(clients.s3, BUCKET, "sealift", keep=kept, older_than=now + timedelta(days=1))

    assert (fresh, old) == (0, 1)
    assert code_bucket.sizes(clients.s3, BUCKET, "sealift")[0] == 1
    assert code_bucket.prune(clients.s3, BUCKET, "sealift") == 1
    assert code_bucket.sizes(clients.s3, BUCKET, "sealift-2")[0] == 2


def test_without_a_bucket_there_is_nothing(clients: Clients) -> None:
    """A stack that is gone may have taken the bucket along."""
    assert code_bucket.sizes(clients.s3, BUCKET, "sealift") == (0, 0)
    assert code_bucket.prune(clients.s3, BUCKET, "sealift") == 0


def test_what_may_not_be_read_is_no_missing_bucket(stubbed: tuple[Clients, Stubber]) -> None:
    """Else everything would be uploaded again, into the dark."""
    clients, stubber = stubbed
    stubber.add_client_error("list_objects_v2", "AccessDenied", http_status_code=403)

    with pytest.raises(ClientError) as denied:
        code_bucket.sizes(clients.s3, BUCKET, "sealift")

    assert service_errors.is_access_denied(denied.value)
