"""The instance types that an endpoint may run on: CPUs, memory, GPUs, disk, price, and how fast memory is read.

Owns what is made of the data (`instance_data`), and what a person may add to it (`instance_types` of a request).
Refuses to choose: that is `instance_choice`. A type whose price nobody has told is known, and never chosen by its
price; whoever knows it adds it. An image is for one platform: x86-64 or arm64 CPUs, or NVIDIA GPUs.

Prices are those of real-time inference in us-east-1, per instance and hour, of the day and the source that each says.
A list that was read from AWS (`live_prices`) takes their place, type by type. An instance is paid for from its creation
to its deletion, whether anybody calls it or not.

Some types have an NVMe disk of their own; SageMaker mounts that, and refuses a volume's size for them.

Sources, by short name, beside those of the data:
    sdk          what AWS's Python SDK knows to take no volume (`volume_size_supported`,
                 https://github.com/aws/sagemaker-python-sdk/pull/4828), and a refusal that was seen
                 (https://github.com/autogluon/autogluon-cloud/pull/50)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from pipeline.sizing import instance_data

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

PRICED_IN: Final = "us-east-1"

X86_64: Final = "x86_64"
ARM64: Final = "arm64"
"""The architectures of CPUs, as an image's tag names them."""
CUDA: Final = "cuda"
"""NVIDIA's GPUs, beside x86-64 CPUs."""
PLATFORMS: Final = (X86_64, ARM64, CUDA)
"""What an image may be for."""
_GRAVITON: Final = re.compile(r"ml\.[a-z]+[0-9]+[a-z]*g[a-z]*\.")
"""A `g` behind the generation says AWS's own CPUs (m6g, c7gn, im4gn); before it, it is the family's (g5: a GPU)."""
_OWN_DISK: Final = ("g5", "g6", "g7e", "p5", "trn1")


def image_architecture(name: str | None) -> str:
    """Return for which CPUs an image must be, by the type's name (ec2); serverless, None, has x86-64."""
    return ARM64 if name is not None and _GRAVITON.match(name) else X86_64


def platform_of(name: str | None) -> str:
    """Return for what an image must be, by the type's name: one of `PLATFORMS`; serverless, None, has x86-64."""
    known = None if name is None else facts(name)
    return CUDA if known is not None and known.gpu else image_architecture(name)


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU."""

    name: str
    memory_gib: float
    """By its name-plate."""
    usable_gib: float
    """What CUDA says that it has, before anything runs on it."""
    bandwidth_gb_s: float
    tflops: float
    """f16 on tensor cores, without sparsity."""


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """One instance type as AWS describes it, whatever it costs."""

    name: str
    vcpus: int
    memory_gib: float
    bandwidth_gb_s: float
    """GB (10^9 bytes) that the CPUs read from memory in a second: an estimate."""
    how: str
    """How that is known."""
    gpu: Gpu | None = None
    gpus: int = 0
    disk_gb: float | None = None
    """GB of its own NVMe disk; None where it gets a volume of EBS."""

    @property
    def architecture(self) -> str:
        """Of its CPUs."""
        return image_architecture(self.name)


@dataclass(frozen=True, slots=True)
class ListedPrice:
    """What one instance costs an hour."""

    usd_per_hour: float
    source: str
    """Of which region, of which day, and who says so."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance type that may be chosen: its price is known."""

    name: str
    vcpus: int
    memory_gib: float
    usd_per_hour: float
    bandwidth_gb_s: float
    """GB (10^9 bytes) that are read from memory in a second: an estimate."""
    how: str = ""
    """How the bandwidth is known."""
    local_disk_gb: float | None = None
    """GB of its own disk, where it has one; None: none, or its size is not known."""
    source: str = ""
    """Whose price it is, and of when."""
    gpu: Gpu | None = None
    gpus: int = 0

    @property
    def platform(self) -> str:
        """For what an image must be: one of `PLATFORMS`."""
        return CUDA if self.gpu else image_architecture(self.name)


