"""CheckArchive: refuses at once what cannot become an endpoint, and says everything that is wrong with it.

The execution's input first, then the archive's layout from its first megabytes, then every byte of it, unless S3
verifies what `sealift pack` wrote. Nothing has been created when this state fails.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypedDict

from pipeline import model_source, naming, package_files, payload, settings
from pipeline.archive.build import assembly, record
from pipeline.archive.checks.checksum import check
from pipeline.archive.s3 import bare
from pipeline.archive.s3.sources import S3Source
from pipeline.aws import lambda_handler
from pipeline.aws.permissions import (
    FINDS_IMAGE,
    IMAGE_REPOSITORY_URI,
    RECORDS,
    UPLOAD_BUCKET,
    UPLOADS,
    allow,
)
from pipeline.errors import InvalidArchive, Problem
from pipeline.hosting import INSTANCE
from pipeline.plain import plain
from pipeline.planning import (
    archive_rules,
    container_choice,
    deployment_request,
    question_form,
    request_sources,
)
from pipeline.planning.container_choice import ContainerChoice
from pipeline.quality import gate_store, suite, suite_files
from pipeline.rollout import own_image, sidecars
from pipeline.sizing import images
from pipeline.state_data.request_types import StackDefaults

_MOST_NAME: Final = 512
"""Bytes of a text of the header, whose author may write what they like."""

_MOST_NOTE: Final = 512
"""Bytes of a note, of which there are a few."""

if TYPE_CHECKING:
    from pipeline.archive.checks.report import ArchiveReport
    from pipeline.archive.checks.rules import Rules
    from pipeline.aws.clients import Clients
    from pipeline.quality.suite_files import SuiteFile
    from pipeline.state_data.checked_types import CheckedAssembly, CheckEvidence, UploadedArchive
    from pipeline.state_data.quality_types import CheckedSuite
    from pipeline.state_data.request_types import Request


class Event(TypedDict):
    """What was requested, and what the stack says where it does not."""

    input: dict[str, Any]
    """The execution's, as it came."""
    defaults: StackDefaults


class Result(TypedDict):
    """The request, and what is known of the archive."""

    request: Request
    archive: UploadedArchive
    model: dict[str, Any]
    """The model part of the archive report."""
    evidence: CheckEvidence
    assembly: CheckedAssembly
    quality: CheckedSuite | None
    """The suite of the quality gate; None where there is no gate."""


