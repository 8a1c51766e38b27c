"""The deployment request: three sources, one parser, every mistake at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import json_codec, payload
from pipeline.errors import InvalidInput, Problem
from pipeline.planning import deployment_request, request_fields, request_sources
from pipeline.state_data.request_types import (
    ArchiveLocation,
    Canary,
    Inference,
    Request,
    Scaling,
    StackDefaults,
)
from tests.unit.conftest import DEFAULTS

if TYPE_CHECKING:
    from tests.unit.conftest import Requests

ARCHIVE = {"bucket": "uploads", "key": "models/harbour/model.tar.gz"}
EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "execution_inputs").glob("*.json"))
IMAGE = "123456789012.dkr.ecr.{region}.amazonaws.com/llama:1"


def errors_of(refusal: pytest.ExceptionInfo[InvalidInput]) -> list[str]:
    """Return the names of the problems of a refusal, in order."""
    return [problem.error for problem in refusal.value.problems]


def test_one_field_is_enough(defaults: StackDefaults) -> None:
    """The archive alone gives a whole request; the checklist's figures are the defaults."""
    request = deployment_request.request({"archive": ARCHIVE}, None, defaults)

    assert set(json_codec.keys(Request)) == {
        *request_fields.EXECUTION_INPUT.fields,
        "consumers",
        "default_consumer",
        "container_chosen",
        "default_volume_key",
    } - {"consumer"}
    assert request.service == "harbour"
    assert request.max_concurrency is None
    assert request.timeout_s == 60
    assert request.inference == Inference(
        n_ctx=2048,
        n_batch=512,
        n_threads=4,
        max_tokens=150,
        temperature=0.7,
        top_p=0.9,
        prefix_cache_mb=32,
    )
    assert request.smoke_test.prompts
    assert request.smoke_test.expect.min_completion_tokens == 1
    assert request.execution_role_arn == defaults["execution_role_arn"]
    assert (request.memory_mb, request.image_uri, request.consumers) == (None, None, ())


@pytest.mark.parametrize(
    ("document", "sidecar", "service", "concurrency"),
    [
        pytest.param({}, None, "harbour", None, id="default"),
        pytest.param({}, {"service": "pier", "max_concurrency": 2}, "pier", 2, id="deployment.json"),
        pytest.param(
            {"service": "quay"},
            {"service": "pier", "max_concurrency": 2},
            "quay",
            2,
            id="input over deployment.json",
        ),
        pytest.param(
            {"service": None, "max_concurrency": 3}, {"service": "pier"}, "pier", 3, id="null says nothing"
        ),
    ],
)
def test_the_first_source_that_says_something_wins(
    defaults: StackDefaults,
    document: dict[str, Any],
    sidecar: dict[str, Any] | None,
    service: str,
    concurrency: int | None,
) -> None:
    """The input goes before deployment.json, which goes before the stack; each field by itself."""
    request = deployment_request.request({"archive": ARCHIVE, **document}, sidecar, defaults)

    assert (request.service, request.max_concurrency) == (service, concurrency)


def test_nested_fields_are_merged_one_by_one(defaults: StackDefaults) -> None:
    """A source that sets one inference figure leaves the others to the next source."""
    request = deployment_request.request(
        {"archive": ARCHIVE, "inference": {"n_ctx": 512, "top_p": None}},
        {"inference": {"n_ctx": 4096, "n_batch": 64, "top_p": 0.5}},
        defaults,
    )

    assert [getattr(request.inference, name) for name in ("n_ctx", "n_batch", "top_p", "n_threads")] == [
        512,
        64,
        0.5,
        4,
    ]


