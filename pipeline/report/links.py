"""The addresses of things in the AWS console, for the partition and the region that they are in.

Pure. Every name is quoted, whatever it is: none can lead elsewhere than to the console.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Console:
    """The console of one region."""

    partition: str
    region: str

    @property
    def host(self) -> str:
        """Where it is."""
        if self.partition == "aws-cn":
            return "console.amazonaws.cn"
        if self.partition == "aws-us-gov":
            return "console.amazonaws-us-gov.com"
        return f"{_part(self.region)}.console.aws.amazon.com"

    def execution(self, arn: str) -> str:
        """Return an execution's page."""
        return self._page("states", f"/v2/executions/details/{_part(arn)}")

    def endpoint(self, name: str) -> str:
        """Return an endpoint's page."""
        return self._page("sagemaker", f"/endpoints/{_part(name)}")

    def endpoint_config(self, name: str) -> str:
        """Return an endpoint configuration's page."""
        return self._page("sagemaker", f"/endpointConfig/{_part(name)}")

    def model(self, name: str) -> str:
        """Return a model's page."""
        return self._page("sagemaker", f"/models/{_part(name)}")

    def function(self, name: str) -> str:
        """Return a function's page."""
        return self._page("lambda", f"/functions/{_part(name)}")

    def alarm(self, name: str) -> str:
        """Return an alarm's page."""
        return self._page("cloudwatch", f"alarmsV2:alarm/{_part(name)}")

    def log_group(self, name: str) -> str:
        """Return a log group's page, whose address has its name quoted twice and with $ for %."""
        quoted = quote(_part(name), safe="").replace("%", "$")
        return self._page("cloudwatch", f"logsV2:log-groups/log-group/{quoted}")

    def role(self, name: str) -> str:
        """Return a role's page."""
        return self._page("iam", f"/roles/details/{_part(name)}")

    def object(self, bucket: str, key: str) -> str:
        """Return an S3 object's page."""
        return (
            f"https://{self.host}/s3/object/{_part(bucket)}?region={_part(self.region)}&prefix={_part(key)}"
        )

    def repository(self, uri: str) -> str:
        """Return the page of the repository of ECR that an image's URI names."""
        host, _, rest = uri.partition("/")
        name = rest.partition(":")[0].partition("@")[0]
        where = f"{_part(host.partition('.')[0])}/{_part(name)}?region={_part(self.region)}"
        return f"https://{self.host}/ecr/repositories/private/{where}"

    def _page(self, service: str, place: str) -> str:
        return f"https://{self.host}/{service}/home?region={_part(self.region)}#{place}"


def _part(text: str) -> str:
    return quote(text.encode("utf-8", "replace"), safe="")