def run(event: Event, clients: Clients) -> Result:
    """Return the request with all its defaults, and what is known of the archive.

    Raises:
        InvalidInput: with every problem of the input and of the deployment.json beside the archive, or of the suite
            that they name; or no image for the container that they name.
        ArchiveNotFound, AccessDenied: when the archive cannot be read.
        InvalidArchive: with every problem of the archive.
    """
    location = deployment_request.archive_location(event["input"])
    beside = sidecars.read(clients.s3, location.bucket, location.key)
    names = request_sources.PlannedNames(sidecar=sidecars.place(location.bucket, location.key))
    asked = deployment_request.request(event["input"], beside, event["defaults"], names)
    served = _served(asked, clients)
    request = served.request
    bucket, questions = event["defaults"]["artifact_bucket"], _suite(request, clients)
    source = S3Source(clients.s3, location.bucket, location.key, location.version_id)
    rules = archive_rules.of(request)
    if source.key.endswith(naming.MODEL_SUFFIX):
        return _with_suite(_bare(source, rules, served, bucket, clients), questions, bucket, clients)
    report = check(source, rules=rules)
    report.require()
    served = _hosted(served, report)
    request = served.request
    packed = _bounded(
        source.name,
        {
            "request": request,
            "archive": {
                "bucket": source.bucket,
                "key": source.key,
                "version_id": source.version_id,
                "etag": source.etag.strip('"'),
                "size": source.size,
                "extracted_bytes": report.extracted_bytes,
                "sha256": report.sha256,
                "format": report.format,
                "last_modified": source.last_modified.strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
            "model": _model(report),
            "evidence": _evidence(report, source.bytes_read, served),
            "assembly": _assembly(report, request, bucket, clients),
            "quality": None,
        },
    )
    return _with_suite(packed, questions, bucket, clients)


def _suite(request: Request, clients: Clients) -> SuiteFile | None:
    """Return the suite of the quality gate, if there is one; its mistakes are told before the archive is read."""
    if request.quality is None:
        return None
    return suite_files.read(clients.s3, request.archive.bucket, request.archive.key, request.quality.suite)


def _with_suite(checked: Result, file: SuiteFile | None, bucket: str, clients: Clients) -> Result:
    """Return what was found with the suite, whose cases the model must be one to be asked."""
    if file is None:
        return checked
    suits = question_form.of(checked["request"], checked["model"])
    cases = suite.parse(file.content, file.place, suits=suits)
    return {**checked, "quality": gate_store.keep_cases(clients.s3, bucket, cases, file.name)}


def _served(request: Request, clients: Clients) -> ContainerChoice:
    """Return the request with the container that serves it; all that follows depends on it, the archive's code too."""
    if container_choice.is_settled(request):
        return ContainerChoice(request)
    own = own_image.wanted(settings.image_repository(), request.instance_type)
    if container_choice.asks_repository(request):
        own = own_image.find(clients.ecr, own)
    return container_choice.choose(request, own)


def _hosted(served: ContainerChoice, report: ArchiveReport) -> ContainerChoice:
    """Return the container as it is on instances, where the model is known to go there; `auto` is the plan's to say."""
    if served.request.hosting != INSTANCE:
        return served
    chosen = container_choice.on_instances(served.request, _model(report))
    return chosen if chosen.note else served


def _bounded(name: str, checked: Result) -> Result:
    """Return what was found, or refuse more of it than an execution's data hold."""
    facts = {"archive": checked["archive"], "model": checked["model"]}
    found = payload.size(facts)
    if found <= payload.FACTS:
        return checked
    files = len(checked["archive"].get("parts", ()))
    seen = (
        f"a model of {files} files, whose versions and ETags"
        if files > 1
        else "a model whose header's figures"
    )
    fix = (
        "merge some of them: llama-gguf-split --merge, then --split --split-max-size 20G"
        if files > 1
        else "convert the model again with llama.cpp's current convert_hf_to_gguf.py"
    )
    raise InvalidArchive(
        name,
        [Problem("TooManyFacts", f"{seen} take {found:,} bytes", f"at most {payload.FACTS:,}", fix)],
    )


def _bare(source: S3Source, rules: Rules, served: ContainerChoice, bucket: str, clients: Clients) -> Result:
    """Return the same of a model that is no archive, by the headers of its files."""
    files = bare.sources(clients.s3, source)
    report = bare.check(files, rules=rules)
    report.require()
    served = _hosted(served, report)
    request = served.request
    kind = images.PROFILES[request.container].code(request.code)
    where = bare.place(report.identity, package_files.code_for(kind), bucket=bucket)
    newest = max(one.last_modified for one in files)
    return _bounded(
        source.name,
        {
            "request": request,
            "archive": {
                "bucket": source.bucket,
                "key": source.key,
                # A split model is all of its files: another version of any of them is another model.
                "version_id": source.version_id if len(files) == 1 else None,
                "etag": source.etag.strip('"') if len(files) == 1 else naming.digest(report.identity, 32),
                "size": report.size,
                "extracted_bytes": report.size,
                "sha256": None,
                "format": report.format,
                "last_modified": newest.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "parts": bare.described_parts(files),
            },
            "model": _model(report),
            "evidence": _evidence(report, report.bytes_read, served),
            "assembly": {
                "way": "place",
                "reason": "the files are handed over as they are",
                **where.to_json(),
                "form": model_source.OBJECT_FORM if where.single else model_source.PREFIX_FORM,
                "code": kind,
                "relocate_model": False,
                "record": None,
            },
            "quality": None,
        },
    )


def _assembly(report: ArchiveReport, request: Request, bucket: str, clients: Clients) -> CheckedAssembly:
    """Return how the archive becomes what is deployed, and write down what AssembleArchive needs for it."""
    kind = images.PROFILES[request.container].code(request.code)
    code = package_files.code_for(kind)
    decision = assembly.decide(report, code, bucket=bucket, relocate_model=request.relocate_model)
    key = f"records/{naming.digest([report.name, report.identity], 40)}.json"
    clients.s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(record.write(report)).encode())
    return {
        **decision.to_json(),
        "form": model_source.ARCHIVE_FORM,
        "code": kind,
        "relocate_model": request.relocate_model,
        "record": key,
    }


def _evidence(report: ArchiveReport, bytes_read: int, served: ContainerChoice) -> CheckEvidence:
    evidence: CheckEvidence = {
        "method": report.method,
        "bytes_read": bytes_read,
        "members": len(report.members),
        "notes": [payload.cut(plain(note), _MOST_NOTE) for note in report.notes],
    }
    if served.note:
        evidence["container"] = served.note
    if served.image_bytes:
        evidence["image_bytes"] = served.image_bytes
    return evidence


def _model(report: ArchiveReport) -> dict[str, Any]:
    if (
        report.model is None
    ):  # an accepted report has a model; this is for the type checker and the impossible
        raise AssertionError(f"{report.name}: accepted without a model")
    facts = report.model.to_json()
    # Nobody needs the names of a split model's files once it was accepted.
    facts.pop("shards", None)
    texts = {name: payload.cut(value, _MOST_NAME) for name, value in facts.items() if isinstance(value, str)}
    return {**facts, **texts, "path": report.model.path}


handler = lambda_handler.Task(
    run,
    may=(
        allow(
            "s3:GetObject",
            "s3:GetObjectVersion",
            on=UPLOADS,
            why="What lies in by-hand/ starts nothing; its deployment is started by hand, with "
            "the service's name.",
        ),
        allow(
            "s3:ListBucket",
            on=UPLOAD_BUCKET,
            why='Without ListBucket, a missing archive reads as "access denied" instead of "not found".',
        ),
        allow("s3:PutObject", on=RECORDS),
        FINDS_IMAGE,
    ),
    environment=((settings.IMAGE_REPOSITORY, IMAGE_REPOSITORY_URI),),
    timeout_s=890,
    memory_mb=1769,  # one whole vCPU: the check is bound by inflating and checksums
    carries_runtime=True,
)