@pytest.mark.parametrize(
    ("stack", "sidecar", "asked", "expected"),
    [
        pytest.param(
            {"consumer_function_name": "of-the-stack"},
            None,
            {},
            ("consumers", ["of-the-stack"]),
            id="stack's consumer",
        ),
        pytest.param(
            {"consumer_function_name": "of-the-stack"},
            None,
            {"consumer": {"function_name": "other"}},
            ("consumers", ["other"]),
            id="consumer of the input",
        ),
        pytest.param(
            {"consumer_function_name": "of-the-stack"},
            {"consumer": {"alias": "live"}},
            {"consumer": {"test_event": {"prompt": "Hello."}}},
            ("consumers", ["of-the-stack"]),
            id="the stack's function, called as others say",
        ),
        pytest.param(
            {
                "execution_role_arn": "arn:aws:iam::123456789012:role/stack",
                "endpoint_role_arns": "arn:aws:iam::123456789012:role/own",
            },
            {"execution_role_arn": "arn:aws:iam::123456789012:role/own"},
            {},
            ("execution_role_arn", "arn:aws:iam::123456789012:role/own"),
            id="role of deployment.json",
        ),
        pytest.param(
            {"image_uri": IMAGE.format(region="us-east-1")},
            None,
            {},
            ("image_uri", IMAGE.format(region="us-east-1")),
            id="stack's image",
        ),
    ],
)
def test_the_stack_speaks_last(
    defaults: StackDefaults,
    stack: dict[str, str],
    sidecar: dict[str, Any] | None,
    asked: dict[str, Any],
    expected: tuple[str, Any],
) -> None:
    """What the stack gives holds until somebody says something else."""
    request = deployment_request.request(
        {"archive": ARCHIVE, **asked},
        sidecar,
        StackDefaults(**{**defaults, **stack}),  # type: ignore[typeddict-item]
    )

    found = getattr(request, expected[0])
    assert ([one.function_name for one in found] if isinstance(found, tuple) else found) == expected[1]


@pytest.mark.parametrize(
    ("document", "sidecar", "moved"),
    [
        pytest.param({}, None, False, id="nobody says anything"),
        pytest.param({"relocate_model": True}, None, True, id="input"),
        pytest.param({"mend": True}, None, True, id="input, older name"),
        pytest.param({}, {"mend": True}, True, id="deployment.json, older name"),
        pytest.param({"relocate_model": False}, {"mend": True}, False, id="input over the older name"),
        pytest.param({"mend": False}, {"relocate_model": True}, False, id="older name over deployment.json"),
        pytest.param({"mend": None}, {"relocate_model": True}, True, id="null says nothing"),
        pytest.param({"relocate_model": True, "mend": True}, None, True, id="both, the same"),
    ],
)
def test_relocate_model_was_mend(
    defaults: StackDefaults, document: dict[str, Any], sidecar: dict[str, Any] | None, moved: bool
) -> None:
    """Whichever name each source uses, the first source that says something wins."""
    made = deployment_request.request({"archive": ARCHIVE, **document}, sidecar, defaults)

    assert made.relocate_model is moved


def test_two_names_that_contradict_are_one_mistake_of_their_source(defaults: StackDefaults) -> None:
    """It is told under the source that has both; a value is told by the name that its author wrote."""
    with pytest.raises(InvalidInput) as refusal:
        deployment_request.request(
            {"archive": ARCHIVE, "mend": "yes"}, {"mend": True, "relocate_model": False}, defaults, NAMES
        )

    assert [(one.where, one.seen) for one in refusal.value.problems] == [
        ("my.json", "mend is 'yes'"),
        (NAMES.sidecar, "relocate_model is False, and mend, its older name, is True"),
    ]


def test_mistakes_of_all_sources_are_told_together(defaults: StackDefaults) -> None:
    """One message has what is wrong with the input and with deployment.json, each with its path."""
    with pytest.raises(InvalidInput) as refusal:
        deployment_request.request(
            {
                "archive": {"bucket": "uploads"},
                "memory_mb": 3000,
                "inference": {"n_ctx": True},
                "memroy_mb": 1,
            },
            {"max_concurrency": 0, "archive": {}},
            defaults,
        )

    for part in (
        "the execution's input: no 'archive.key'",
        "the execution's input: memory_mb is 3000",
        "the execution's input: inference.n_ctx is True",
        "the execution's input: unknown field 'memroy_mb'",
        "deployment.json: max_concurrency is 0",
        "deployment.json: unknown field 'archive'",
    ):
        assert part in str(refusal.value)
    assert len(refusal.value.problems) == 6


NAMES = request_sources.PlannedNames(
    document="my.json", sidecar="s3://uploads/models/harbour/deployment.json"
)


