"""Container profiles: images per region, and the environment of the model server."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import limits
from pipeline.errors import InvalidInput
from pipeline.planning import deployment_request, plan, request_fields
from pipeline.sizing import images, instance_types
from pipeline.sizing.images import CUSTOM, LLAMA_CPP, PROFILES, PYTORCH, Profile
from tests.unit.conftest import LLAMA_1B

if TYPE_CHECKING:
    from pipeline.state_data.request_types import StackDefaults
    from tests.unit.conftest import FactsMaker

ARCHIVE = {"bucket": "uploads", "key": "models/harbour/model.tar.gz"}
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/own:1"
EACH = pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)


def settings_for(profile: Profile) -> dict[str, Any]:
    """Return the fields of an input that asks for a profile."""
    return {"container": profile.name, **({"image_uri": IMAGE} if profile is CUSTOM else {})}


def problems_of(defaults: StackDefaults, **fields: Any) -> list[str]:
    """Return the names of what is wrong with an input."""
    with pytest.raises(InvalidInput) as refusal:
        deployment_request.request({"archive": ARCHIVE, **fields}, None, defaults)
    return [problem.error for problem in refusal.value.problems]


@pytest.mark.parametrize(
    ("region", "uri"),
    [
        pytest.param(
            "us-east-1",
            "763104351884.dkr.ecr.us-east-1.amazonaws.com/"
            "pytorch-inference:2.0.0-cpu-py310-ubuntu20.04-sagemaker",
            id="us-east-1",
        ),
        pytest.param(
            "eu-south-1",
            "692866216735.dkr.ecr.eu-south-1.amazonaws.com/"
            "pytorch-inference:2.0.0-cpu-py310-ubuntu20.04-sagemaker",
            id="a region with a registry of its own",
        ),
        pytest.param(
            "cn-north-1",
            "727897471807.dkr.ecr.cn-north-1.amazonaws.com.cn/"
            "pytorch-inference:2.0.0-cpu-py310-ubuntu20.04-sagemaker",
            id="China has a domain and a registry of its own",
        ),
    ],
)
def test_an_image_is_pulled_from_the_endpoints_region(region: str, uri: str) -> None:
    """The image that the checklist names, in each region."""
    assert PYTORCH.image_uri(region) == uri


def test_the_image_is_one_that_the_input_would_take() -> None:
    """What the default writes, a person may write too."""
    problems: list[Any] = []
    check = request_fields.EXECUTION_INPUT.fields["image_uri"].check
    check.parse(PYTORCH.image_uri("ap-southeast-1"), "image_uri", problems)

    assert problems == []


def test_one_worker_and_time_to_load() -> None:
    """Two workers are two copies of the model; 60 s to load starts a slow model over for ever."""
    environment = images.environment(PYTORCH, {})

    assert environment["SAGEMAKER_MODEL_SERVER_WORKERS"] == "1"
    assert environment["TS_DEFAULT_WORKERS_PER_MODEL"] == "1"
    assert int(environment["SAGEMAKER_MODEL_SERVER_TIMEOUT"]) >= limits.STARTUP_S.value


def test_java_does_not_take_what_the_host_has() -> None:
    """Its heap is planned with: it begins with a size of its own, and collects what requests leave."""
    options = images.environment(PYTORCH, {})["JAVA_TOOL_OPTIONS"].split()

    assert any(option.startswith("-Xms") for option in options)
    assert any(option.startswith("-Xmn") for option in options)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(2048, "2048", id="integer"),
        pytest.param(0.7, "0.7", id="float"),
        pytest.param(1.0, "1", id="whole float"),
        pytest.param(0, "0", id="zero"),
    ],
)
def test_a_setting_becomes_a_variable(value: float, text: str) -> None:
    """SEALIFT_ and the setting's name; 1 and 1.0 are written alike, so that they give one name."""
    assert images.environment(PYTORCH, {"top_p": value})["SEALIFT_TOP_P"] == text


@EACH
def test_the_environment_is_within_sagemakers_bounds(profile: Profile) -> None:
    """At most 100 entries, keys and values of at most 1024 characters; keys are identifiers."""
    settings = {name: field.default or 1 for name, field in request_fields.INFERENCE.fields.items()}
    named = {variable for name in settings for variable in (profile.settings[name] or "").split()}
    environment = images.environment(profile, settings)

    assert set(environment) == {*profile.environment, *named}
    assert len(environment) <= limits.ENVIRONMENT_ENTRIES.value
    assert all(name.isidentifier() and len(name) + len(value) < 1024 for name, value in environment.items())


