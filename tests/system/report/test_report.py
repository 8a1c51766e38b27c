"""Reports on the local cloud: every end of an execution leaves one, and a real browser reads it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from local_cloud.cloud import LocalCloud
from pipeline.operations.execution_history import Execution
from pipeline.report import document, page, source
from pipeline.sizing import pricing
from tests.browser import DESKTOP, PHONE, browser  # noqa: F401 a fixture
from tests.system.cli.test_command_line import sealift
from tests.system.conftest import WAIT_S, Deployments, empty
from tests.system.rollout.test_capacity import WRONG
from tests.system.workflow.test_deployment import settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@dataclass(frozen=True)
class Reported:
    """An execution, and its report as it lies in the bucket."""

    ended: Execution
    key: str
    body: bytes


def report_of(cloud: LocalCloud, ended: Execution, service: str) -> Reported:
    """Wait for the report of an execution."""
    bucket, key = (
        cloud.outputs["ArtifactBucketName"],
        f"reports/{service}/{ended.arn.rpartition(':')[2]}.html",
    )
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            found = cloud.clients.s3.get_object(Bucket=bucket, Key=key)
        except ClientError:
            assert time.monotonic() < deadline, f"no report at {key}"
            time.sleep(0.1)
            continue
        assert found["ContentType"] == "text/html; charset=utf-8"
        return Reported(ended, key, found["Body"].read())


@pytest.fixture(scope="module")
def reported(running_cloud: LocalCloud, archive: Path) -> Iterator[dict[str, Reported]]:
    """Deploy what goes well after a retry, what fails, and what is stopped; return their reports by status."""
    cloud = running_cloud
    deployments = Deployments(cloud)
    try:
        deployments.fail("sagemaker.CreateModel=ThrottlingException:1")
        good = deployments.upload(archive, "told", settings())
        deployments.fail()
        bad = deployments.upload(archive, "told", settings(smoke_test=WRONG))
        stopped = _stopped(deployments, archive)
        yield {
            "SUCCEEDED": report_of(cloud, good, "told"),
            "FAILED": report_of(cloud, bad, "told"),
            "ABORTED": report_of(cloud, stopped, "halted"),
        }
    finally:
        cloud.faults.replace([])
        empty(cloud)


def _stopped(deployments: Deployments, archive: Path) -> Execution:
    """Start a deployment that waits long for its endpoint, and stop it."""
    client, key = deployments.cloud.clients.stepfunctions, "by-hand/halted/model.tar.gz"
    deployments.cloud.clients.s3.put_object(Bucket=deployments.bucket, Key=key, Body=archive.read_bytes())
    place = {"archive": {"bucket": deployments.bucket, "key": key}, "service": "halted"}
    # The consumer is the other service's by now.
    given = {**settings(), "consumer": None, "poll_interval_s": 300, **place}
    machine = deployments.cloud.outputs["StateMachineArn"]
    arn = client.start_execution(stateMachineArn=machine, name="halted-by-hand", input=json.dumps(given))[
        "executionArn"
    ]
    deadline = time.monotonic() + WAIT_S
    while "WaitForEndpoint" not in str(client.get_execution_history(executionArn=arn)["events"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    client.stop_execution(executionArn=arn, error="Operator", cause="the wrong model")
    return deployments.ended(arn)


def test_every_end_leaves_a_report(reported: dict[str, Reported]) -> None:
    """One that went well, one that failed, one that was stopped; each under its service and its name."""
    assert {status: one.ended.status for status, one in reported.items()} == {one: one for one in reported}
    assert b"told is served by told-" in reported["SUCCEEDED"].body
    assert b"SmokeTestFailed" in reported["FAILED"].body
    assert b"the wrong model" in reported["ABORTED"].body


def test_how_it_is_asked_is_reported_and_notified_where_it_serves(
    reported: dict[str, Reported], running_cloud: LocalCloud
) -> None:
    """By its true names; what does not serve is not asked."""
    good = reported["SUCCEEDED"].ended
    endpoint = good.results["plan_deployment"]["names"]["endpoint"]
    history = running_cloud.clients.stepfunctions.get_execution_history(
        executionArn=good.arn, maxResults=1000, reverseOrder=True
    )
    scheduled = (one.get("taskScheduledEventDetails", {}) for one in history["events"])
    (told,) = (json.loads(one["parameters"]) for one in scheduled if one.get("resourceType") == "sns")

    first, ask, name, code = told["Message"].split("\n")
    assert first.startswith("service told is served by")
    assert ask == 'ask it: sealift ask told "What does a sealift do?" --region us-east-1'
    assert name == f"endpoint: {endpoint}"
    assert f'EndpointName="{endpoint}"' in code
    shown = reported["SUCCEEDED"].body.decode()
    assert f"https://runtime.sagemaker.us-east-1.amazonaws.com/endpoints/{endpoint}/invocations" in shown
    for status, one in reported.items():
        assert (b'id="ask"' in one.body) is (status == "SUCCEEDED")


def test_a_report_made_later_is_the_same(reported: dict[str, Reported], running_cloud: LocalCloud) -> None:
    """Byte for byte: it is made of nothing but what Step Functions keeps."""
    one = reported["FAILED"]
    facts = source.fetch(running_cloud.clients, one.ended.arn)

    assert page.render(document.assemble(facts, pricing.LISTED)) == one.body


def test_the_smoke_test_is_timed(reported: dict[str, Reported]) -> None:
    """A real llama.cpp tells its timings, and a warm call is measured: the report has figures, not gaps."""
    tested = reported["SUCCEEDED"].ended.results["smoke_test"]

    assert tested["transcript"][0]["timings"]["predicted_per_second"] > 0
    assert tested["transcript"][0]["bytes_out"] > tested["transcript"][0]["bytes_in"] > 0
    speed = tested["speed"]
    assert speed["seconds"] > 0
    assert (speed["tokens_per_s"] > 0, speed["first_token_s"]) == (True, None)  # serverless streams nothing
    assert b"not measured" not in reported["SUCCEEDED"].body


def test_the_command_makes_the_report_of_any_execution(
    reported: dict[str, Reported], running_cloud: LocalCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By ARN or by name, as a page or as JSON, with other prices; and what there is none of is refused."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", running_cloud.url)
    monkeypatch.setenv("AWS_REGION", running_cloud.region)
    one = reported["SUCCEEDED"]
    name = one.ended.arn.rpartition(":")[2]
    listed = tmp_path / "prices.json"
    free = {"serverless_gb_second": {"us-east-1": 0}, "data_gb": {"us-east-1": 0}}
    listed.write_text(json.dumps({"as_of": "2026-11-01", "source": "a dream", "prices": free}))

    by_arn = sealift("report", one.ended.arn, "--output", tmp_path / "by-arn.html")
    by_name = sealift("report", name, "--json", "--prices", listed)
    unknown = sealift("report", "nobody-knows-it")

    assert by_arn.returncode == 0, by_arn.stderr
    assert (tmp_path / "by-arn.html").read_bytes() == one.body
    assert by_name.returncode == 0, by_name.stderr
    plain = json.loads(by_name.stdout)
    assert (plain["name"], plain["costs"]["usd_per_1000_requests"]) == (name, 0)
    assert unknown.returncode == 1
    assert "no execution 'nobody-knows-it'" in unknown.stderr


# ------------------------------------------------------------------------------ a browser


@dataclass
class Opened:
    """A page in the browser, and all that it asked for and complained about."""

    page: Page
    requests: list[str]
    complaints: list[str]


def opened(
    browser: Browser,  # noqa: F811 the fixture from above
    path: Path,
    size: tuple[int, int],
    scheme: str,
) -> Opened:
    """Open a file as a screen of this size would."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    context.set_default_timeout(10_000)
    shown = Opened(context.new_page(), [], [])
    shown.page.on("request", lambda request: shown.requests.append(request.url))
    shown.page.on("console", lambda message: shown.complaints.append(message.text))
    shown.page.on("pageerror", lambda error: shown.complaints.append(str(error)))
    shown.page.goto(path.as_uri())
    return shown