@pytest.mark.parametrize(
    ("document", "sidecar", "stack", "told"),
    [
        pytest.param({"memory_mb": 1}, {}, {}, [("my.json", "memory_mb is 1")], id="the input's value"),
        pytest.param({}, {"memory_mb": 1}, {}, [(NAMES.sidecar, "memory_mb is 1")], id="the sidecar's value"),
        pytest.param(
            {"memory": 1},
            {"memory": 1},
            {},
            [("my.json", "unknown field 'memory'"), (NAMES.sidecar, "unknown field 'memory'")],
            id="one in each",
        ),
        pytest.param(
            {"memory_mb": 2048},
            {"hosting": "instance"},
            {},
            [("my.json", "'memory_mb' with hosting 'instance'")],
            id="two that do not go together: what is to be left out",
        ),
        pytest.param(
            {"hosting": "instance"},
            {"memory_mb": 2048},
            {},
            [(NAMES.sidecar, "'memory_mb' with hosting 'instance'")],
            id="the other way round",
        ),
        pytest.param(
            {},
            {"consumer": {"alias": "live"}},
            {},
            [(NAMES.sidecar, "no 'consumer.function_name'")],
            id="what is missing in an object of the sidecar",
        ),
        pytest.param(
            {"consumer": {"canary": {}}},
            {"consumer": {"function_name": "f"}},
            {},
            [("my.json", "consumer.canary without consumer.alias for 'f'")],
            id="an object of both",
        ),
        pytest.param(
            {},
            {"code": "archive"},
            {"container": "llama-cpp"},
            [
                (NAMES.sidecar, "code is 'archive'"),
                (
                    NAMES.sidecar,
                    "code is 'archive', container is 'llama-cpp', which runs no code from an archive",
                ),
            ],
            id="the sidecar against the stack",
        ),
        pytest.param(
            {},
            None,
            {"image_uri": IMAGE.format(region="eu-west-1")},
            [("the stack's parameters", f"image_uri is {IMAGE.format(region='eu-west-1')!r}")],
            id="the stack's own",
        ),
        pytest.param({}, [], {}, [(NAMES.sidecar, "the document is []")], id="no object"),
    ],
)
def test_a_mistake_is_told_once_under_the_source_that_made_it(
    defaults: StackDefaults,
    document: dict[str, Any],
    sidecar: Any,
    stack: dict[str, str],
    told: list[tuple[str, str]],
) -> None:
    """By the name that whoever wrote the source knows it by, whatever wins in the end."""
    with pytest.raises(InvalidInput) as refusal:
        deployment_request.request(
            {"archive": ARCHIVE, **document},
            sidecar,
            StackDefaults(**{**defaults, **stack}),  # type: ignore[typeddict-item]
            NAMES,
        )

    assert [(one.where, one.seen) for one in refusal.value.problems] == told
    assert all(f"{where}: " in str(refusal.value) for where, _ in told)


@pytest.mark.parametrize(
    ("document", "fix"),
    [
        pytest.param({"hosting": "serverles"}, "did you mean 'serverless'?", id="a value"),
        pytest.param({"memory": 3072}, "did you mean 'memory_mb'?", id="a field"),
        pytest.param({"Max-Concurrency": 3}, "did you mean 'max_concurrency'?", id="another spelling"),
        pytest.param({"smoke_test": {"prompt": ["a"]}}, "did you mean 'smoke_test.prompts'?", id="below"),
        pytest.param({"n_ctx": 512}, "did you mean 'inference.n_ctx'?", id="of another object"),
        pytest.param({"function_name": "f"}, "did you mean 'consumer.function_name'?", id="of one or more"),
        pytest.param(
            {"consumer": [{"function_name": "f", "canary": {"wait": 1}, "alias": "a"}]},
            "did you mean 'consumer[0].canary.weight'?",
            id="in a list",
        ),
        pytest.param({"memory_mb": 3000}, "change 'memory_mb'", id="a number has no neighbour"),
        pytest.param({"zzz": 1}, "remove 'zzz'", id="nothing near"),
    ],
)
def test_the_nearest_known_name_is_told(defaults: StackDefaults, document: dict[str, Any], fix: str) -> None:
    """Of fields at any depth, and of values that are names."""
    with pytest.raises(InvalidInput) as refusal:
        deployment_request.request({"archive": ARCHIVE, **document}, None, defaults)

    assert [one.fix for one in refusal.value.problems] == [fix]


def test_what_no_source_gives_is_missing(defaults: StackDefaults) -> None:
    """A field that must be there may come from any source, and is missed once when it comes from none."""
    with pytest.raises(InvalidInput) as refusal:
        deployment_request.request(
            {"archive": ARCHIVE, "consumer": {"alias": "live"}, "memory_mb": 1},
            {"consumer": {"variable": "ENDPOINT"}},
            defaults,
        )

    assert [problem.seen for problem in refusal.value.problems] == [
        "memory_mb is 1",
        "no 'consumer.function_name'",
    ]