@EACH
def test_every_profile_takes_every_setting(profile: Profile) -> None:
    """A setting that an image has no name for is said to have none, and not lost in silence."""
    assert set(profile.settings) == {
        *request_fields.INFERENCE.fields,
        "timeout_s",
        "max_waiting",
        "stream_timeout_s",
        "checkpoints",
        "flash_attn",
    }
    lacking = {name for name, variable in profile.settings.items() if variable is None}
    assert (
        lacking
        == {
            "pytorch": {
                *("n_parallel", "max_waiting", "stream_timeout_s", "checkpoints"),
                *("n_gpu_layers", "flash_attn", "cache_type"),
            },
            "llama-cpp": {"timeout_s", "max_waiting", "stream_timeout_s"},
            "custom": set(),
        }[profile.name]
    )


def test_an_answer_ends_within_the_time_that_was_asked_for(facts_with: FactsMaker) -> None:
    """The container is told the shorter of what was asked and what the platform gives a call."""
    made = [plan.plan(facts_with(timeout_s=seconds)) for seconds in (20, 300)]
    told = [one.requests.create_model["PrimaryContainer"]["Environment"] for one in made]

    assert [environment["SEALIFT_TIMEOUT_S"] for environment in told] == ["20", "60"]


def test_memory_for_saved_prompts_is_in_the_fit(facts_with: FactsMaker) -> None:
    """What a deployment keeps of prompts it pays for in memory."""
    less, more = (plan.plan(facts_with(inference={"prefix_cache_mb": size})) for size in (0, 512))

    assert more.fit["memory_bytes"] - less.fit["memory_bytes"] >= 512 * limits.MiB


@EACH
def test_every_profile_answers_chat_requests(profile: Profile) -> None:
    """The smoke test asks with messages, so that it works with any of them."""
    assert "messages" in profile.requests


def test_the_llama_cpp_image_gets_its_own_options() -> None:
    """SM_LLAMA_CPP_X_Y becomes the option --x-y; one request at a time where nothing else is said."""
    environment = images.environment(LLAMA_CPP, {"n_ctx": 2048, "temperature": 0.7})

    assert (environment["SM_LLAMA_CPP_CTX_SIZE"], environment["SM_LLAMA_CPP_TEMP"]) == ("2048", "0.7")
    assert environment["SM_LLAMA_CPP_PARALLEL"] == "1"
    assert environment["SM_LLAMA_CPP_METRICS"] == "true"


def test_each_slot_has_the_context_that_was_asked_for() -> None:
    """llama-server divides --ctx-size among its slots; our own adapter is told the context of one."""
    settings = {"n_ctx": 2048, "n_parallel": 3}
    theirs, ours = images.environment(LLAMA_CPP, settings), images.environment(CUSTOM, settings)

    assert (theirs["SM_LLAMA_CPP_CTX_SIZE"], theirs["SM_LLAMA_CPP_PARALLEL"]) == ("6144", "3")
    assert (ours["SEALIFT_N_CTX"], ours["SEALIFT_N_PARALLEL"]) == ("2048", "3")


@pytest.mark.parametrize("profile", [LLAMA_CPP, CUSTOM], ids=lambda profile: profile.name)
def test_a_server_keeps_the_checkpoints_that_the_fit_counts(profile: Profile) -> None:
    """By default llama-server keeps 32 of each slot, which no fit has room for."""
    assert profile.environment["LLAMA_ARG_CTX_CHECKPOINTS"] == str(profile.serving.checkpoints) == "1"
    assert images.environment(profile, {"checkpoints": 0})["LLAMA_ARG_CTX_CHECKPOINTS"] == "0"


def test_torchserve_is_told_of_no_slots() -> None:
    """It answers one request at a time, and has a queue of its own."""
    environment = images.environment(PYTORCH, {"n_parallel": 4, "max_waiting": 8, "checkpoints": 1})

    assert environment == PYTORCH.environment
    assert not PYTORCH.has_slots


@pytest.mark.parametrize(
    ("profile", "whose", "code"),
    [
        pytest.param(PYTORCH, "sealift", "sealift", id="the prebuilt image needs code in the archive"),
        pytest.param(LLAMA_CPP, "sealift", "none", id="llama-server is in the image"),
        pytest.param(CUSTOM, "sealift", "none", id="so is our server"),
        pytest.param(CUSTOM, "archive", "archive", id="which runs what an archive brings, if asked"),
    ],
)
def test_what_goes_into_the_archive(profile: Profile, whose: str, code: str) -> None:
    """A GGUF-only archive is enough where the image holds the server, and what else it brought is left out."""
    assert profile.code(whose) == code


# ----------------------------------------------------------------------- in a request