@pytest.mark.parametrize(
    ("size", "scheme"),
    [pytest.param(PHONE, "dark", id="phone"), pytest.param(DESKTOP, "light", id="desktop")],
)
@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "ABORTED"])
def test_a_browser_reads_it(
    *,
    browser: Browser,  # noqa: F811 the fixture from above
    reported: dict[str, Reported],
    tmp_path: Path,
    status: str,
    size: tuple[int, int],
    scheme: str,
) -> None:
    """It asks for nothing and complains of nothing, scrolls only downwards; all can be opened, every link leads on."""
    path = tmp_path / "report.html"
    path.write_bytes(reported[status].body)
    shown = opened(browser, path, size, scheme)
    seen = shown.page

    assert seen.locator("h1").inner_text() == document_of(reported[status])
    closed = seen.locator("details:not([open]) > summary")
    for _ in range(closed.count()):
        closed.first.press("Enter")
    assert closed.count() == 0
    for link in seen.locator("nav a").all():
        link.click()
        target = seen.locator(str(link.get_attribute("href")))
        assert target.bounding_box() is not None
    # A state of the graph leads to its line, which is marked.
    seen.locator("svg.graph a").first.click()
    assert seen.locator("tr:target").count() == 1
    assert seen.evaluate("document.documentElement.scrollWidth <= innerWidth")
    dark = seen.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert dark == (scheme == "dark")
    assert shown.requests == [path.as_uri()]
    assert shown.complaints == []
    seen.context.close()


def document_of(one: Reported) -> str:
    """Return the headline that a report must have."""
    names = one.ended.results["plan_deployment"]["names"]
    return {
        "SUCCEEDED": f"told is served by {names['endpoint']}",
        "FAILED": "told was not deployed: SmokeTestFailed",
        "ABORTED": "halted was not deployed: the execution was stopped",
    }[one.ended.status]


def test_the_diagnosis_is_on_the_first_screen_of_a_phone(
    browser: Browser,  # noqa: F811 the fixture from above
    reported: dict[str, Reported],
    tmp_path: Path,
) -> None:
    """Whoever gets the page sent sees at once that it failed and what happened."""
    path = tmp_path / "report.html"
    path.write_bytes(reported["FAILED"].body)
    shown = opened(browser, path, PHONE, "light")
    box = shown.page.locator("#failure dt").first.bounding_box()

    assert box is not None
    assert box["y"] < PHONE[1]
    shown.page.context.close()