@pytest.mark.parametrize(
    ("document", "error", "told"),
    [
        pytest.param(
            {"archive": {"bucket": "uploads", "key": "models/harbour/model.safetensors"}},
            "WrongKey",
            ".gguf for an instance",
            id="key of another format",
        ),
        pytest.param(
            {"archive": {"bucket": "uploads", "key": "models/harbour/model.gguf"}},
            "BareOnServerless",
            '"hosting": "instance"',
            id="bare model on serverless",
        ),
        pytest.param(
            {
                "archive": {"bucket": "uploads", "key": "models/harbour/m-00002-of-00003.gguf"},
                "hosting": "instance",
            },
            "NotFirstShard",
            "the first one",
            id="second shard",
        ),
        pytest.param(
            {"archive": ARCHIVE, "instance_type": "ml.r5.xlarge"},
            "OtherHosting",
            "'instance_type'",
            id="type on serverless",
        ),
        pytest.param(
            {"archive": ARCHIVE, "hosting": "instance", "bake_s": 60},
            "BakeWithoutUpdate",
            "'in_place'",
            id="watching without an update",
        ),
        pytest.param(
            {"archive": ARCHIVE, "bake_s": 60}, "OtherHosting", "'bake_s'", id="watching serverless"
        ),
        pytest.param(
            {"archive": ARCHIVE, "instance_count": 2}, "OtherHosting", "'auto'", id="count on serverless"
        ),
        pytest.param(
            {"archive": ARCHIVE, "auto_scaling": {"max": 4, "invocations_per_instance": 70}},
            "OtherHosting",
            "'auto_scaling'",
            id="auto scaling on serverless",
        ),
        pytest.param(
            {
                "archive": ARCHIVE,
                "hosting": "auto",
                "strategy": "in_place",
                "auto_scaling": {"max": 4, "invocations_per_instance": 70},
            },
            "ScalingInPlace",
            "another instance type",
            id="auto scaling in place",
        ),
        pytest.param(
            {
                "archive": ARCHIVE,
                "hosting": "instance",
                "auto_scaling": {"min": 3, "max": 2, "invocations_per_instance": 70},
            },
            "ScalingBounds",
            "auto_scaling.min is 3 and auto_scaling.max 2",
            id="auto scaling upside down",
        ),
        pytest.param(
            {
                "archive": ARCHIVE,
                "hosting": "instance",
                "auto_scaling": {
                    "max": 4,
                    "invocations_per_instance": 70,
                    "concurrent_requests_per_instance": 3,
                },
            },
            "TwoMeasures",
            "leave one out",
            id="auto scaling by two measures",
        ),
        pytest.param(
            {"archive": ARCHIVE, "max_concurrency": 2, "provisioned_concurrency": 3},
            "ProvisionedAboveMaximum",
            "set provisioned_concurrency to 2 or less",
            id="more provisioned than at once",
        ),
        pytest.param(
            {"archive": ARCHIVE, "hosting": "instance", "provisioned_concurrency": 3},
            "OtherHosting",
            "'provisioned_concurrency'",
            id="provisioned on instances",
        ),
        pytest.param(
            {"archive": ARCHIVE, "instance_pool": False},
            "OtherHosting",
            "'instance_pool'",
            id="no pool on serverless",
        ),
        pytest.param(
            {
                "archive": ARCHIVE,
                "hosting": "instance",
                "instance_count": 5,
                "auto_scaling": {"max": 4, "invocations_per_instance": 70},
            },
            "ScalingBounds",
            "instance_count is 5",
            id="count beyond auto scaling",
        ),
        pytest.param(
            {"archive": ARCHIVE, "hosting": "instance", "memory_mb": 3072},
            "OtherHosting",
            "'memory_mb'",
            id="memory on instances",
        ),
        pytest.param(
            {"archive": ARCHIVE, "hosting": "instance", "max_concurrency": 10},
            "OtherHosting",
            "'max_concurrency'",
            id="concurrency on instances",
        ),
        pytest.param(
            {"archive": {"bucket": "uploads", "key": "model.tar.gz"}},
            "NoService",
            "'service'",
            id="no service",
        ),
        pytest.param(
            {"archive": ARCHIVE, "image_uri": IMAGE.format(region="eu-west-1")},
            "WrongRegion",
            "us-east-1",
            id="image of another region",
        ),
        pytest.param(
            {
                "archive": ARCHIVE,
                "hosting": "serverless",
                "container": "custom",
                "image_uri": f"{IMAGE.format(region='us-east-1')}-cuda",
            },
            "NoGpuOnServerless",
            "image_uri",
            id="image for GPUs on serverless",
        ),
    ],
)
def test_a_request_must_hold_together(
    defaults: StackDefaults, document: dict[str, Any], error: str, told: str
) -> None:
    """What each field by itself cannot tell is checked on the whole, by name."""
    with pytest.raises(InvalidInput, match=told.replace(".", r"\.")) as refusal:
        deployment_request.request(document, None, defaults)

    assert errors_of(refusal) == [error]


