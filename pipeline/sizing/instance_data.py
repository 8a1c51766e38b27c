"""The instance types of SageMaker's hosting as it was read: data, with sources and days, and nothing else.

One row for each family and size. Owns no rule: `instance_types` makes objects of it. A type stands here where its CPUs,
memory and GPUs are AWS's own words; its price only where a list has it, and how many lists agree is said with it.

Sources, by short name:
    boto-model   the service model that botocore ships (`sagemaker`, shape `ProductionVariantInstanceType`): the names.
                 It has no c8i, m8i and r8i
    ec2          https://aws.amazon.com/ec2/instance-types/: CPUs, memory, GPUs, disks
    ddr          channels times width times rate of a processor, shared by its CPUs: 6 of DDR4-2666 are 127.9 GB/s for
                 24 cores (m5, r5) or 18 (c5); 8 of DDR4-3200 are 204.8 GB/s for 32 (m6i, c6i, r6i) or for 64
                 Graviton2; 8 of DDR5-4800 are 307.2 GB/s for 48 (m7i, c7i, r7i) or for 64 Graviton3; 12 of DDR5-5600
                 are 537.6 GB/s for 96 Graviton4. A core is two CPUs on Intel's, one on Graviton
                 (https://bateloved.github.io/Analyzing-DataCenter-Workloads/analysis.html for m5, r5 and c5)
    nvidia       data sheets of T4, A10G, L4, L40S and RTX PRO 6000: bandwidth; f16 on tensor cores without sparsity
    totals       what CUDA says that a GPU has, in the messages of programs that ran out of it: 14.56 GiB (T4), 22.03 to
                 22.07 (A10G and L4), 44.39 to 44.42 (L40S), as found in public repositories; RTX PRO 6000: none was
                 found, so as much less than its name-plate as L40S has
    lists        price lists published in public repositories, two or more of which agree (2026-08)
    offer        AWS's offer file of AmazonSageMaker (2026-09-20 to 09-27) as public repositories quote it, which a
                 second list agrees with
    one          the same file, quoted by one repository alone

Of Graviton's types no two lists were found that agree: what is quoted is rounded to cents, or of other regions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

LISTS: Final = ("2026-08", "published lists agree")
OFFER: Final = ("2026-09-27", "AWS's offer file as others quote it, and a list that agrees")
ONE: Final = ("2026-09-27", "AWS's offer file as one repository quotes it")


class GpuRow(NamedTuple):
    """A GPU."""

    memory_gib: float
    """By its name-plate."""
    usable_gib: float
    """What CUDA says that it has (totals)."""
    bandwidth_gb_s: float
    tflops: float
    """f16 on tensor cores (nvidia)."""


GPUS: Final[Mapping[str, GpuRow]] = {
    "T4": GpuRow(16, 14.56, 320, 65),
    "A10G": GpuRow(24, 22.03, 600, 70),
    "L4": GpuRow(24, 22.03, 300, 121),
    "L40S": GpuRow(48, 44.39, 864, 362),
    "RTX PRO 6000": GpuRow(96, 88.7, 1597, 503),
}


COMPUTE_CAPABILITIES: Final[Mapping[str, str]] = {
    "T4": "7.5",
    "A10G": "8.6",
    "L4": "8.9",
    "L40S": "8.9",
    "RTX PRO 6000": "12.0",
}
"""What its code must be compiled for (https://developer.nvidia.com/cuda-gpus); `inference/Dockerfile.cuda` has them."""


class CpuFamilyRow(NamedTuple):
    """A family without GPUs: its sizes have the same memory for each CPU."""

    gib_per_cpu: float
    arm: bool
    socket_cpus: int
    socket_gb_s: float
    """Of one processor (ddr)."""
    sizes: str
    """Name and number of CPUs of each."""


_INTEL_5: Final = "large 2 xlarge 4 2xlarge 8 4xlarge 16 12xlarge 48 24xlarge 96"
_INTEL_6: Final = (
    "large 2 xlarge 4 2xlarge 8 4xlarge 16 8xlarge 32 12xlarge 48 16xlarge 64 24xlarge 96 32xlarge 128"
)
_INTEL_7: Final = (
    "large 2 xlarge 4 2xlarge 8 4xlarge 16 8xlarge 32 12xlarge 48 16xlarge 64 24xlarge 96 48xlarge 192"
)
_ARM: Final = "large 2 xlarge 4 2xlarge 8 4xlarge 16 8xlarge 32 12xlarge 48 16xlarge 64"
_ARM_8: Final = f"{_ARM} 24xlarge 96 48xlarge 192"

CPU_FAMILIES: Final[Mapping[str, CpuFamilyRow]] = {
    "c5": CpuFamilyRow(2, False, 36, 127.9, "large 2 xlarge 4 2xlarge 8 4xlarge 16 9xlarge 36 18xlarge 72"),
    "m5": CpuFamilyRow(4, False, 48, 127.9, _INTEL_5),
    "r5": CpuFamilyRow(8, False, 48, 127.9, _INTEL_5),
    "c6i": CpuFamilyRow(2, False, 64, 204.8, _INTEL_6),
    "m6i": CpuFamilyRow(4, False, 64, 204.8, _INTEL_6),
    "r6i": CpuFamilyRow(8, False, 64, 204.8, _INTEL_6),
    "c7i": CpuFamilyRow(2, False, 96, 307.2, _INTEL_7),
    "m7i": CpuFamilyRow(4, False, 96, 307.2, _INTEL_7),
    "r7i": CpuFamilyRow(8, False, 96, 307.2, _INTEL_7),
    "c6g": CpuFamilyRow(2, True, 64, 204.8, _ARM),
    "m6g": CpuFamilyRow(4, True, 64, 204.8, _ARM),
    "r6g": CpuFamilyRow(8, True, 64, 204.8, _ARM),
    "c7g": CpuFamilyRow(2, True, 64, 307.2, _ARM),
    "c8g": CpuFamilyRow(2, True, 96, 537.6, _ARM_8),
    "m8g": CpuFamilyRow(4, True, 96, 537.6, _ARM_8),
    "r8g": CpuFamilyRow(8, True, 96, 537.6, _ARM_8),
}
"""The volume of each is EBS's."""


class GpuTypeRow(NamedTuple):
    """A type with GPUs; all have an NVMe disk of their own."""

    vcpus: int
    memory_gib: float
    gpu: str
    gpus: int
    disk_gb: float


HOST_GB_S_A_CPU: Final = 3.2
"""Of the hosts of GPUs, which are of the generations m5 to m7i: the processors' own vary from 2.7 to 3.2 (ddr)."""

GPU_TYPES: Final[Mapping[str, GpuTypeRow]] = {
    "ml.g4dn.xlarge": GpuTypeRow(4, 16, "T4", 1, 125),
    "ml.g4dn.2xlarge": GpuTypeRow(8, 32, "T4", 1, 225),
    "ml.g4dn.4xlarge": GpuTypeRow(16, 64, "T4", 1, 225),
    "ml.g4dn.8xlarge": GpuTypeRow(32, 128, "T4", 1, 900),
    "ml.g4dn.12xlarge": GpuTypeRow(48, 192, "T4", 4, 900),
    "ml.g4dn.16xlarge": GpuTypeRow(64, 256, "T4", 1, 900),
    "ml.g5.xlarge": GpuTypeRow(4, 16, "A10G", 1, 250),
    "ml.g5.2xlarge": GpuTypeRow(8, 32, "A10G", 1, 450),
    "ml.g5.4xlarge": GpuTypeRow(16, 64, "A10G", 1, 600),
    "ml.g5.8xlarge": GpuTypeRow(32, 128, "A10G", 1, 900),
    "ml.g5.12xlarge": GpuTypeRow(48, 192, "A10G", 4, 3800),
    "ml.g5.16xlarge": GpuTypeRow(64, 256, "A10G", 1, 1900),
    "ml.g5.24xlarge": GpuTypeRow(96, 384, "A10G", 4, 3800),
    "ml.g5.48xlarge": GpuTypeRow(192, 768, "A10G", 8, 7600),
    "ml.g6.xlarge": GpuTypeRow(4, 16, "L4", 1, 250),
    "ml.g6.2xlarge": GpuTypeRow(8, 32, "L4", 1, 450),
    "ml.g6.4xlarge": GpuTypeRow(16, 64, "L4", 1, 600),
    "ml.g6.8xlarge": GpuTypeRow(32, 128, "L4", 1, 900),
    "ml.g6.12xlarge": GpuTypeRow(48, 192, "L4", 4, 3760),
    "ml.g6.16xlarge": GpuTypeRow(64, 256, "L4", 1, 1880),
    "ml.g6.24xlarge": GpuTypeRow(96, 384, "L4", 4, 3760),
    "ml.g6.48xlarge": GpuTypeRow(192, 768, "L4", 8, 7520),
    "ml.g6e.xlarge": GpuTypeRow(4, 32, "L40S", 1, 250),
    "ml.g6e.2xlarge": GpuTypeRow(8, 64, "L40S", 1, 450),
    "ml.g6e.4xlarge": GpuTypeRow(16, 128, "L40S", 1, 600),
    "ml.g6e.8xlarge": GpuTypeRow(32, 256, "L40S", 1, 900),
    "ml.g6e.12xlarge": GpuTypeRow(48, 384, "L40S", 4, 3800),
    "ml.g6e.16xlarge": GpuTypeRow(64, 512, "L40S", 1, 1900),
    "ml.g6e.24xlarge": GpuTypeRow(96, 768, "L40S", 4, 3800),
    "ml.g6e.48xlarge": GpuTypeRow(192, 1536, "L40S", 8, 7600),
    "ml.g7e.2xlarge": GpuTypeRow(8, 64, "RTX PRO 6000", 1, 1900),
}

PRICES: Final[Mapping[tuple[str, str], Mapping[str, float]]] = {
    LISTS: {
        "ml.c5.large": 0.102,
        "ml.c5.xlarge": 0.204,
        "ml.c5.2xlarge": 0.408,
        "ml.c5.4xlarge": 0.816,
        "ml.c5.9xlarge": 1.836,
        "ml.m5.large": 0.115,
        "ml.m5.xlarge": 0.23,
        "ml.m5.2xlarge": 0.461,
        "ml.m5.4xlarge": 0.922,
        "ml.m5.12xlarge": 2.765,
        "ml.m5.24xlarge": 5.53,
        "ml.r5.large": 0.151,
        "ml.r5.xlarge": 0.302,
        "ml.r5.2xlarge": 0.605,
        "ml.r5.4xlarge": 1.21,
        "ml.r5.12xlarge": 3.629,
        "ml.r5.24xlarge": 7.258,
        "ml.g4dn.xlarge": 0.7364,
        "ml.g4dn.2xlarge": 0.94,
        "ml.g5.xlarge": 1.408,
        "ml.g5.2xlarge": 1.515,
        "ml.g5.4xlarge": 2.03,
        "ml.g5.8xlarge": 3.06,
        "ml.g5.12xlarge": 7.09,
        "ml.g5.24xlarge": 10.18,
        "ml.g5.48xlarge": 20.36,
        "ml.g6.4xlarge": 1.654,
        "ml.g6.12xlarge": 5.752,
        "ml.g6.24xlarge": 8.344,
        "ml.g6.48xlarge": 16.688,
        "ml.g6e.4xlarge": 3.7553,
        "ml.g6e.8xlarge": 5.6607,
        "ml.g6e.12xlarge": 13.1158,
        "ml.g7e.2xlarge": 4.2039,
    },
    OFFER: {
        "ml.g6.xlarge": 1.1267,
        "ml.g6.2xlarge": 1.222,
        "ml.g6e.xlarge": 2.6054,
        "ml.g6e.2xlarge": 2.8026,
    },
    ONE: {
        "ml.r7i.xlarge": 0.318,
        "ml.r7i.2xlarge": 0.635,
        "ml.r7i.4xlarge": 1.27,
        "ml.m7i.4xlarge": 0.968,
        "ml.c7i.8xlarge": 1.714,
    },
}
"""USD of one instance and hour of real-time inference in us-east-1, by day and source."""
