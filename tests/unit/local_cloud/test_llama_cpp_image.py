"""What AWS's llama.cpp image makes of its environment, of a model's folder and of a path."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_cloud.hosting.containers import llama_cpp_image
from local_cloud.hosting.platform.settings import HostingSettings
from local_cloud.hosting.platform.settings import llama_cpp_image as entry_point

MODEL = "/models/harbour.gguf"


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        pytest.param({}, ["--model", MODEL], id="nothing"),
        pytest.param({"SM_LLAMA_CPP_CTX_SIZE": "2048"}, ["--model", MODEL, "--ctx-size", "2048"], id="value"),
        pytest.param({"SM_LLAMA_CPP_VERBOSE": "True"}, ["--model", MODEL, "--verbose"], id="true"),
        pytest.param({"SM_LLAMA_CPP_VERBOSE": "FALSE"}, ["--model", MODEL], id="false"),
        pytest.param({"SM_LLAMA_CPP_JINJA": ""}, ["--model", MODEL, "--jinja"], id="empty"),
        pytest.param({"SM_LLAMA_CPP_MODEL": "/other.gguf"}, ["--model", "/other.gguf"], id="model"),
        pytest.param({"SM_LLAMA_CPP_MODEL": ""}, ["--model", MODEL], id="no model"),
        pytest.param(
            {"SM_LLAMA_CPP_PORT": "1", "SM_LLAMA_CPP_MODEL_DIR": "/x"}, ["--model", MODEL], id="its own"
        ),
        pytest.param(
            {"SM_LLAMA_CPP_MODEL_URL": "u"}, ["--model", MODEL, "--model-url", "u"], id="longer name"
        ),
        pytest.param({"PATH": "/bin", "LLAMA_ARG_THREADS": "2"}, ["--model", MODEL], id="others"),
        pytest.param(
            {"SM_LLAMA_CPP_TEMP": "0", "SM_LLAMA_CPP_PARALLEL": "1"},
            ["--model", MODEL, "--temp", "0", "--parallel", "1"],
            id="their order",
        ),
    ],
)
def test_the_environment_becomes_options(environ: dict[str, str], wanted: list[str]) -> None:
    """As the image's entry point does it, which knows no option by name but three."""
    assert llama_cpp_image.arguments(environ, MODEL) == wanted


def test_without_a_model_there_is_no_option_for_one() -> None:
    """The image warns and starts llama-server all the same."""
    assert llama_cpp_image.arguments({"SM_LLAMA_CPP_THREADS": "1"}, None) == ["--threads", "1"]


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ("/ping", "/health"),
        ("/ping?a=/invocations", "/health?a=/invocations"),
        ("/invocations", "/v1/chat/completions"),
        ("/v1/embeddings", "/v1/embeddings"),
        ("/ping/", "/ping/"),
        ("/", "/"),
    ],
)
def test_two_paths_are_mapped(asked: str, wanted: str) -> None:
    """Each as a whole; the others reach llama-server as they are."""
    assert llama_cpp_image.path_of(asked) == wanted


def test_one_setting_says_which_server_stands_for_the_image() -> None:
    """The real one, or the imitation where none was built; no other image is concerned."""
    imitated, real = entry_point(None), entry_point(Path("/built/llama-server"))

    assert imitated[1].endswith("/llama_server.py")
    assert real[1].endswith("/llama_cpp_image.py")
    assert real[2:] == ("/built/llama-server",)
    assert HostingSettings(llama_server=imitated).behind_llama_cpp == (
        "an imitation stands for AWS's llama.cpp image; `make llama-server` builds the real server"
    )
    settings = HostingSettings(llama_server=real)
    assert settings.behind_llama_cpp == "the real llama-server stands for AWS's llama.cpp image"
    assert settings.command_for("1.dkr.ecr.us-east-1.amazonaws.com/llama-cpp:server-sagemaker-cpu-v1") == real
    assert settings.command_for("1.dkr.ecr.us-east-1.amazonaws.com/our-llama-cpp:1") == settings.command
    arm = "1.dkr.ecr.us-east-1.amazonaws.com/llama-cpp-arm64:server-sagemaker-cpu-v1"
    assert settings.command_for(arm, "ml.c8g.large") == real


def test_a_cuda_image_is_the_real_server_behind_the_memory_of_its_type() -> None:
    """The imitation has no GPUs to speak of."""
    cuda = "1.dkr.ecr.us-east-1.amazonaws.com/llama-cpp:server-sagemaker-cuda-v1"
    real = entry_point(Path("/built/llama-server"))
    command = HostingSettings(llama_server=real).command_for(cuda, "ml.g5.xlarge")

    assert command[:2] == real[:2]
    assert command[3].endswith("/cuda_server.py")
    assert command[4:] == ("ml.g5.xlarge", "", "/built/llama-server")
    less = HostingSettings(llama_server=real).command_for(cuda, "ml.g5.xlarge", 0.5)
    assert less[4:] == ("ml.g5.xlarge", "0.5", "/built/llama-server")
    imitated = entry_point(None)
    assert HostingSettings(llama_server=imitated).command_for(cuda, "ml.g5.xlarge") == imitated