def test_what_does_not_hold_together_is_told_at_once_too(defaults: StackDefaults) -> None:
    """Three such mistakes are three problems of one refusal."""
    with pytest.raises(InvalidInput) as refusal:
        deployment_request.request(
            {
                "archive": {"bucket": "uploads", "key": "model.safetensors"},
                "image_uri": IMAGE.format(region="eu-west-1"),
            },
            None,
            defaults,
        )

    assert errors_of(refusal) == ["WrongKey", "NoService", "WrongRegion"]


def test_a_service_of_the_input_makes_any_folder_good(defaults: StackDefaults) -> None:
    """The key names a service only when nobody says one."""
    request = deployment_request.request(
        {"archive": {"bucket": "uploads", "key": "model.zip"}, "service": "quay"}, None, defaults
    )

    assert request.service == "quay"


@pytest.mark.parametrize(
    "document",
    [pytest.param(value, id=type(value).__name__) for value in (None, [], "text", 5, True)],
)
def test_an_input_that_is_no_object_is_refused(defaults: StackDefaults, document: Any) -> None:
    """Whatever JSON starts the execution, the answer is InvalidInput."""
    with pytest.raises(InvalidInput, match="wanted an object"):
        deployment_request.request(document, None, defaults)
    with pytest.raises(InvalidInput, match="wanted an object"):
        deployment_request.archive_location(document)


def test_a_sidecar_that_is_no_object_is_refused(defaults: StackDefaults) -> None:
    """The file is named in the message."""
    with pytest.raises(
        InvalidInput, match=r"deployment\.json: the document is \['service'\].*make it an object"
    ):
        deployment_request.request({"archive": ARCHIVE}, ["service"], defaults)


def test_the_archive_is_found_before_the_rest_is_judged() -> None:
    """Other mistakes wait until deployment.json was read, so that they are told together with its."""
    location = deployment_request.archive_location(
        {"archive": {**ARCHIVE, "version_id": "v1"}, "memory_mb": 1}
    )

    assert location == ArchiveLocation("uploads", "models/harbour/model.tar.gz", "v1")
    assert str(location) == "s3://uploads/models/harbour/model.tar.gz (version v1)"


def test_without_an_archive_everything_wrong_is_told_at_once() -> None:
    """When the archive's own part is wrong there is no deployment.json to wait for."""
    with pytest.raises(InvalidInput) as refusal:
        deployment_request.archive_location({"archive": {"bucket": "NOT A BUCKET"}, "memory_mb": 1})

    assert sorted(errors_of(refusal)) == ["MissingField", "WrongValue", "WrongValue"]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        pytest.param("models/harbour/model.tar.gz", "models/harbour/deployment.json", id="in a folder"),
        pytest.param("model.tar.gz", "deployment.json", id="at the top"),
    ],
)
def test_the_sidecar_lies_beside_the_archive(key: str, expected: str) -> None:
    """Same folder, fixed name."""
    assert request_sources.sidecar_key(key) == expected


@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in EXAMPLES])
def test_an_example_input_is_accepted(path: Path, defaults: StackDefaults) -> None:
    """What people paste into the console deploys."""
    assert deployment_request.request(json.loads(path.read_text()), None, defaults).service


def test_a_canary_says_only_what_differs(request_with: Requests) -> None:
    """A tenth for five minutes, watched by the endpoint's alarms, unless it is said otherwise."""
    request = request_with(consumer={"function_name": "f", "alias": "live", "canary": {}})

    assert request.consumers[0].canary == Canary(weight=0.1, bake_s=300, alarms=())


def test_several_consumers_keep_their_order_and_get_what_each_leaves_out(request_with: Requests) -> None:
    """Each is an object of its own; the order is that of the input."""
    request = request_with(
        consumer=[{"function_name": "g", "alias": "live", "canary": {}}, {"function_name": "f"}]
    )

    assert [one.function_name for one in request.consumers] == ["g", "f"]
    assert [one.variable for one in request.consumers] == ["ENDPOINT_NAME", "ENDPOINT_NAME"]
    assert [one.canary is None for one in request.consumers] == [False, True]


def test_two_variables_of_one_function_are_two_consumers(request_with: Requests) -> None:
    """A function and a variable together are what is switched."""
    both = [{"function_name": "f"}, {"function_name": "f", "variable": "SECOND"}]

    assert len(request_with(consumer=both).consumers) == 2


