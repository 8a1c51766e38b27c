"""Calls that end without an answer, at the gateway's own port."""

from __future__ import annotations

import http.client
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from local_cloud.faults import Accident, Fault, Faults
from local_cloud.functions.configurations import Configurations
from local_cloud.gateway import Backends, Gateway
from local_cloud.hosting import Quotas

KEY = "ASIAEXAMPLE"
HEADERS = {
    "Authorization": f"AWS4-HMAC-SHA256 Credential={KEY}/20260101/us-east-1/sagemaker/aws4_request",
    "X-Amz-Target": "SageMaker.DeleteModel",
    "Content-Type": "application/x-amz-json-1.1",
}


@dataclass
class Site:
    """A gateway before backends that write down what is done to them."""

    gateway: Gateway
    carried_out: int = 0
    killed: list[tuple[str, bool]] = field(default_factory=list)

    def hosting(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Carry out a call."""
        del environ
        self.carried_out += 1
        start_response("200 OK", [])
        return [b"{}"]

    def kill(self, access_key: str, timed_out: bool) -> None:
        """Write down who was killed."""
        self.killed.append((access_key, timed_out))

    def call(self) -> int:
        """Return the status of a call."""
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=10)
        connection.request("POST", "/", body=b"{}", headers=HEADERS)
        try:
            return connection.getresponse().status
        finally:
            connection.close()


@pytest.fixture
def site() -> Iterator[Site]:
    """Return a gateway that answers."""
    gateway = Gateway(faults=Faults())
    site = Site(gateway)
    gateway.start(
        Backends(
            hosting=site.hosting,
            invoke=lambda _name, _qualifier, _event: None,
            configurations=Configurations(),
            quotas=Quotas,
            object_created=lambda _operation, _bucket, _key: None,
            caller=lambda key: {KEY: "RollBack"}.get(key, ""),
            kill=site.kill,
        )
    )
    yield site
    gateway.close()


@pytest.mark.parametrize(
    ("accident", "carried_out", "killed"),
    [
        pytest.param(Accident.ANSWER_LOST, 1, [], id="answer lost"),
        pytest.param(Accident.KILLED_BEFORE, 0, [(KEY, False)], id="killed before"),
        pytest.param(Accident.KILLED_AFTER, 1, [(KEY, False)], id="killed after"),
        pytest.param(Accident.TIMED_OUT, 1, [(KEY, True)], id="timed out"),
    ],
)
def test_an_accident_leaves_no_answer(
    site: Site, accident: Accident, carried_out: int, killed: list[tuple[str, bool]]
) -> None:
    """The connection ends; whether the call took effect, and what became of the caller, is the accident's."""
    site.gateway.faults.replace([Fault("sagemaker", "DeleteModel", accident.value, times=1)])

    with pytest.raises(ConnectionError):
        site.call()
    assert (site.carried_out, site.killed) == (carried_out, killed)
    assert site.call() == 200


def test_a_fault_finds_its_caller_by_the_credentials(site: Site) -> None:
    """What another function calls is recorded with its name, and goes well."""
    fault = Fault("sagemaker", "DeleteModel", "InternalFailure", caller="StepDown")
    site.gateway.faults.replace([fault])

    assert site.call() == 200
    assert [(one.caller, one.status) for one in site.gateway.recorded] == [("RollBack", 200)]
