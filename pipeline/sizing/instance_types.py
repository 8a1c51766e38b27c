"""The instance types that an endpoint may run on, as data: CPUs, memory, price, and how fast memory is read.

Owns the table and its sources, and what a person may add to it (`instance_types` of a request). Refuses to choose:
that is `instance_choice`. A type whose price no two sources agree on is left out; whoever knows it adds it.

Prices are those of real-time inference in us-east-1, per instance and hour, as of August 2026. AWS's own price list
could not be read when the table was made: each price is one that at least two published lists agree on. An instance
is paid for from its creation to its deletion, whether anybody calls it or not.

Some types have an NVMe disk of their own; SageMaker mounts that, and refuses a volume's size for them.

Sources, by short name:
    boto-model   the service model that botocore ships (`sagemaker`, shape `ProductionVariantInstanceType`): the names
    ec2          https://aws.amazon.com/ec2/instance-types/: CPUs and memory
    lists        price lists published in public repositories, two or more of which agree; r5: also the list in
                 github.com/s4nyam/MasterThesis
    socket       6 channels of DDR4-2666 are 127.9 GB/s for each processor, of 24 cores (m5, r5) or 18 (c5); a core is
                 two CPUs here (https://bateloved.github.io/Analyzing-DataCenter-Workloads/analysis.html)
    sdk          what AWS's Python SDK knows to take no volume (`volume_size_supported`,
                 https://github.com/aws/sagemaker-python-sdk/pull/4828), and a refusal that was seen
                 (https://github.com/autogluon/autogluon-cloud/pull/50)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PRICED_IN: Final = "us-east-1"
AS_OF: Final = "2026-08"

SOCKET_GB_S: Final = 127.9
"""What one processor reads at most (socket)."""
PER_SOCKET: Final[Mapping[str, int]] = {"m5": 48, "c5": 36, "r5": 48}
"""CPUs of one processor (socket)."""


_OWN_DISK: Final = ("g5", "g6", "p5", "trn1")


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance type."""

    name: str
    vcpus: int
    memory_gib: float
    usd_per_hour: float
    bandwidth_gb_s: float
    """GB (10^9 bytes) that are read from memory in a second: an estimate."""
    how: str = "the share of its CPUs in a processor's 127.9 GB/s, at most one processor's"
    """How the bandwidth is known."""
    local_disk_gb: float | None = None
    """GB of its own disk, where it has one; None: none, or its size is not known."""
    source: str = f"price of {PRICED_IN}, {AS_OF}: published lists agree"


def _of(family: str, size: str, vcpus: int, memory_gib: int, usd_per_hour: float) -> Instance:
    # llama.cpp does not spread its weights over two processors' memories: more than one adds nothing sure.
    share = min(vcpus / PER_SOCKET[family], 1)
    return Instance(f"ml.{family}.{size}", vcpus, memory_gib, usd_per_hour, round(SOCKET_GB_S * share, 1))


_KNOWN: Final = (
    _of("c5", "large", 2, 4, 0.102),
    _of("c5", "xlarge", 4, 8, 0.204),
    _of("c5", "2xlarge", 8, 16, 0.408),
    _of("c5", "4xlarge", 16, 32, 0.816),
    _of("c5", "9xlarge", 36, 72, 1.836),
    _of("m5", "large", 2, 8, 0.115),
    _of("m5", "xlarge", 4, 16, 0.23),
    _of("m5", "2xlarge", 8, 32, 0.461),
    _of("m5", "4xlarge", 16, 64, 0.922),
    _of("m5", "12xlarge", 48, 192, 2.765),
    _of("m5", "24xlarge", 96, 384, 5.53),
    _of("r5", "large", 2, 16, 0.151),
    _of("r5", "xlarge", 4, 32, 0.302),
    _of("r5", "2xlarge", 8, 64, 0.605),
    _of("r5", "4xlarge", 16, 128, 1.21),
    _of("r5", "12xlarge", 48, 384, 3.629),
    _of("r5", "24xlarge", 96, 768, 7.258),
)
TABLE: Final = tuple(sorted(_KNOWN, key=lambda one: (one.usd_per_hour, one.name)))
"""What is known without anybody's help, cheapest first."""


def table(own: Iterable[Instance] = ()) -> tuple[Instance, ...]:
    """Return all types, cheapest first; one that a request brings takes the place of a known one of its name."""
    known = {one.name: one for one in (*TABLE, *own)}
    return tuple(sorted(known.values(), key=lambda one: (one.usd_per_hour, one.name)))


def has_own_disk(name: str) -> bool:
    """Tell by its name whether a type has an NVMe disk of its own, so that it takes no `VolumeSizeInGB` (sdk).

    A `d` in the family says it (m5d, g4dn, p4de), and some families have one without saying so.
    """
    family = name.split(".")[1]
    return "d" in family or family.startswith(_OWN_DISK)


X86_64: Final = "x86_64"
ARM64: Final = "arm64"
"""The architectures of CPUs, as an image's tag names them."""
_GRAVITON: Final = re.compile(r"ml\.[a-z]+[0-9]+[a-z]*g[a-z]*\.")
"""A `g` behind the generation says AWS's own CPUs (m6g, c7gn, im4gn); before it, it is the family's (g5: a GPU)."""


def image_architecture(name: str | None) -> str:
    """Return for which CPUs an image must be, by the type's name (ec2); serverless, None, has x86-64."""
    return ARM64 if name is not None and _GRAVITON.match(name) else X86_64


def find(name: str, of: Iterable[Instance] = TABLE) -> Instance | None:
    """Return a type by name; None for one that is not known."""
    return next((one for one in of if one.name == name), None)
