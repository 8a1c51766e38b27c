"""The prebuilt image's entry point, on a machine that is not the image.

Runs under the contract's own Python (3.10 when there is one), where `sagemaker_pytorch_serving_container` is AWS's
package, unchanged. What the image does as `serve` is `serving.main()`; here two things come before it, because the
image has a machine to itself:

    - the toolkit writes TorchServe's configuration to /etc; here it goes into the folder of the run
    - the toolkit looks for TorchServe among all processes, and refuses two; here only those of this session count

    python entrypoint.py FOLDER
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from sagemaker_pytorch_serving_container import serving, torchserve

if TYPE_CHECKING:
    from collections.abc import Iterator


class OwnProcesses:
    """What the toolkit uses of psutil: an iterator over processes, here those of this session."""

    @staticmethod
    def process_iter() -> Iterator[psutil.Process]:
        """Yield the processes that this one, or a child of it, started."""
        own = os.getsid(0)
        for process in psutil.process_iter():
            try:
                if os.getsid(process.pid) == own:
                    yield process
            except ProcessLookupError:
                continue


def main() -> None:
    """Serve until TorchServe ends."""
    torchserve.TS_CONFIG_FILE = str(Path(sys.argv[1]) / "sagemaker-ts.properties")
    torchserve.psutil = OwnProcesses
    serving.main()


if __name__ == "__main__":
    main()
