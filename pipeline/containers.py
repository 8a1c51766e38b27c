"""The container images that an endpoint can run in, as data.

One profile so far: AWS's prebuilt PyTorch image with the four functions of `inference/inference.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any


@dataclass(frozen=True, slots=True)
class Profile:
    """What is particular to one family of images."""

    name: str
    account: str
    repository: str
    tag: str
    needs_code: bool
    """Whether the archive must carry `code/inference.py`."""
    environment: dict[str, str] = field(default_factory=dict)
    end_of_support: date | None = None
    note: str = ""

    def image_uri(self, region: str) -> str:
        """Return the image's URI in a region."""
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        return f"{self.account}.dkr.ecr.{region}.{suffix}/{self.repository}:{self.tag}"


PYTORCH = Profile(
    name="pytorch",
    account="763104351884",
    repository="pytorch-inference",
    tag="2.0.0-cpu-py310-ubuntu20.04-sagemaker",
    needs_code=True,
    environment={
        "SAGEMAKER_PROGRAM": "inference.py",
        # TorchServe starts one worker, and so one copy of the model, per CPU unless both of these say one:
        # the second wins where an image's entry point forces the first.
        "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
        "TS_DEFAULT_WORKERS_PER_MODEL": "1",
        # This bounds the loading of the model too; at the default of 60 s a slow load starts over for ever.
        "SAGEMAKER_MODEL_SERVER_TIMEOUT": "300",
    },
    end_of_support=date(2024, 3, 15),
    note="AWS ended its support of PyTorch 2.0 images; they still run. /ping says 200 even when loading failed.",
)

DEFAULT = PYTORCH

_PREFIX = "SEALIFT_"


def environment(profile: Profile, inference: dict[str, Any]) -> dict[str, str]:
    """Return the container's Environment: the profile's own, and the inference settings as SEALIFT_* variables."""
    settings = {_PREFIX + name.upper(): format(value, "g") if isinstance(value, float) else str(value)
                for name, value in sorted(inference.items())}  # fmt: skip
    return {**profile.environment, **settings}
