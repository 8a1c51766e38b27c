"""What the prebuilt image and its toolkit ask of the code in `code/`."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from inference import inference
from pipeline import package_files

HERE = Path(inference.__file__).parent
SOURCES = sorted(HERE.glob("*.py"))
ALLOWED = {"llama_cpp", "numpy", "sagemaker_inference"}
OF_THE_SERVERS = {"server.py", "sealift_contract.py"}
"""What no archive has: TorchServe stands in their place."""
NEIGHBOURS = {name.removesuffix(".py") for name in package_files.CODE if name.startswith("sealift_")}


def _module(name: str) -> Any:
    """Import inference.py as the toolkit does: flat, under any name."""
    spec = importlib.util.spec_from_file_location(name, HERE / "inference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    neighbours = {one: sys.modules.pop(one) for one in [*sys.modules] if one.startswith("sealift_")}
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        for one in [one for one in sys.modules if one == name or one.startswith("sealift_")]:
            del sys.modules[one]
        sys.modules.update(neighbours)
    return module


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_source_is_python_3_10(path: Path) -> None:
    """The prebuilt image runs Python 3.10, so nothing newer may be written."""
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_source_imports_only_what_the_image_has(path: Path) -> None:
    """Everything else would have to travel in the archive; nothing of ours is imported, not even lazily."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "flat files have no package to be relative to"
            imported.add((node.module or "").partition(".")[0])

    own = {"sealift_contract"} if path.name in OF_THE_SERVERS else set()
    assert imported <= ALLOWED | NEIGHBOURS | own | set(sys.stdlib_module_names)


def test_all_sources_are_looked_at() -> None:
    """The two tests above see the files that travel, and every module travels but the server's."""
    names = {path.name for path in SOURCES}

    assert names - {*OF_THE_SERVERS, "__init__.py"} == {
        name for name in package_files.CODE if name.endswith(".py")
    }
    assert {"inference.py", *OF_THE_SERVERS} <= names


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        pytest.param("model_fn", 1, id="model_fn"),
        pytest.param("input_fn", 2, id="input_fn"),
        pytest.param("predict_fn", 2, id="predict_fn"),
        pytest.param("output_fn", 2, id="output_fn"),
    ],
)
def test_functions_have_the_toolkits_signatures(name: str, arguments: int) -> None:
    """The toolkit counts parameters: those of the contract, or one more for the context."""
    parameters = inspect.signature(getattr(inference, name)).parameters

    assert len(parameters) in (arguments, arguments + 1)


def test_refusal_is_a_toolkit_error_where_there_is_a_toolkit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The prebuilt image answers with a status of ours only for exceptions of its own base class."""

    class BaseInferenceToolkitError(Exception):
        def __init__(self, status_code: int, message: str, phrase: str) -> None:
            self.status_code, self.message, self.phrase = status_code, message, phrase

    package, errors = ModuleType("sagemaker_inference"), ModuleType("sagemaker_inference.errors")
    vars(errors)["BaseInferenceToolkitError"] = BaseInferenceToolkitError
    monkeypatch.setitem(sys.modules, "sagemaker_inference", package)
    monkeypatch.setitem(sys.modules, "sagemaker_inference.errors", errors)

    deployed = _module("with_toolkit")
    with pytest.raises(BaseInferenceToolkitError) as caught:
        deployed.input_fn(b"{}", None)

    assert isinstance(caught.value, deployed.BadRequest)
    assert (caught.value.status_code, caught.value.phrase) == (400, "Bad Request")
    assert json.loads(caught.value.message)["error"]["code"] == "missing_field"


class _Context:
    """The part of the toolkit's context that takes a status."""

    def __init__(self) -> None:
        self.status: tuple[int, str] | None = None

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        assert idx == 0
        self.status = (code, phrase)


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        pytest.param(b"{}", None, (400, "Bad Request"), id="bad-request"),
        pytest.param(b"a", "text/csv", (415, "Unsupported Media Type"), id="content-type"),
    ],
)
def test_refusal_goes_through_the_context_without_a_traceback(
    body: bytes, content_type: str | None, status: tuple[int, str]
) -> None:
    """With a context nothing is raised: the toolkit would append a traceback to the answer."""
    context = _Context()

    data = inference.input_fn(body, content_type, context)
    prediction = inference.predict_fn(data, None, context)  # type: ignore[arg-type]
    answer, kind = inference.output_fn(prediction, "application/json")

    assert context.status == status
    assert kind == "application/json"
    assert set(json.loads(answer)) == {"error"}


def test_refusal_of_the_model_goes_through_the_context_too() -> None:
    """What only shows with the model at hand, such as a prompt that is too long, is no exception either."""
    context = _Context()
    model = inference.Model(
        engine=None,  # type: ignore[arg-type]
        settings=inference.Settings(),
        name="bare",
        context=3,
        tokenize=lambda text: [1] * len(text),
        chat=None,  # type: ignore[arg-type]
    )
    data = inference.input_fn(b'{"prompt": "abcd"}', None, context)
    answer, _ = inference.output_fn(inference.predict_fn(data, model, context), None)

    assert context.status == (400, "Bad Request")
    assert json.loads(answer)["error"]["code"] == "context_length_exceeded"


def test_requirements_are_pinned_and_can_load_current_models() -> None:
    """Every line is one exact version, and llama-cpp-python is one that knows Gemma 3 (0.3.8 and later)."""
    text = (HERE / "requirements.txt").read_text(encoding="utf-8").replace("\\\n", "")
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    pins = dict(pin.split("==") for pin, *_ in lines)

    assert tuple(map(int, pins["llama-cpp-python"].split("."))) >= (0, 3, 8)
    assert set(pins) >= {"numpy"}
    assert all(len(hashes) == 1 and hashes[0].startswith("--hash=sha256:") for _, *hashes in lines)


def test_a_model_that_did_not_load_answers_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An exception in the prebuilt image's worker starts it over for ever, and leaves every request unanswered."""
    context = _Context()
    model = inference.model_fn(str(tmp_path), context)
    request = inference.input_fn('{"prompt": "x"}', "application/json", context)
    body, content_type = inference.output_fn(inference.predict_fn(request, model, context), None)

    assert context.status == (500, "Internal Server Error")
    assert content_type == "application/json"
    error = json.loads(body)["error"]
    assert (error["type"], error["code"]) == ("server_error", "load_failed")
    assert error["message"].startswith("the model could not be loaded: LoadError: no model in ")
    assert error["message"] in capsys.readouterr().err


def test_a_wrong_request_to_it_is_still_the_callers_fault(tmp_path: Path) -> None:
    """What is wrong with a request does not depend on the model."""
    context = _Context()
    model = inference.model_fn(str(tmp_path), context)
    refused = inference.predict_fn(inference.input_fn("{}", None, context), model, context)

    assert isinstance(refused, inference.BadRequest)
    assert context.status == (400, "Bad Request")


def test_without_a_context_a_failed_load_is_an_exception(tmp_path: Path) -> None:
    """So server.py learns of it, and tells it in /ping."""
    with pytest.raises(inference.LoadError, match="no model in"):
        inference.model_fn(str(tmp_path))
