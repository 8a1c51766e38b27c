"""Our image against buildah, a layer against cp and on its way, cold starts of an image and of an archive, and memory.

    python -m benchmarks.bench_image [--quick] [--rounds 3] [--mib 1024] [--json PATH]

As root, with what `make image-test` installs, and buildah for the first part; `make contract` for the last. Contenders
take turns, so that a busy machine disturbs all alike; medians are compared. buildah gets the very files that our image
has, in one COPY, on the same base; what both send to the registry on 127.0.0.1 is counted on the way. A part whose
tools are not here is left out, and says so.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil

from benchmarks import sending, shapes
from benchmarks.bench_archive import ROOT, machine, run, tell, write_model
from benchmarks.bench_limits import model_of
from examples.tiny_gguf import write_tiny_gguf
from local_cloud.hosting.containers.container import ContainerCall
from pipeline import package_files
from pipeline.archive.build.pack import pack
from pipeline.archive.checks.rules import Rules
from pipeline.image import configuration, manifest, model_image
from pipeline.image.model_layer import LayerFile, LayerStream
from pipeline.limits import MiB
from pipeline.sizing import images
from pipeline.state_data.image_types import MadeLayer
from tools.contract.container import Container, ContractError, Stack
from tools.image_test import base, tools
from tools.image_test.host import Host, Unusable
from tools.image_test.registry import LocalRegistry, Relay

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MEMORY_MB: Final = 3072
PART_BYTES: Final = 20_971_520
"""Of a layer's upload to ECR, at most."""
QUESTION: Final = ContainerCall(
    json.dumps({"messages": [{"role": "user", "content": "7"}], "max_tokens": 1}).encode(), "application/json"
)
LAYER: Final = """
import sys
from pathlib import Path
from pipeline.image.model_layer import LayerFile, LayerStream
source, part = Path(sys.argv[1]), int(sys.argv[2])
target = open(sys.argv[3], "wb", buffering=0) if len(sys.argv) > 3 else None
stream = LayerStream([LayerFile(source.name, source.stat().st_size)], part)
def take():
    for one in stream.take():
        if target:
            target.write(one.data)
with source.open("rb", buffering=0) as file:
    stream.begin(source.name)
    while piece := file.read(4 << 20):
        stream.write(piece)
        take()
    stream.finish()
    take()
print(stream.digest, stream.diff_id, stream.length)
"""
SUMS: Final = 'sha256sum "$1" & sha256sum "$1"; wait'


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table: seconds, and what else there is to say."""

    work: str
    ours: str
    theirs: str
    ratio: float | None
    """How many times as fast as theirs; None where that says nothing."""
    wanted: str = ""
    note: str = ""

    def cells(self) -> tuple[str, ...]:
        """Return it as a row."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}x"
        return (self.work, self.ours, self.theirs, ratio, self.wanted, self.note)


HEADINGS: Final = ("work", "ours", "against", "faster", "wanted", "")


def seconds(found: Sequence[float]) -> str:
    """Return a median as people read it."""
    return f"{statistics.median(found):.2f} s"