@EACH
def test_a_deployment_names_its_container(facts_with: FactsMaker, profile: Profile) -> None:
    """Image and environment of the model are the profile's."""
    made = plan.plan(facts_with(**settings_for(profile)))
    container = made.requests.create_model["PrimaryContainer"]

    assert container["Image"] == made.image_uri == (profile.image_uri("us-east-1") or IMAGE)
    assert container["Environment"][profile.settings["n_ctx"]] == "2048"


def test_a_smaller_server_leaves_more_room(facts_with: FactsMaker) -> None:
    """A model that needs 2048 MB beside TorchServe may do with less beside our own server."""
    prebuilt, custom = (plan.plan(facts_with(**settings_for(profile))) for profile in (PYTORCH, CUSTOM))

    assert custom.fit["memory_bytes"] < prebuilt.fit["memory_bytes"]
    assert custom.memory_mb <= prebuilt.memory_mb


def test_an_image_of_your_own_need_not_be_named(defaults: StackDefaults) -> None:
    """The stack's repository may have ours, which only a look into it tells."""
    request = deployment_request.request({"archive": ARCHIVE, "container": "custom"}, None, defaults)

    assert (request.container, request.image_uri) == ("custom", None)


def test_the_stacks_image_belongs_to_the_stacks_container(defaults: StackDefaults) -> None:
    """A deployment with another container must not get it."""
    defaults |= {"container": "custom", "image_uri": IMAGE}

    asked = {name: deployment_request.request({"archive": ARCHIVE, **fields}, None, defaults)
             for name, fields in {"same": {}, "other": {"container": "pytorch"}}.items()}  # fmt: skip

    assert {name: request.image_uri for name, request in asked.items()} == {"same": IMAGE, "other": None}


def test_code_of_an_archive_goes_with_an_image_that_runs_it(defaults: StackDefaults) -> None:
    """llama-server runs no Python: whoever asks for his own code there would wonder where it went."""
    defaults["allow_archive_code"] = "true"

    assert problems_of(defaults, container="llama-cpp", code="archive") == ["CodeNotRun"]


# ----------------------------------------------------------------------- support


def test_support_that_ended_is_said_with_what_to_take_instead(facts_with: FactsMaker) -> None:
    """The default image is past its date; the plan says so, and names one that is not."""
    (note,) = plan.plan(replace(facts_with(), today=date(2026, 1, 2))).notes

    assert "2024-03-15" in note
    assert "'llama-cpp'" in note


@pytest.mark.parametrize(
    ("today", "told"),
    [
        pytest.param(date(2027, 8, 21), False, id="its last day"),
        pytest.param(date(2027, 8, 22), True, id="the day after"),
    ],
)
def test_support_lasts_until_the_end_of_its_last_day(today: date, *, told: bool) -> None:
    """The date is the day on which it ends."""
    assert any("ended" in note for note in images.notes(LLAMA_CPP, today)) is told


def test_an_alternative_that_is_past_its_own_date_is_not_recommended() -> None:
    """Advice has a date too."""
    (note,) = images.notes(PYTORCH, date(2028, 1, 1))

    assert "llama-cpp" not in note


@EACH
def test_what_is_known_against_a_profile_is_told(profile: Profile) -> None:
    """Limits on serverless are part of the plan."""
    told = images.notes(profile, date(2024, 1, 1))

    assert len(told) == len(profile.limits)
    assert all(limit in note for limit, note in zip(profile.limits, told, strict=True))


# -- what lies beside a model

BESIDE: list[dict[str, Any]] = [
    {**LLAMA_1B, "kind": "draft", "path": "draft.gguf"},
    {"kind": "lora", "path": "lora-a.gguf", "tensor_bytes": 1, "n_tensors": 2},
    {"kind": "lora", "path": "lora-b.gguf", "tensor_bytes": 1, "n_tensors": 2},
    {"kind": "mmproj", "path": "mmproj.gguf", "tensor_bytes": 1, "n_tensors": 1},
]
NAMED = {
    "SM_LLAMA_CPP_MODEL": "/opt/ml/model/model.gguf",
    "SM_LLAMA_CPP_MMPROJ": "/opt/ml/model/mmproj.gguf",
    "SM_LLAMA_CPP_LORA": "/opt/ml/model/lora-a.gguf,/opt/ml/model/lora-b.gguf",
    "SM_LLAMA_CPP_MODEL_DRAFT": "/opt/ml/model/draft.gguf",
    "SM_LLAMA_CPP_SPEC_TYPE": "draft-simple",
}


@pytest.mark.parametrize("folder", ["", "m/"])
def test_awss_image_is_told_every_file(folder: str) -> None:
    """It would take any of them for the model; one in a folder has moved to the root."""
    model = {
        "path": f"{folder}model.gguf",
        "companions": [{**one, "path": f"{folder}{one['path']}"} for one in BESIDE],
    }

    assert images.files(LLAMA_CPP, model, relocate_model=bool(folder)) == NAMED


