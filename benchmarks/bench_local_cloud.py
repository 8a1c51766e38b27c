"""The memory of a local cloud while a large archive goes through it: every way up, and the whole deployment.

    python benchmarks/bench_local_cloud.py FOLDER [--gb 5] [--most-gb 6]

Needs four times the size in FOLDER. An archive of a small model and of random bytes that nothing makes smaller is sent
by one PutObject, by `sealift push`, which deploys it on an instance (checked byte by byte, spliced by UploadPartCopy,
downloaded and extracted by the hosting), and is read and copied whole. Memory is that of all of the local cloud's
processes but the model servers, looked at several times a second: what they have of the machine's memory, pages that
they share counted once, and the sum of what is resident of each, which counts those in each. Linux only. Everything is
ended when the former exceeds --most-gb.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3
import psutil
from botocore.config import Config

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP: Final = Path(__file__).resolve().parents[1]
MODEL: Final = TOP / "examples" / "demo_model" / "sealift-demo.gguf"
GB: Final = 1000**3
MB: Final = 1000**2
_BLOCK: Final = 64 * MB
_SERVERS: Final = ("server.py", "llama_server.py", "llama_cpp_image.py", "llama-server.sock", "keeper.py")
SETTINGS: Final = {
    "hosting": "instance",
    "consumer": None,
    "smoke_test": {"prompts": ["The lighthouse keeper"]},
}
CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_REGION": "us-east-1",
}


class Watch:
    """The memory of a process and of all that it started, and its peaks since they were told."""

    def __init__(self, pid: int, most: int) -> None:
        self._top = psutil.Process(pid)
        self._most = most
        self._peaks = (0, 0)
        self.ended = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while not self.ended.wait(0.1):
            used, resident = self._used()
            self._peaks = (max(self._peaks[0], used), max(self._peaks[1], resident))
            if used > self._most:
                print(f"more than {self._most / GB:.1f} GB: ended", flush=True)
                self._top.terminate()

    def _used(self) -> tuple[int, int]:
        used = resident = 0
        try:
            for process in (self._top, *self._top.children(recursive=True)):
                try:
                    if not any(part.endswith(_SERVERS) for part in process.cmdline()):
                        memory = process.memory_full_info()
                        used, resident = used + memory.pss, resident + memory.rss
                except psutil.Error:
                    continue
        except psutil.Error:
            self.ended.set()
        return used, resident

    def peaks(self) -> str:
        """Return both peaks since the last call, in MB."""
        (used, resident), self._peaks = self._peaks, (0, 0)
        return f"{used / MB:.0f} | {resident / MB:.0f}"


def archive(folder: Path, size: int) -> Path:
    """Write a tar.gz of about this size: the demo's model, and bytes that deflate cannot shorten."""
    path, padding = folder / "large.tar.gz", folder / "padding.bin"
    block = os.urandom(_BLOCK)
    with padding.open("wb") as file:
        for at in range(0, size, _BLOCK):
            file.write(block[: min(_BLOCK, size - at)])
    with gzip.open(path, "wb", compresslevel=0) as stream, tarfile.open(fileobj=stream, mode="w|") as tar:
        tar.add(MODEL, MODEL.name)
        tar.add(padding, padding.name)
    padding.unlink()
    return path


@contextmanager
def cloud(folder: Path, most: int) -> Iterator[tuple[str, str, Watch]]:
    """Start a local cloud; yield its URL, its upload bucket and the watch of its memory."""
    command = [sys.executable, "-u", "-m", "sealift", "local", "up", "--port", "0", "--time-scale", "0.1"]
    log = (folder / "cloud.log").open("w")
    environment = {**os.environ, "TMPDIR": str(folder)}
    process = subprocess.Popen(command, cwd=TOP, stdout=log, stderr=log, env=environment)
    watch = Watch(process.pid, most)
    try:
        deadline = time.monotonic() + 300
        found: dict[str, str] = {}
        while len(found) < 2:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"no local cloud: {Path(log.name).read_text()}")
            time.sleep(0.2)
            output = Path(log.name).read_text()
            found = dict(re.findall(r"^(endpoint URL|upload bucket) +(\S+)$", output, re.MULTILINE))
        yield found["endpoint URL"], found["upload bucket"], watch
    finally:
        watch.ended.set()
        process.terminate()
        process.wait(60)


def push(path: Path, url: str, folder: Path) -> str:
    """Deploy the archive as `sealift push` does; return how that ended."""
    settings = folder / "settings.json"
    settings.write_text(json.dumps(SETTINGS))
    command = [sys.executable, "-m", "sealift", "push", str(path), "--service", "large", "--json"]
    environment = {**os.environ, **CREDENTIALS, "AWS_ENDPOINT_URL": url}
    done = subprocess.run(
        [*command, "--input", str(settings)],
        cwd=TOP,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"push ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return "deployed"


def main() -> None:
    """Measure and print."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit("terminated"))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gb", type=float, default=5.0)
    parser.add_argument("--most-gb", type=float, default=6.0)
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    path = archive(folder, int(arguments.gb * GB))
    size = path.stat().st_size
    with cloud(folder, int(arguments.most_gb * GB)) as (url, bucket, watch):
        client: Any = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106 nobody's
            config=Config(read_timeout=600, retries={"total_max_attempts": 1}),
        )

        def plain() -> None:
            with path.open("rb") as file:
                client.put_object(Bucket=bucket, Key="plain/large", Body=file)

        def read() -> None:
            body = client.get_object(Bucket=bucket, Key="plain/large")["Body"]
            came = sum(len(piece) for piece in body.iter_chunks(MB))
            if came != size:
                raise SystemExit(f"{came} bytes came of {size}")

        def copy() -> None:
            client.copy_object(Bucket=bucket, Key="plain/copy", CopySource=f"{bucket}/plain/large")

        def listed() -> None:
            client.list_object_versions(Bucket=bucket)

        def delete() -> None:
            for name in ("plain/large", "plain/copy"):
                for one in client.list_object_versions(Bucket=bucket, Prefix=name)["Versions"]:
                    client.delete_object(Bucket=bucket, Key=name, VersionId=one["VersionId"])

        steps = {
            "one PutObject": plain,
            "read whole": read,
            "CopyObject": copy,
            "ListObjectVersions": listed,
            "deleted": delete,
            "sealift push, deployed": lambda: push(path, url, folder),
        }
        time.sleep(2)
        print(f"archive of {size / GB:.2f} GB")
        print("| what | peak MB | sum of resident MB | seconds |\n|---|---|---|---|")
        print(f"| nothing yet | {watch.peaks()} | |", flush=True)
        for name, step in steps.items():
            begun = time.perf_counter()
            step()
            took = time.perf_counter() - begun
            time.sleep(0.3)
            print(f"| {name} | {watch.peaks()} | {took:.1f} |", flush=True)
    path.unlink()


if __name__ == "__main__":
    main()