@pytest.mark.parametrize(
    "other",
    ["arn:aws:lambda:us-east-1:123456789012:function:f", "123456789012:function:f"],
)
def test_a_function_by_its_arn_is_the_one_by_its_name(defaults: StackDefaults, other: str) -> None:
    """One problem, whatever the function is called by and however often it is named."""
    named = [{"function_name": name} for name in ("f", other, "f")]
    with pytest.raises(InvalidInput) as refusal:
        deployment_request.request({"archive": ARCHIVE, "consumer": named}, None, defaults)

    assert errors_of(refusal) == ["ConsumerTwice"]
    assert refusal.value.problems[0].seen == "consumer names ENDPOINT_NAME of 'f' 3 times"


@pytest.mark.parametrize(
    ("sidecar", "asked", "expected"),
    [
        pytest.param({}, {"consumer": None}, [], id="null in the input"),
        pytest.param({}, {"consumer": []}, [], id="empty list in the input"),
        pytest.param({"consumer": None}, {}, [], id="null in deployment.json"),
        pytest.param(
            {"consumer": []}, {"consumer": {"function_name": "f"}}, ["f"], id="the input speaks last"
        ),
        pytest.param(
            {"consumer": {"function_name": "f"}}, {"consumer": None}, [], id="input over the sidecar"
        ),
        pytest.param(
            {"consumer": {"test_event": {"consumer": None}}},
            {},
            ["of-the-stack"],
            id="null within a test event",
        ),
        pytest.param(
            {}, {"consumer": [{"function_name": "f"}, {"function_name": "g"}]}, ["f", "g"], id="a list"
        ),
    ],
)
def test_no_consumer_can_be_said(
    defaults: StackDefaults, sidecar: dict[str, Any], asked: dict[str, Any], expected: list[str]
) -> None:
    """Null and an empty list take away what the sources before them name; a list takes its place whole."""
    stack = StackDefaults(**{**defaults, "consumer_function_name": "of-the-stack"})  # type: ignore[typeddict-item]
    request = deployment_request.request({"archive": ARCHIVE, **asked}, sidecar, stack)

    assert [one.function_name for one in request.consumers] == expected


@pytest.mark.parametrize(
    ("asked", "concurrency", "keep"),
    [
        pytest.param({"provisioned_concurrency": 3}, 3, None, id="alone"),
        pytest.param({"provisioned_concurrency": 3, "max_concurrency": 3}, 3, None, id="as many"),
        pytest.param(
            {"provisioned_concurrency": 3, "max_concurrency": 5, "keep_previous": 1}, 5, 1, id="fewer"
        ),
        pytest.param({}, None, 1, id="none"),
    ],
)
def test_what_is_provisioned_is_the_least_at_once(
    request_with: Requests, asked: dict[str, Any], concurrency: int | None, keep: int | None
) -> None:
    """Who asks for it asks for a concurrency; whether earlier deployments are kept is the plan's to say."""
    made = request_with(**asked)

    assert (made.max_concurrency, made.keep_previous) == (concurrency, keep)


def test_scaling_to_none_is_refused_with_what_it_would_take(defaults: StackDefaults) -> None:
    """One problem, which says why the least is one."""
    asked = {"min": 0, "max": 4, "invocations_per_instance": 70}

    with pytest.raises(InvalidInput) as refusal:
        deployment_request.request(
            {"archive": ARCHIVE, "hosting": "instance", "auto_scaling": asked}, None, defaults
        )

    (problem,) = refusal.value.problems
    assert problem.seen == "auto_scaling.min is 0"
    assert "inference components" in problem.wanted


