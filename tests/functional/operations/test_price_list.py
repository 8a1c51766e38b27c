"""AWS's price list as it is asked, and the file that is kept of it."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.response import StreamingBody
from botocore.stub import Stubber

from pipeline import cli
from pipeline.aws.clients import Clients
from pipeline.cli.commands import prices as command
from pipeline.errors import InvalidInput
from pipeline.operations import price_list
from pipeline.sizing import instance_types, live_prices
from pipeline.sizing.live_prices import PriceFile
from tests.unit.sizing.test_live_prices import product

NOW = datetime(2026, 11, 30, 4, 0, tzinfo=UTC)
KEPT = PriceFile("us-east-1", NOW, {"ml.r5.xlarge": 0.31})
ASKED: dict[str, Any] = {
    "ServiceCode": "AmazonSageMaker",
    "Filters": [
        {"Type": "TERM_MATCH", "Field": "regionCode", "Value": "us-east-2"},
        {"Type": "TERM_MATCH", "Field": "component", "Value": "Hosting"},
    ],
    "FormatVersion": "aws_v1",
    "MaxResults": 100,
}


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Clients:
    """Return clients that reach nobody."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    return Clients(region="us-east-1")


def test_all_pages_are_read(clients: Clients) -> None:
    """Of one region, and of real-time inference."""
    pages = [[json.dumps(product("ml.g6.xlarge"))], [], [json.dumps(product("ml.c5.xlarge", "0.204"))]]
    with Stubber(clients.pricing) as stub:  # type: ignore[arg-type]
        for number, page in enumerate(pages):
            token = {"NextToken": str(number)} if number else {}
            more = {"NextToken": str(number + 1)} if number < len(pages) - 1 else {}
            stub.add_response(
                "get_products", {"FormatVersion": "aws_v1", "PriceList": page, **more}, {**ASKED, **token}
            )
        found = live_prices.read_products(price_list.products(clients.pricing, "us-east-2"), "us-east-2")
        stub.assert_no_pending_responses()

    assert found.usd_per_hour == {"ml.g6.xlarge": 1.1267, "ml.c5.xlarge": 0.204}


def test_a_refusal_is_raised(clients: Clients) -> None:
    """The command says which permission it lacks."""
    with Stubber(clients.pricing) as stub:  # type: ignore[arg-type]
        stub.add_client_error("get_products", "AccessDeniedException", "not authorized")
        with pytest.raises(ClientError):
            list(price_list.products(clients.pricing, "us-east-2"))


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    """By region; nothing is kept at first, and nothing half is ever there."""
    assert price_list.kept(tmp_path, "us-east-1") is None

    price_list.write(price_list.place(tmp_path / "new", "us-east-1"), KEPT)

    assert price_list.kept(tmp_path / "new", "us-east-1") == KEPT
    assert price_list.kept(tmp_path / "new", "eu-west-1") is None
    assert [one.name for one in (tmp_path / "new").iterdir()] == ["prices-us-east-1.json"]


def test_what_was_read_wins_over_what_is_listed(tmp_path: Path) -> None:
    """Type by type; a file that says nothing sensible is as none, and is told by the command alone."""
    assert price_list.known(tmp_path, "us-east-1") == instance_types.LISTED
    price_list.write(price_list.place(tmp_path, "us-east-1"), KEPT)

    found = price_list.known(tmp_path, "us-east-1")
    assert found["ml.r5.xlarge"].usd_per_hour == 0.31
    assert found["ml.r5.large"] == instance_types.LISTED["ml.r5.large"]

    price_list.place(tmp_path, "us-east-1").write_bytes(b"\xff")
    assert price_list.known(tmp_path, "us-east-1") == instance_types.LISTED
    with pytest.raises(InvalidInput, match="--refresh"):
        price_list.kept(tmp_path, "us-east-1")


def body(content: bytes) -> dict[str, Any]:
    """Return what GetObject answers."""
    return {"Body": StreamingBody(io.BytesIO(content), len(content))}


@pytest.mark.parametrize(
    ("content", "found"),
    [
        pytest.param(json.dumps(KEPT.to_json()).encode(), KEPT, id="a list"),
        pytest.param(
            json.dumps({**KEPT.to_json(), "region": "eu-west-1"}).encode(), None, id="another region's"
        ),
        pytest.param(b"{}", None, id="none"),
        pytest.param(b" " * (live_prices.MOST_BYTES + 1), None, id="too large"),
    ],
)
def test_a_stack_reads_what_was_put_there(clients: Clients, content: bytes, found: PriceFile | None) -> None:
    """And plans with the listed prices where it is of no use."""
    with Stubber(clients.s3) as stub:
        stub.add_response("get_object", body(content), {"Bucket": "artifacts", "Key": live_prices.KEY})
        assert price_list.published(clients.s3, "artifacts", "us-east-1") == found


@pytest.mark.parametrize("code", ["NoSuchKey", "AccessDenied"])
def test_a_stack_without_a_list_has_none(clients: Clients, code: str) -> None:
    """Who may not list the bucket is denied what is not there."""
    with Stubber(clients.s3) as stub:
        stub.add_client_error("get_object", code)
        assert price_list.published(clients.s3, "artifacts", "us-east-1") is None