def faster(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return how many times as fast ours is."""
    return statistics.median(theirs) / statistics.median(ours)


# -- building and pushing


class Pushes:
    """Builds and pushes of both, into a registry on this machine."""

    def __init__(self, folder: Path, registry: LocalRegistry, relay: Relay, files: Path) -> None:
        self.folder = folder
        self.registry = registry
        self.relay = relay
        self.files = files
        """The root of our image, unpacked: what buildah copies of it."""

    def ours(self, name: str) -> list[str]:
        """Return our command for a repository."""
        reference = f"{self.relay.address}/python:{base.TAG}"
        return [
            sys.executable,
            "-m",
            "sealift",
            "image",
            "push",
            f"{self.relay.address}/{name}:one",
            "--base",
            reference,
        ]

    def theirs(self, name: str) -> list[str]:
        """Return buildah's commands for a repository."""
        store = self.folder / "buildah"
        buildah = (
            f"buildah --root {store}/root --runroot {store}/run --storage-driver overlay "
            f"--registries-conf {store}/registries.conf"
        )
        image = f"{self.relay.address}/{name}:one"
        build = f"{buildah} bud --quiet --layers --isolation chroot --tls-verify=false"
        script = (
            f"{build} --file {store}/Containerfile --tag {image} {self.files} "
            f"&& {buildah} push --quiet --tls-verify=false {image}"
        )
        return ["sh", "-c", script]

    def forget(self) -> None:
        """Let both begin anew, but with the wheels that ours has fetched: what the package index takes is no matter."""
        cache = self.folder / "cache" / "sealift"
        shutil.rmtree(cache / "image", ignore_errors=True)
        store = self.folder / "buildah"
        _unmount(store)
        shutil.rmtree(store, ignore_errors=True)
        store.mkdir()
        (store / "registries.conf").write_text("", encoding="utf-8")
        (store / "Containerfile").write_text(
            f"FROM {self.relay.address}/python:{base.TAG}\n"
            "COPY opt/sealift /opt/sealift\n"
            "ENV PYTHONPATH=/opt/sealift/lib HOME=/tmp\n"
            "USER 65534:65534\n"
            'ENTRYPOINT ["python", "/opt/sealift/adapter"]\n',
            encoding="utf-8",
        )

    def timed(self, command: list[str]) -> tuple[float, int]:
        """Run a command; return its seconds and the bytes that it sent."""
        before = self.relay.sent
        os.environ["XDG_CACHE_HOME"] = str(self.folder / "cache")
        taken, _ = run(command, self.folder)
        return taken, self.relay.sent - before


def pushing(folder: Path, registry: LocalRegistry, files: Path, rounds: int) -> list[Line]:
    """Build and push the plain image, then again with nothing changed."""
    found: dict[str, list[tuple[float, int]]] = {}
    with Relay(registry.port, cut_after=0, cuts=0) as relay:
        pushes = Pushes(folder, registry, relay, files)
        for number in range(1, rounds + 1):
            pushes.forget()
            for time_of in ("first", "again"):
                for name, command in (("ours", pushes.ours), ("theirs", pushes.theirs)):
                    taken, sent = pushes.timed(command(f"{name}{number}"))
                    tell(
                        f"round {number} of {rounds}: {name}, {time_of}: {taken:.2f} s, {sent / MiB:.1f} MiB sent"
                    )
                    found.setdefault(f"{name} {time_of}", []).append((taken, sent))
        _unmount(folder / "buildah")
    lines = []
    for time_of, work, wanted in (
        ("first", "build and push the plain image", ""),
        ("again", "the same when nothing changed", "2x"),
    ):
        ours, theirs = ([one[0] for one in found[f"{who} {time_of}"]] for who in ("ours", "theirs"))
        sent = [max(one[1] for one in found[f"{who} {time_of}"]) / MiB for who in ("ours", "theirs")]
        lines.append(
            Line(
                work,
                seconds(ours),
                f"buildah {seconds(theirs)}",
                faster(ours, theirs),
                wanted,
                f"{sent[0]:.1f} and {sent[1]:.1f} MiB sent",
            )
        )
    return lines


def _unmount(store: Path) -> None:
    mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    for point in (line.split()[1] for line in reversed(mounts)):
        if point.startswith(str(store)):
            subprocess.run([tools.find("umount"), point], check=False)


# -- a model's layer


def layering(folder: Path, mib: int, rounds: int) -> list[Line]:
    """Make a model's layer, as the workflow does it, against copying it and against its two digests alone."""
    model, out = folder / "model.gguf", folder / "layer"
    write_model(model, mib * MiB)
    making = [sys.executable, "-c", LAYER, str(model), str(PART_BYTES)]
    commands = {
        "ours": making,
        "ours on disk": [*making, str(out)],
        "cp": ["cp", "--reflink=never", str(model), str(out)],
        "sha256sum": ["sh", "-c", SUMS, "sh", str(model)],
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    peak = 0.0
    for number in range(rounds + 1):
        for name, command in commands.items():
            out.unlink(missing_ok=True)
            second, mebibytes = run(command, folder)
            tell(f"{'warm-up' if not number else f'round {number} of {rounds}'}: {name}: {second:.2f} s")
            if number:
                taken[name].append(second)
            if name.startswith("ours"):
                peak = max(peak, mebibytes)
    for path in (model, out):
        path.unlink(missing_ok=True)
    ours = taken["ours"]
    return [
        Line(
            f"a model of {mib} MiB into the parts of a layer",
            seconds(ours),
            f"`cp` {seconds(taken['cp'])}",
            faster(ours, taken["cp"]),
            "0.6x",
            f"{peak:.0f} MiB at the peak, wanted under 200",
        ),
        Line(
            "the same, written to the disk",
            seconds(taken["ours on disk"]),
            f"`cp` {seconds(taken['cp'])}",
            faster(taken["ours on disk"], taken["cp"]),
            "",
            "the workflow sends them instead",
        ),
        Line(
            "",
            seconds(ours),
            f"two `sha256sum` at once {seconds(taken['sha256sum'])}",
            faster(ours, taken["sha256sum"]),
            "",
            "what every image's format asks for",
        ),
    ]


# -- a layer's way


def sent(folder: Path, mib: int) -> list[Line]:
    """Measure pushes of a large layer and one of a quarter of it at once, into two registries."""
    layers = (folder / "large", folder / "small")
    for path, size in zip(layers, (mib, mib // 4), strict=True):
        write_model(path, size * MiB)
    (folder / "sent").mkdir()
    with LocalRegistry(folder / "sent") as registry:
        http = sending.over_http(folder, registry, layers)
    ecr = sending.into_ecr(folder, layers)
    for path in layers:
        path.unlink()
    shutil.rmtree(folder / "sent")
    work = f"layers of {mib} and {mib // 4} MiB into "
    return [
        Line(
            f"{work}{where}", f"{second:.2f} s", "", None, "", f"{peak:.0f} MiB at the peak, wanted under 200"
        )
        for where, (second, peak) in (("Debian's registry", http), ("the local cloud's ECR", ecr))
    ]


# -- cold starts


@dataclass(frozen=True, slots=True)
class ImageOnDisk:
    """An image whose files are here."""

    config: Mapping[str, Any]
    layers: tuple[Path, ...]
    digest: str


def pulled(registry: LocalRegistry, reference: str, folder: Path) -> ImageOnDisk:
    """Return an image of the registry, as skopeo pulls it."""
    copy(f"docker://{registry.address}/{reference}", f"dir:{folder}")
    content = (folder / "manifest.json").read_bytes()
    read = manifest.read(content, manifest.DOCKER_MANIFEST, reference)
    if not isinstance(read, manifest.Manifest):
        raise Unusable(f"{reference} is an index")
    config = (folder / read.config.digest[7:]).read_bytes()
    layers = tuple(folder / layer.digest[7:] for layer in read.layers)
    return ImageOnDisk(json.loads(config), layers, read.digest)


def with_model(plain: ImageOnDisk, model: Path, folder: Path) -> ImageOnDisk:
    """Return an image that holds a model, made as the workflow makes it."""
    target = folder / "layer-of-the-model"
    stream = LayerStream([LayerFile(model.name, model.stat().st_size)], PART_BYTES)
    with model.open("rb") as file, target.open("wb") as out:
        stream.begin(model.name)
        while piece := file.read(MiB):
            stream.write(piece)
            out.writelines(one.data for one in stream.take())
        stream.finish()
        out.writelines(one.data for one in stream.take())
    made = MadeLayer(stream.digest, stream.diff_id, stream.length)
    read = configuration.read(json.dumps(plain.config).encode(), "the plain image")
    config = model_image.configure(read, made, model.name)
    return ImageOnDisk(config.document, (*plain.layers, target), manifest.digest_of(config.content))


def first_answer(host: Host) -> tuple[float, float]:
    """Start a container; return the seconds to its first health check that is answered, and to its first answer."""
    begun = time.perf_counter()
    container = host.start(MEMORY_MB)
    host.until_up(container)
    up = time.perf_counter() - begun
    answer = container.call(QUESTION, 60)
    if answer.status != 200:
        raise Unusable(f"status {answer.status}: {answer.body[:300]!r}")
    taken = time.perf_counter() - begun
    container.kill()
    return up, taken


def starting(folder: Path, plain: ImageOnDisk, megabytes: int, rounds: int) -> list[Line]:
    """Start containers cold: the model from an archive, and from the image itself."""
    model = shapes.write(model_of(megabytes), folder / "model.gguf")
    archive = folder / "model.tar.gz"
    pack(model, archive, code={}, rules=Rules(code_required=False), digest=False)
    holding = with_model(plain, model, folder)
    environment = {"SEALIFT_N_CTX": "512", "SEALIFT_N_THREADS": "2"}
    found: dict[str, list[tuple[float, float]]] = {}
    roots = {name: folder / f"roots-{name}" for name in ("archive", "image")}
    for number in range(1, rounds + 1):
        for state in ("new", "known"):
            for name, image, brought in (("archive", plain, archive), ("image", holding, None)):
                place = folder / f"{name}-{state}-{number}"
                place.mkdir()
                if state == "new":
                    shutil.rmtree(roots[name], ignore_errors=True)
                with Host(image, place, roots[name], archive=brought, environment=environment) as host:
                    up, taken = first_answer(host)
                tell(f"round {number} of {rounds}: {name}, {state}: up {up:.2f} s, answer {taken:.2f} s")
                found.setdefault(f"{name} {state}", []).append((up, taken))
    lines = []
    for state, work in (
        ("known", "machine that has the image unpacked"),
        ("new", "machine that has its layers alone"),
    ):
        image, other = ([one[1] for one in found[f"{name} {state}"]] for name in ("image", "archive"))
        up, other_up = ([one[0] for one in found[f"{name} {state}"]] for name in ("image", "archive"))
        lines.append(
            Line(
                f"first answer with {model.stat().st_size / 1e6:.0f} MB, on a {work}",
                f"image {seconds(image)}",
                f"archive {seconds(other)}",
                faster(image, other),
                "",
                f"ready after {seconds(up)} and {seconds(other_up)}",
            )
        )
    return lines


# -- memory


def remembering(folder: Path, plain: ImageOnDisk) -> list[Line]:
    """Measure what lies in memory beside a very small model, after an answer."""
    model = folder / "harbour.gguf"
    write_tiny_gguf(model)
    archive = folder / "small.tar.gz"
    pack(model, archive, code={}, rules=Rules(code_required=False), digest=False)
    place = folder / "memory"
    place.mkdir()
    environment = {"SEALIFT_N_CTX": "512", "SEALIFT_N_THREADS": "1"}
    with Host(plain, place, folder / "roots-archive", archive=archive, environment=environment) as host:
        container = host.start(MEMORY_MB)
        host.until_up(container)
        container.call(QUESTION, 60)
        ours = sum(psutil.Process(pid).memory_full_info().pss for pid in container.pids()) / MiB
    try:
        stack = Stack.installed(os.environ)
        theirs, what = (
            prebuilt(stack, model, folder),
            "PyTorch" if stack.torch_is_real else "a stub of PyTorch",
        )
    except ContractError as error:
        tell(f"left out: the prebuilt image's stack: {error}")
        return [Line("memory beside a small model", f"{ours:.0f} MiB", "not here", None)]
    note = f"proportional set sizes; theirs with {what}"
    return [
        Line(
            "memory beside a small model",
            f"{ours:.0f} MiB",
            f"prebuilt {theirs:.0f} MiB",
            theirs / ours,
            "",
            note,
        )
    ]


def prebuilt(stack: Stack, model: Path, folder: Path) -> float:
    """Return the MiB of the prebuilt image's serving stack with a model, after an answer."""
    archive, place = folder / "prebuilt.tar.gz", folder / "ml"
    pack(model, archive, code=package_files.code(), digest=False)
    (place / "model").mkdir(parents=True)
    shutil.unpack_archive(archive, place / "model", "gztar", filter="data")
    environment = images.environment(images.PYTORCH, {"n_ctx": 512, "n_threads": 1})
    with (
        tempfile.TemporaryDirectory(prefix="sealift-") as scratch,
        Container(stack, place, Path(scratch), environment) as container,
    ):
        container.until_up()
        container.invoke(inputs="7", max_tokens=1)
        return sum(one.proportional for one in container.memory()) / MiB


# -- all of it


def copy(source: str, target: str) -> None:
    """Have skopeo copy an image."""
    plain = ["--quiet", "--src-tls-verify=false", "--dest-tls-verify=false"]
    subprocess.run([tools.find("skopeo"), "copy", *plain, source, target], check=True)


def bench(folder: Path, arguments: argparse.Namespace) -> list[Line]:
    """Measure everything for which the tools are here."""
    lines: list[Line] = []

    def part(name: str, measure: Callable[[], list[Line]]) -> None:
        tell(f"-- {name}")
        try:
            lines.extend(measure())
        except (Unusable, FileNotFoundError) as error:
            tell(f"left out: {error}")

    rounds = arguments.rounds
    for name in ("registry", "cache"):
        (folder / name).mkdir()
    with LocalRegistry(folder / "registry") as registry:
        copy(f"oci:{base.layout()}:{base.TAG}", f"docker://{registry.address}/python:{base.TAG}")
        reference = f"{registry.address}/python:{base.TAG}"
        environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
        push = [sys.executable, "-m", "sealift", "image", "push", f"{registry.address}/sealift:one"]
        tell("building the image")
        subprocess.run(
            [*push, "--base", reference, "--quiet"], env=environment, cwd=ROOT, check=True, stdout=sys.stderr
        )
        plain = pulled(registry, "sealift:one", folder / "plain")
        copy(f"dir:{folder / 'plain'}", f"oci:{folder / 'layout'}:one")
        subprocess.run(
            [tools.find("umoci"), "unpack", "--image", f"{folder / 'layout'}:one", folder / "bundle"],
            check=True,
        )
        files = folder / "bundle" / "rootfs"
        part("build and push", lambda: with_buildah(folder, registry, files, rounds))
    part("a model's layer", lambda: layering(folder, arguments.mib, rounds))
    part("a layer's way", lambda: sent(folder, arguments.mib))
    part("cold starts", lambda: starting(folder, plain, arguments.model, rounds))
    part("memory", lambda: remembering(folder, plain))
    return lines


def with_buildah(folder: Path, registry: LocalRegistry, files: Path, rounds: int) -> list[Line]:
    """Return the lines of the part that needs buildah."""
    tools.find("buildah")
    return pushing(folder, registry, files, rounds)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="one round, and a small model for the cold starts"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mib", type=int, default=1024, help="of the model that becomes a layer")
    parser.add_argument("--model", type=int, default=250, help="megabytes of the model of the cold starts")
    parser.add_argument("--json", type=Path, help="where to write the table's lines")
    parser.add_argument(
        "--folder", type=Path, help="where to write some 5 GiB; default: the temporary folder"
    )
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.model = 1, min(arguments.model, 100)
    if why := tools.obstacle():
        raise SystemExit(f"nothing is measured here: {why}")
    begun, load = time.strftime("%Y-%m-%d %H:%M"), os.getloadavg()
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="sealift-bench-") as name:
        lines = bench(Path(name), arguments)
    print(f"{begun}, {machine()}; load when it began {load[0]:.1f}, medians of {arguments.rounds} rounds\n")
    rows = [HEADINGS, tuple("---" for _ in HEADINGS), *(line.cells() for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    for row in rows:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
    if arguments.json:
        document = [dict(zip(HEADINGS, line.cells(), strict=True)) for line in lines]
        arguments.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