@pytest.mark.parametrize(("said", "count"), [({}, 2), ({"instance_count": 3}, 3)])
def test_what_scales_begins_with_its_least(request_with: Requests, said: dict[str, Any], count: int) -> None:
    """Unless it is said with how many."""
    asked = {"min": 2, "max": 4, "invocations_per_instance": 70}
    made = request_with(hosting="instance", auto_scaling=asked, **said)

    assert (made.auto_scaling, made.instance_count) == (Scaling(**asked), count)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("memory_mb", 7168, id="memory above the largest"),
        pytest.param("memory_mb", 3000, id="memory between two sizes"),
        pytest.param("max_concurrency", 201, id="concurrency"),
        pytest.param("timeout_s", 301, id="time-out"),
        pytest.param("service", "Harbour", id="service in capitals"),
        pytest.param("service", "a--b", id="service with two hyphens"),
        pytest.param("hosting", "cluster", id="hosting that there is not"),
        pytest.param("instance_type", "r5.xlarge", id="instance type without ml"),
        pytest.param("instance_count", 0, id="no instance"),
        pytest.param("auto_scaling", 4, id="auto scaling by a number alone"),
        pytest.param("auto_scaling", {"max": 21, "invocations_per_instance": 1}, id="too many instances"),
        pytest.param("auto_scaling", {"max": 2, "invocations_per_instance": 0}, id="scaling for no calls"),
        pytest.param("instance_types", "ml.r7i.xlarge", id="instance types by a name alone"),
        pytest.param("image_uri", "pytorch:latest", id="image that is not in ECR"),
        pytest.param("execution_role_arn", "sealift-endpoint", id="role without its ARN"),
        pytest.param("consumer", {}, id="consumer without a function"),
        pytest.param("consumer", "f", id="consumer by its name alone"),
        pytest.param("consumer", [{"function_name": f"f{n}"} for n in range(11)], id="eleven consumers"),
        pytest.param("consumer", [{"function_name": "f"}, {}], id="second consumer without a function"),
        pytest.param("consumer", [{"function_name": "f"}, {"function_name": "f"}], id="consumer twice"),
        pytest.param("consumer", {"function_name": "f", "variable": "1ST"}, id="variable"),
        pytest.param("consumer", {"function_name": "f", "alias": "12"}, id="alias that is a version"),
        pytest.param("consumer", {"function_name": "f", "canary": {}}, id="canary without an alias"),
        pytest.param(
            "consumer",
            {"function_name": "f", "alias": "a", "canary": {"weight": 1}},
            id="canary of all calls",
        ),
        pytest.param("smoke_test", {"prompts": []}, id="no prompts"),
        pytest.param("smoke_test", {"expect": {"matches": "("}}, id="expectation"),
        pytest.param("inference", {"temperature": 2.5}, id="temperature"),
        pytest.param("deadline_s", 0, id="deadline"),
    ],
)
def test_a_field_out_of_its_range_is_refused(defaults: StackDefaults, field: str, value: Any) -> None:
    """Each limit of the checklist and of the platform is checked before anything is made."""
    with pytest.raises(InvalidInput) as refusal:
        deployment_request.request({"archive": ARCHIVE, field: value}, None, defaults)

    assert len(refusal.value.problems) == 1
    assert field in refusal.value.problems[0].seen


# ------------------------------------------- what an execution's data and its history have room for


def input_with(**fields: Any) -> dict[str, Any]:
    """Return an input with some fields beside the archive."""
    return {"archive": {"bucket": "uploads", "key": "models/harbour/model.tar.gz"}, **fields}


def refused(document: dict[str, Any]) -> list[Problem]:
    """Return the problems of an input."""
    with pytest.raises(InvalidInput) as refusal:
        deployment_request.request(document, None, DEFAULTS)
    return list(refusal.value.problems)


@pytest.mark.parametrize(
    ("fields", "largest"),
    [
        pytest.param({"smoke_test": {"prompts": ["x" * 19_000] * 2}}, "smoke_test.prompts", id="prompts"),
        pytest.param(
            {"consumer": {"function_name": "f", "test_event": {"text": "é" * 20_000}}},
            "consumer.test_event",
            id="a test event",
        ),
        pytest.param(
            {"smoke_test": {"expect": {"contains": "\x01" * 5000}}}, "smoke_test.expect", id="escapes"
        ),
        pytest.param(
            {"consumer": {"function_name": "f", "canary": {"alarms": ["a" * 255] * 50}, "alias": "live"}}
            | {"smoke_test": {"prompts": ["x" * 11_000]}},
            "consumer",
            id="alarms, and the rest elsewhere",
        ),
    ],
)
def test_a_request_that_an_executions_data_have_no_room_for_is_refused(
    fields: dict[str, Any], largest: str
) -> None:
    """With its size, the bound, and the field that has the most."""
    (problem,) = refused(input_with(**fields))

    assert problem.error == "RequestTooLarge"
    assert repr(largest) in problem.fix
    assert repr(largest) in problem.seen
    assert f"{payload.REQUEST:,}" in problem.wanted


def test_a_request_may_have_all_the_bytes_that_there_are() -> None:
    """And not one more."""
    one = deployment_request.request(input_with(smoke_test={"expect": {"contains": "x"}}), None, DEFAULTS)
    most = 1 + payload.REQUEST - payload.size(one)

    request = deployment_request.request(
        input_with(smoke_test={"expect": {"contains": "x" * most}}), None, DEFAULTS
    )

    assert payload.size(request) == payload.REQUEST
    assert refused(input_with(smoke_test={"expect": {"contains": "x" * (most + 1)}}))


def test_the_longest_prompt_is_accepted() -> None:
    """20,000 letters of one byte, as its own bound says."""
    request = deployment_request.request(input_with(smoke_test={"prompts": ["x" * 20_000]}), None, DEFAULTS)

    assert payload.size(request) <= payload.REQUEST