def test_any_other_trouble_of_s3_is_the_tasks_to_retry(clients: Clients) -> None:
    """Else a plan would depend on the hour."""
    with Stubber(clients.s3) as stub:
        stub.add_client_error("get_object", "SlowDown")
        with pytest.raises(ClientError):
            price_list.published(clients.s3, "artifacts", "us-east-1")


def test_a_list_is_put_where_the_stack_reads_it(clients: Clients) -> None:
    """As it is read back."""
    with Stubber(clients.s3) as stub:
        stub.add_response(
            "put_object",
            {},
            {
                "Bucket": "artifacts",
                "Key": live_prices.KEY,
                "Body": json.dumps(KEPT.to_json()).encode(),
                "ContentType": "application/json",
            },
        )
        price_list.publish(clients.s3, "artifacts", KEPT)
        stub.assert_no_pending_responses()


# -- the command


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of this test's own kept list."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return tmp_path / "cache" / "sealift"


def test_the_command_shows_the_listed_prices_and_how_to_get_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The cheapest first; of those without a price a line says that they are there."""
    assert cli.main(["prices"]) == cli.OK

    said = capsys.readouterr().out.splitlines()
    head, first, *_ = said
    assert head.split() == ["TYPE", "CPUS", "MEMORY", "GPUS", "READS", "DISK", "USD/H", "USD/MONTH"]
    assert first.split() == ["ml.c5.large", "2", "4", "GiB", "-", "7.1", "GB/s", "volume", "0.102", "74"]
    assert "`sealift prices --refresh` asks AWS" in said[-1]
    assert len(said) == len(instance_types.LISTED) + 3
    unknown = len(instance_types.TYPES) - len(instance_types.LISTED)
    assert said[-2].startswith(f"not known  the prices of {unknown} more types")


def test_the_command_says_how_old_a_list_is(own_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And that one of last year is to be read again."""
    price_list.write(
        price_list.place(own_cache, "us-east-1"),
        PriceFile("us-east-1", datetime(2025, 1, 1, tzinfo=UTC), {"ml.r5.large": 0.07}),
    )

    assert cli.main(["prices"]) == cli.OK
    said = capsys.readouterr().out.splitlines()
    assert said[1].startswith("ml.r5.large")
    assert said[-2].startswith("prices     of 1 types by AWS's price list for us-east-1, read ")
    assert said[-1] == "old        `sealift prices --refresh` reads them again"

    assert cli.main(["prices", "--json"]) == cli.OK
    document = json.loads(capsys.readouterr().out)
    assert (document["read_at"], document["old"]) == ("2025-01-01T00:00:00Z", True)
    first = document["types"][0]
    assert (first["name"], first["usd_per_hour"]) == ("ml.r5.large", 0.07)
    gpu = next(one for one in document["types"] if one["name"] == "ml.g5.12xlarge")
    assert (gpu["gpu"], gpu["gpus"], gpu["gpu_memory_gib"], gpu["gpu_usable_gib"]) == ("A10G", 4, 24, 22.03)
    assert any(one["usd_per_hour"] is None and one["source"] is None for one in document["types"])


def test_a_type_is_told_in_one_row() -> None:
    """With whose CPUs they are, and the GPUs' own memory and bandwidth."""
    arm, gpu = instance_types.facts("ml.c7g.large"), instance_types.facts("ml.g6e.12xlarge")
    assert arm is not None
    assert gpu is not None

    free = instance_types.ListedPrice(0.1, "s")
    assert command.row(arm, free) == (
        "ml.c7g.large",
        "2 arm64",
        "4 GiB",
        "-",
        "9.6 GB/s",
        "volume",
        "0.1",
        "73",
    )
    price = instance_types.ListedPrice(13.1158, "s")
    assert command.row(gpu, price) == (
        "ml.g6e.12xlarge",
        "48",
        "384 GiB",
        "4 x L40S 48 GB",
        "864 GB/s",
        "3800 GB",
        "13.1158",
        "9,575",
    )


def test_a_refresh_keeps_what_aws_says_and_tells_what_it_left_out(clients: Clients, tmp_path: Path) -> None:
    """On this machine, for the region that was meant."""
    page = [json.dumps(product()), "nonsense"]
    with Stubber(clients.pricing) as stub:  # type: ignore[arg-type]
        stub.add_response("get_products", {"PriceList": page}, ASKED)
        kept, skipped = command.refresh(clients.pricing, tmp_path, "us-east-2", NOW)

    assert kept == PriceFile("us-east-2", NOW, {"ml.g6.xlarge": 1.1267})
    assert price_list.kept(tmp_path, "us-east-2") == kept
    assert len(skipped) == 1


def test_an_answer_without_a_price_replaces_nothing(clients: Clients, tmp_path: Path) -> None:
    """A region that is none, or a list of another form."""
    before = PriceFile("us-east-2", NOW, {"ml.g6.xlarge": 1.0})
    price_list.write(price_list.place(tmp_path, "us-east-2"), before)
    with Stubber(clients.pricing) as stub:  # type: ignore[arg-type]
        stub.add_response("get_products", {"PriceList": []}, ASKED)
        with pytest.raises(InvalidInput, match=r"no product of real-time inference.*say another --region"):
            command.refresh(clients.pricing, tmp_path, "us-east-2", NOW)

    assert price_list.kept(tmp_path, "us-east-2") == before
