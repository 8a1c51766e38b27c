"""The stack: the Lambdas' zip, the template with its references filled in, and its way through CloudFormation.

The same functions serve AWS and the local cloud. What differs, who translates the SAM template, is an argument.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import shutil
import sys
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pipeline import aws, resources
from pipeline.errors import InvalidInput, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pipeline.aws import Clients

LAMBDA_PACKAGES = ("pipeline", "tasks")
LIBRARIES = ("isal",)
"""Packages that the tasks import and Lambda's Python has not."""
LEFT_OUT = ("pipeline/local", "pipeline/cli", "pipeline/data", "__pycache__")
"""What no task imports: the local cloud and the command line."""

PLAIN, WITH_CODE = ".build/lambda", ".build/lambda-archive"
"""The template's CodeUri of the tasks, and of those that put code/ into archives: these carry the runtime too."""
RUNTIME = "pipeline/data/runtime"
"""Where those find it (`pipeline.resources`)."""

NAME = "sealift"
"""What a stack is called where nobody says otherwise."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Of every zip entry, so that the same code gives the same bytes and CloudFormation sees no change."""


@dataclass(frozen=True, slots=True)
class Code:
    """The Lambdas' code as one zip."""

    body: bytes

    @property
    def key(self) -> str:
        """A key that changes when the content does."""
        return f"lambda/{hashlib.sha256(self.body).hexdigest()[:32]}.zip"


def zip_files(files: Mapping[str, bytes]) -> bytes:
    """Return a zip of `files`, the same bytes for the same content."""
    buffer = BytesIO()
    # At level 1, because the runtime is nine megabytes and this happens whenever the local cloud starts.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name], compresslevel=1)
    return buffer.getvalue()


def libraries_here() -> dict[str, bytes]:
    """Return the files of `LIBRARIES` as they are installed: for a Python like this one, on a machine like this one."""
    files = {}
    for name in LIBRARIES:
        for file in importlib.metadata.files(name) or []:
            if file.parts[0] == name and "__pycache__" not in file.parts:
                files[file.as_posix()] = Path(str(file.locate())).read_bytes()
    return files


def packages(libraries: Mapping[str, bytes]) -> dict[str, Code]:
    """Return the Lambdas' zips by the CodeUri that stands for each in the template.

    Args:
        libraries: the files of `LIBRARIES`, for the Python that runs the tasks.

    Raises:
        InvalidInput: the runtime has not been built.
    """
    tasks = {**libraries, **_task_files()}
    own = {f"inference/{name}": resources.inference() / name for name in resources.CODE}
    runtime = resources.runtime_files(resources.runtime())
    data = own | {f"{RUNTIME}/{name}": path for name, path in runtime.items()}
    carried = {name: path.read_bytes() for name, path in data.items()}
    return {PLAIN: Code(zip_files(tasks)), WITH_CODE: Code(zip_files({**tasks, **carried}))}


def _task_files() -> dict[str, bytes]:
    top = resources.tasks().parent
    files = {}
    for package_name in LAMBDA_PACKAGES:
        for path in _sources(top / package_name):
            name = path.relative_to(top).as_posix()
            if not any(part in name for part in LEFT_OUT):
                files[name] = path.read_bytes()
    return files


def _sources(folder: Path) -> Iterator[Path]:
    return folder.rglob("*.py")


def resolve(
    template: dict[str, Any], *, bucket: str, keys: Mapping[str, str], definition: dict[str, Any]
) -> dict[str, Any]:
    """Return the template with local paths replaced: CodeUri by a zip's place in S3, DefinitionUri by the text.

    Args:
        template: as it is in the file.
        bucket: where the zips are.
        keys: their keys, by the CodeUri that each replaces.
        definition: of the state machine.
    """
    resolved = {**template, "Resources": dict(template["Resources"])}

    def placed(properties: dict[str, Any]) -> dict[str, Any]:
        return {**properties, "CodeUri": {"Bucket": bucket, "Key": keys[properties["CodeUri"]]}}

    resolved["Globals"] = {**template["Globals"], "Function": placed(template["Globals"]["Function"])}
    for name, resource in template["Resources"].items():
        if "CodeUri" in resource.get("Properties", {}):
            resolved["Resources"][name] = {**resource, "Properties": placed(resource["Properties"])}
        if resource["Type"] == "AWS::Serverless::StateMachine":
            properties = {
                key: value for key, value in resource["Properties"].items() if key != "DefinitionUri"
            }
            resolved["Resources"][name] = {**resource, "Properties": {**properties, "Definition": definition}}
    return resolved


def deploy(
    clients: Clients, *, name: str, body: str, parameters: Mapping[str, str], wait: Callable[[str], None]
) -> dict[str, str]:
    """Create the stack and return its outputs.

    Args:
        clients: of the account.
        name: the stack's name.
        body: the template as text.
        parameters: values for the template's parameters; the others keep their defaults.
        wait: blocks until the stack of that name is complete.
    """
    clients.cloudformation.create_stack(
        StackName=name,
        TemplateBody=body,
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    wait(name)
    return outputs(clients, name)


def outputs(clients: Clients, name: str) -> dict[str, str]:
    """Return the outputs of a stack by name.

    Raises:
        InvalidInput: there is no such stack in this account and region.
    """
    try:
        stack = clients.cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if aws.code(error) != "ValidationError" or "does not exist" not in aws.text(error):
            raise
        seen, fix = (
            f"no stack {name!r} in this account and region",
            "check --stack, AWS_PROFILE and AWS_REGION",
        )
        problem = Problem("NoStack", seen, "a stack that is deployed", fix)
        raise InvalidInput("command line", [problem]) from error
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def _lay_out(top: Path) -> None:
    """Write the Lambdas' own code as files, where the template's CodeUris point for `sam deploy`.

    The libraries come beside it, for Lambda's Python and not for this one: `make package` installs them.
    """
    for place, code in packages({}).items():
        folder = top / place
        if folder.exists():
            shutil.rmtree(folder)
        with zipfile.ZipFile(BytesIO(code.body)) as archive:
            archive.extractall(folder)


if __name__ == "__main__":
    _lay_out(Path(sys.argv[1]))