def test_an_object_that_nests_without_an_end_is_refused() -> None:
    """What reads it by recursion would end in a crash."""
    event: dict[str, Any] = {}
    for _ in range(5000):
        event = {"in": event}

    (problem,) = refused(input_with(consumer={"function_name": "f", "test_event": event}))

    assert (problem.error, problem.fix) == ("TooDeep", "flatten 'consumer.test_event'")


@pytest.mark.parametrize(
    ("deadline_s", "interval_s", "least"),
    [
        pytest.param(7200, 1, 4, id="two hours, every second"),
        pytest.param(7200, 3, 4, id="just too often"),
        pytest.param(7200, 4, None, id="seldom enough"),
        pytest.param(2111, 1, None, id="as many looks as there is room for"),
        pytest.param(2112, 1, 2, id="one more"),
        pytest.param(1800, 1, None, id="the default deadline, every second"),
    ],
)
def test_looks_that_a_history_has_no_room_for_are_refused(
    deadline_s: int, interval_s: int, least: int | None
) -> None:
    """With the smallest interval that will do for that deadline."""
    document = input_with(deadline_s=deadline_s, poll_interval_s=interval_s)
    if least is None:
        deployment_request.request(document, None, DEFAULTS)
        return

    (problem,) = refused(document)

    assert problem.error == "TooManyLooks"
    assert f"set poll_interval_s to {least} or more" in problem.fix
    deployment_request.request({**document, "poll_interval_s": least}, None, DEFAULTS)


@pytest.mark.parametrize(
    ("document", "sidecar", "default"),
    [
        pytest.param({}, None, True, id="nobody names one"),
        pytest.param({"consumer": {"take_over": True}}, None, True, id="only how"),
        pytest.param({}, {"consumer": {"alias": "live"}}, True, id="only how, beside the archive"),
        pytest.param({"consumer": {"function_name": "of-the-stack"}}, None, False, id="the same by its name"),
        pytest.param({}, {"consumer": {"function_name": "mine"}}, False, id="another, beside the archive"),
        pytest.param({"consumer": [{"function_name": "mine"}]}, None, False, id="a list"),
        pytest.param({"consumer": None}, None, False, id="none"),
    ],
)
def test_whether_the_consumer_is_the_stacks_own_is_told(
    document: dict[str, Any], sidecar: Any, defaults: StackDefaults, *, default: bool
) -> None:
    """Whoever does not name a function cannot mean to take it."""
    defaults["consumer_function_name"] = "of-the-stack"
    request = deployment_request.request({"archive": ARCHIVE, **document}, sidecar, defaults)

    assert request.default_consumer is default


# ------------------------------------------------------------------------- roles

ROLE = "arn:aws:iam::123456789012:role/{}"


@pytest.mark.parametrize(
    ("others", "asked", "may"),
    [
        pytest.param("", None, True, id="none named"),
        pytest.param("", ROLE.format("sealift-endpoint"), True, id="the stack's own"),
        pytest.param("", ROLE.format("b"), False, id="another one"),
        pytest.param(ROLE.format("a"), ROLE.format("b"), False, id="one that the stack may not hand on"),
        pytest.param(f"{ROLE.format('a')},{ROLE.format('b')}", ROLE.format("b"), True, id="one that it may"),
        pytest.param(
            f"{ROLE.format('a')}, {ROLE.format('b')}", ROLE.format("b"), True, id="with a space between"
        ),
        pytest.param(ROLE.format("bb"), ROLE.format("b"), False, id="a part of another's name"),
    ],
)
def test_a_role_is_one_that_the_stack_may_hand_on(
    defaults: StackDefaults, others: str, asked: str | None, *, may: bool
) -> None:
    """SageMaker would refuse any other, much later: the refusal has the command, with what the parameter is now."""
    stack: StackDefaults = {**defaults, "endpoint_role_arns": others}
    document = {"archive": ARCHIVE, **({"execution_role_arn": asked} if asked else {})}
    if may:
        found = deployment_request.request(document, None, stack).execution_role_arn
        assert found == (asked or defaults["execution_role_arn"])
        return

    with pytest.raises(InvalidInput) as refusal:
        deployment_request.request(document, None, stack)

    (problem,) = refusal.value.problems
    whole = ",".join([*filter(None, [others]), str(asked)])
    assert (problem.error, problem.seen) == ("RoleNotAllowed", f"execution_role_arn is {asked!r}")
    assert f"`sealift deploy --parameter EndpointRoleArns={whole}`" in problem.fix