def _facts() -> Iterator[InstanceFacts]:
    for family, row in instance_data.CPU_FAMILIES.items():
        words = row.sizes.split()
        for size, cpus in zip(words[::2], map(int, words[1::2]), strict=True):
            # llama.cpp does not spread its weights over two processors' memories: more than one adds nothing sure.
            share = min(cpus / row.socket_cpus, 1)
            yield InstanceFacts(
                f"ml.{family}.{size}",
                cpus,
                cpus * row.gib_per_cpu,
                round(row.socket_gb_s * share, 1),
                f"the share of its CPUs in a processor's {row.socket_gb_s:g} GB/s, at most one processor's",
            )
    gpus = {name: Gpu(name, *row) for name, row in instance_data.GPUS.items()}
    for name, one in instance_data.GPU_TYPES.items():
        yield InstanceFacts(
            name,
            one.vcpus,
            one.memory_gib,
            round(one.vcpus * instance_data.HOST_GB_S_A_CPU, 1),
            f"{instance_data.HOST_GB_S_A_CPU:g} GB/s for each CPU",
            gpus[one.gpu],
            one.gpus,
            one.disk_gb,
        )


TYPES: Final = tuple(_facts())
"""Every type that is known, whatever is known of its price."""

LISTED: Final[Mapping[str, ListedPrice]] = MappingProxyType(
    {
        name: ListedPrice(usd, f"price of {PRICED_IN}, {as_of}: {who}")
        for (as_of, who), prices in instance_data.PRICES.items()
        for name, usd in prices.items()
    }
)
"""The prices that are known without asking anybody, by type."""


def priced(
    prices: Mapping[str, ListedPrice] = LISTED, platforms: Collection[str] = (X86_64,)
) -> tuple[Instance, ...]:
    """Return the types that may be chosen by their price, cheapest first.

    Args:
        prices: by type; a type that has none here has the listed one, and one that has neither is left out.
        platforms: for which there is an image: some of `PLATFORMS`.
    """
    known = {**LISTED, **prices}
    found = [
        Instance(
            one.name,
            one.vcpus,
            one.memory_gib,
            known[one.name].usd_per_hour,
            one.bandwidth_gb_s,
            one.how,
            one.disk_gb,
            known[one.name].source,
            one.gpu,
            one.gpus,
        )
        for one in TYPES
        if one.name in known
    ]
    return _sorted(one for one in found if one.platform in platforms)


def _sorted(types: Iterable[Instance]) -> tuple[Instance, ...]:
    return tuple(sorted(types, key=lambda one: (one.usd_per_hour, one.name)))


TABLE: Final = priced()
"""What any container may run on without anybody's help, cheapest first."""


def table(
    own: Iterable[Instance] = (),
    prices: Mapping[str, ListedPrice] = LISTED,
    platforms: Collection[str] = (X86_64,),
) -> tuple[Instance, ...]:
    """Return all types, cheapest first; one that a request brings takes the place of a known one of its name.

    Args:
        own: the request's.
        prices: as `priced` takes them.
        platforms: the same.
    """
    brought = (one for one in own if one.platform in platforms)
    return _sorted({one.name: one for one in (*priced(prices, platforms), *brought)}.values())


def has_own_disk(name: str) -> bool:
    """Tell by its name whether a type has an NVMe disk of its own, so that it takes no `VolumeSizeInGB` (sdk).

    A `d` in the family says it (m5d, g4dn, p4de), and some families have one without saying so.
    """
    family = name.split(".")[1]
    return "d" in family or family.startswith(_OWN_DISK)


def facts(name: str) -> InstanceFacts | None:
    """Return what AWS says of a type; None for one that is not known."""
    return next((one for one in TYPES if one.name == name), None)


def find(name: str, of: Iterable[Instance] = TABLE) -> Instance | None:
    """Return a type by name; None for one that is not known."""
    return next((one for one in of if one.name == name), None)