@EACH
def test_a_model_alone_is_named_too(profile: Profile) -> None:
    """To the image that would take the first file that it finds; ours finds them by their names."""
    named = {"SM_LLAMA_CPP_MODEL": "/opt/ml/model/model.gguf"} if profile is LLAMA_CPP else {}

    assert images.files(profile, {"path": "model.gguf"}) == named


@pytest.mark.parametrize(
    ("platform", "name"),
    [
        pytest.param(instance_types.X86_64, "llama-cpp:server-sagemaker-cpu-v1", id="x86-64"),
        pytest.param(instance_types.ARM64, "llama-cpp-arm64:server-sagemaker-cpu-v1", id="arm64"),
        pytest.param(instance_types.CUDA, "llama-cpp:server-sagemaker-cuda-v1", id="GPUs"),
    ],
)
def test_awss_llama_cpp_image_is_there_for_each_platform(platform: str, name: str) -> None:
    """Each is known by its own name again, for that platform alone; the prebuilt one is for x86-64."""
    uri = LLAMA_CPP.image_uri("us-east-1", platform)

    assert uri == f"763104351884.dkr.ecr.us-east-1.amazonaws.com/{name}"
    assert images.of_aws(uri) is LLAMA_CPP
    assert images.platforms(LLAMA_CPP, uri, None) == (platform,)
    assert (PYTORCH.image_uri("us-east-1", platform) is None) == (platform != instance_types.X86_64)


@pytest.mark.parametrize(
    ("profile", "image_uri", "instance_type", "platforms"),
    [
        pytest.param(LLAMA_CPP, None, "ml.g5.xlarge", instance_types.PLATFORMS, id="AWS's own has all"),
        pytest.param(PYTORCH, None, "ml.g5.xlarge", ("x86_64",), id="TorchServe has one"),
        pytest.param(LLAMA_CPP, "1.dkr/mine:1", "ml.g5.xlarge", ("cuda",), id="a copy is for the type"),
        pytest.param(LLAMA_CPP, "1.dkr/mine:1", None, ("x86_64",), id="or for what most have"),
        pytest.param(CUSTOM, "1.dkr/mine:1", "ml.c8g.large", ("arm64",), id="ours is for the CPUs"),
        pytest.param(CUSTOM, "1.dkr/mine:1", "ml.g5.xlarge", ("x86_64",), id="and not for GPUs"),
        pytest.param(CUSTOM, "1.dkr/mine:1-cuda", None, ("cuda",), id="but by its tag"),
        pytest.param(
            CUSTOM, "1.dkr/cuda13/mine@sha256:1", "ml.g5.xlarge", ("cuda",), id="or by its repository"
        ),
        pytest.param(CUSTOM, "1.dkr/barracuda:1", None, ("x86_64",), id="as a word"),
        pytest.param(CUSTOM, "1.dkr/my-cudart:1", None, ("x86_64",), id="of its own"),
        pytest.param(PYTORCH, None, None, ("x86_64",), id="TorchServe's own is not named"),
    ],
)
def test_an_image_that_is_named_is_for_one_platform(
    profile: Profile, image_uri: str | None, instance_type: str | None, platforms: tuple[str, ...]
) -> None:
    """By its name, or by the type that it is to run on."""
    assert images.platforms(profile, image_uri, instance_type) == platforms


def test_an_image_of_ours_finds_them_itself() -> None:
    """By the same names."""
    assert images.files(CUSTOM, {"path": "model.gguf", "companions": BESIDE}) == {}


def test_what_loads_them_and_what_does_not() -> None:
    """The four functions have no way to."""
    assert {name for name, profile in PROFILES.items() if profile.companions} == {"llama-cpp", "custom"}


def test_a_plan_names_them_and_counts_them(facts_with: FactsMaker) -> None:
    """In the container's environment, in the arithmetic, and to whoever reads it."""
    facts = facts_with(container="llama-cpp")
    alone, made = (
        plan.plan(one) for one in (facts, replace(facts, model={**facts.model, "companions": BESIDE}))
    )

    there = made.requests.create_model["PrimaryContainer"]["Environment"]
    before = alone.requests.create_model["PrimaryContainer"]["Environment"]
    assert there == {**before, **NAMED, "SM_LLAMA_CPP_MODEL": f"/opt/ml/model/{facts.model['path']}"}
    assert made.names.model != alone.names.model
    assert "draft model" in made.arithmetic
    assert [note for note in made.notes if "beside the model" in note][2].startswith("lora-b.gguf is loaded")
