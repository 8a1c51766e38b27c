"""Names: always ones that AWS takes, and the same for the same content."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import limits, naming

SAGEMAKER_NAME = r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
"""EndpointName, ModelName and EndpointConfigName in SageMaker's service model."""
EXECUTION_NAME = r"[A-Za-z0-9_-]{1,80}"
"""StartExecution: what CloudWatch Logs and the console take without complaint."""

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
SERVICES = st.text(LETTERS + "-", min_size=1, max_size=80).filter(
    lambda text: re.fullmatch(naming.SERVICE_PATTERN, text)
) | st.lists(st.sampled_from(LETTERS), min_size=1, max_size=20).map("-".join)


@given(service=SERVICES, document=VALUES)
def test_a_resource_name_is_one_that_sagemaker_takes(service: str, document: object) -> None:
    """Every service that is accepted gives names of at most 63 characters."""
    name = naming.resource_name(service, naming.digest(document))

    assert re.fullmatch(SAGEMAKER_NAME, name)
    assert len(name) <= 63


@given(key=st.text() | st.text().map("models/{}/model.tar.gz".format), parts=st.tuples(*[st.text()] * 3))
def test_an_execution_name_is_one_that_step_functions_takes(key: str, parts: tuple[str, str, str]) -> None:
    """Whatever the event holds, the name fits, and the same event gives the same name."""
    bucket, version, sequencer = parts
    name = naming.execution_name(bucket, key, version, sequencer)

    assert re.fullmatch(EXECUTION_NAME, name)
    assert name == naming.execution_name(bucket, key, version, sequencer)


@given(key=st.text() | st.text().map("models/{}/model.tar.gz".format))
def test_a_service_from_a_key_is_one_that_the_input_takes(key: str) -> None:
    """A folder of any name gives a good service, or none."""
    service = naming.service_from_key(key)

    assert service is None or (re.fullmatch(naming.SERVICE_PATTERN, service) and len(service) <= 40)


@pytest.mark.parametrize(
    ("key", "service"),
    [
        pytest.param("models/harbour/model.tar.gz", "harbour", id="plain"),
        pytest.param("models/harbour/v2/model.zip", "harbour", id="deeper"),
        pytest.param("models/My Harbour (v2)/model.tar.gz", "my-harbour-v2", id="put into shape"),
        pytest.param("models/" + "a" * 60 + "/model.tar.gz", "a" * 40, id="cut"),
        pytest.param("models/" + "a" * 39 + "-bcd/model.tar.gz", "a" * 39, id="cut at a hyphen"),
        pytest.param("models/model.tar.gz", None, id="no folder"),
        pytest.param("uploads/harbour/model.tar.gz", None, id="another folder"),
        pytest.param("models//model.tar.gz", None, id="empty folder"),
        pytest.param("models/---/model.tar.gz", None, id="nothing left"),
        pytest.param("", None, id="empty"),
    ],
)
def test_the_folder_below_models_names_the_service(key: str, service: str | None) -> None:
    """`models/<service>/...`, in the letters that names may have."""
    assert naming.service_from_key(key) == service


@given(document=st.dictionaries(st.text(), VALUES, min_size=2, max_size=6), data=st.data())
def test_a_digest_does_not_depend_on_the_order_of_keys(
    document: dict[str, object], data: st.DataObject
) -> None:
    """Two documents that are equal have one digest."""
    shuffled = dict(data.draw(st.permutations(list(document.items()))))

    assert naming.digest(shuffled) == naming.digest(document)


def test_a_digest_depends_on_every_value() -> None:
    """Different content, different name; the form is pinned, since names outlive a release."""
    assert naming.digest({"a": 1}) == "015abd7f5cc5"
    assert (
        len({naming.digest(document) for document in ({"a": 1}, {"a": 2}, {"b": 1}, [1], [[1]], None)}) == 6
    )


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(("other", "models/a/m.zip", "v1", "01"), id="bucket"),
        pytest.param(("uploads", "models/a/n.zip", "v1", "01"), id="key"),
        pytest.param(("uploads", "models/a/m.zip", "v2", "01"), id="version"),
        pytest.param(("uploads", "models/a/m.zip", "v1", "02"), id="sequencer"),
    ],
)
def test_another_upload_is_another_execution(other: tuple[str, str, str, str]) -> None:
    """Each part of the event counts, so that only a true duplicate is refused."""
    assert naming.execution_name(*other) != naming.execution_name("uploads", "models/a/m.zip", "v1", "01")


@pytest.mark.parametrize(
    ("service", "good"),
    [
        pytest.param("a" * 40, True, id="40 letters"),
        pytest.param("a" * 41, False, id="41 letters"),
        pytest.param("a" + "-b" * 19, True, id="39 characters, half of them hyphens"),
        pytest.param("a" + "-b" * 20, False, id="41 characters, half of them hyphens"),
        pytest.param("a-", False, id="hyphen at the end"),
        pytest.param("-a", False, id="hyphen at the beginning"),
        pytest.param("a--b", False, id="two hyphens"),
    ],
)
def test_a_service_has_at_most_40_characters(service: str, *, good: bool) -> None:
    """Hyphens count, else a name with many of them would not fit a resource's name."""
    assert bool(re.fullmatch(naming.SERVICE_PATTERN, service)) is good


@given(
    service=SERVICES,
    document=VALUES,
    memory_mb=st.sampled_from(limits.MEMORY_SIZES_MB),
    concurrency=st.integers(1, limits.MAX_CONCURRENCY.value),
)
def test_a_configurations_name_tells_its_deployment_and_its_sizes(
    service: str, document: object, memory_mb: int, concurrency: int
) -> None:
    """Whatever the service is called, also after sizes; the deployment's own name tells none."""
    for one in (service, f"{service[:30].rstrip('-')}-{memory_mb}-{concurrency}"):
        name = naming.resource_name(one, naming.digest(document))
        config = naming.sized_name(name, memory_mb, concurrency)

        assert naming.sizes_of(config) == (memory_mb, concurrency)
        assert naming.deployment_of(config) == naming.deployment_of(name) == name
        assert naming.sizes_of(name) is None
        assert naming.may_be_ours(config)
        assert naming.may_be_ours(name)
        assert re.fullmatch(SAGEMAKER_NAME, config)


def test_other_instances_have_a_name_of_their_own() -> None:
    """Type and count both count; the form is pinned, since names outlive a release."""
    kinds = ("ml.m5.large", "ml.m5.xlarge")
    deployment = "harbour-0123456789ab"
    names = {naming.instances_name(deployment, [kind], count) for kind in kinds for count in (1, 2)}
    pools = {naming.instances_name(deployment, order, 1) for order in (kinds, kinds[::-1])}

    assert len(names | pools) == 6
    assert "harbour-0123456789ab-75c035" in names
    assert all(naming.deployment_of(name) == name and naming.may_be_ours(name) for name in names)


@pytest.mark.parametrize("service", ["harbour", "harbour-0123456789ab", "h-0123456789ab-3072-5"])
def test_the_model_of_a_configuration_is_its_deployments(service: str) -> None:
    """Whatever its sizes and its instances, and though the service's own name may look like a deployment's."""
    name = naming.resource_name(service, "fedcba987654")

    assert naming.model_of(name) == name
    assert naming.model_of(naming.sized_name(name, 3072, 5)) == name
    assert naming.model_of(naming.instances_name(name, ["ml.g5.xlarge"], 1)) == name
    assert naming.service_within(naming.sized_name(name, 3072, 5)) == service


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        pytest.param("harbour-0123456789ab", True, id="a deployment"),
        pytest.param("harbour-0123456789ab-2048-5", True, id="its configuration of other sizes"),
        pytest.param("harbour-0123456789ab-0c1d2e", True, id="its configuration of other instances"),
        pytest.param("-0123456789ab", False, id="no service"),
        pytest.param("harbour-0123456789a", False, id="too short"),
        pytest.param("harbour-0123456789aB", False, id="capital"),
        pytest.param("harbour-2048-5", False, id="sizes alone"),
        pytest.param("harbour", False, id="a service"),
    ],
)
def test_what_may_be_ours_is_told_by_its_name(name: str, *, ours: bool) -> None:
    """All forms that Sealift gives, and no others' tags are read."""
    assert naming.may_be_ours(name) is ours
    assert naming.service_within(name) == ("harbour" if ours else "")


def test_a_service_may_look_like_a_deployment() -> None:
    """The last identity is the deployment's."""
    assert naming.service_within("harbour-0123456789ab-ba9876543210-2048-5") == "harbour-0123456789ab"


@pytest.mark.parametrize(
    "config",
    ["harbour", "harbour-204-5", "harbour-20480-5", "harbour-2048-1000", "harbour-2048-", "harbour-2048-5-x"],
)
def test_other_names_tell_no_sizes(config: str) -> None:
    """Four digits of memory and three of concurrency at most, at the end."""
    assert naming.sizes_of(config) is None
    assert naming.deployment_of(config) == config


def test_a_name_that_would_be_too_long_is_no_name() -> None:
    """A mistake in Sealift itself is loud."""
    with pytest.raises(ValueError, match="64 characters"):
        naming.resource_name("a" * 51, "0" * 12)


@pytest.mark.parametrize(
    ("document", "service"),
    [
        pytest.param({"service": "harbour"}, "harbour", id="named"),
        pytest.param({"archive": {"key": "models/harbour/model.tar.gz"}}, "harbour", id="by its key"),
        pytest.param({"archive": {"key": "by-hand/x/model.tar.gz"}}, None, id="by no key"),
        pytest.param({}, None, id="empty"),
        pytest.param([], None, id="no object"),
        pytest.param({"archive": {"key": 3}}, None, id="nonsense"),
    ],
)
def test_an_input_tells_its_service(document: object, service: str | None) -> None:
    """Its own field wins over the key; nobody need have checked it yet."""
    assert naming.service_of(document) == service


@pytest.mark.parametrize(
    ("endpoints", "told"),
    [
        pytest.param([], "service 'harbour' is new: it has no endpoint yet", id="the first of all"),
        pytest.param(["harbour-0123456789ab"], "", id="one that is there"),
        pytest.param(["harbour"], "", id="one that is updated in place"),
        pytest.param(
            ["harbuor-0123456789ab", "harbuor-ba9876543210", "chat-0123456789ab"],
            "service 'harbour' is new: it has no endpoint yet; did you mean 'harbuor'?",
            id="a slip",
        ),
        pytest.param(
            ["harbour-2-0123456789ab"],
            "service 'harbour' is new: it has no endpoint yet; did you mean 'harbour-2'?",
            id="the beginning of another name",
        ),
    ],
)
def test_a_service_that_did_not_exist_is_introduced(endpoints: list[str], told: str) -> None:
    """With the names that are nearly the same."""
    assert naming.introduction("harbour", endpoints) == told


@pytest.mark.parametrize(
    ("said", "told"),
    [
        pytest.param("harbuor", "; did you mean 'harbour'?", id="letters"),
        pytest.param("HARBOUR", "; did you mean 'harbour'?", id="capitals"),
        pytest.param("harbour-0123456789ab", "; did you mean 'harbour'?", id="the name of a deployment"),
        pytest.param("harbour", "", id="itself"),
        pytest.param("gpt-4.1", "", id="nothing near"),
    ],
)
def test_a_slip_of_a_service_is_noticed(said: str, told: str) -> None:
    """Also what is no service's name at all."""
    assert naming.slip(said, {"harbour", "chat"}) == told


@pytest.mark.parametrize("name", ["", "gpt-4.1", "openai/demo", "demo; rm", "a" * 64, "d\u00e9mo", "demo\n"])
def test_what_no_name_has_in_it_is_known(name: str) -> None:
    """SageMaker refuses to list what it could never find."""
    assert not naming.may_be_in_a_name(name)
    assert naming.may_be_in_a_name("harbour-0123456789ab")


EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:blue-deployment:harbour-0123"


def test_a_services_parameter_is_named_by_its_stack_and_itself() -> None:
    """And is read back out of its name; whatever else lies there is none of Sealift's."""
    stack = naming.stack_of(EXECUTION)
    name = naming.endpoint_parameter(stack, "harbour")

    assert name == "/sealift/blue/harbour/endpoint"
    assert name.startswith(f"{naming.parameters_of(stack)}/")
    assert naming.named_by(name) == ("blue", "harbour")


@pytest.mark.parametrize(
    "name",
    [
        "/sealift/blue/harbour",
        "/sealift/blue/harbour/endpoint/1",
        "/other/blue/harbour/endpoint",
        "/sealift/blue/endpoint",
    ],
)
def test_another_parameter_is_nobodys(name: str) -> None:
    """Nothing is deleted by a path alone."""
    assert naming.named_by(name) is None


def test_the_longest_names_make_a_parameter_that_aws_takes() -> None:
    """A stack's name has 128 characters at most, a service's 40, and both only letters, digits and hyphens."""
    name = naming.endpoint_parameter("s" * 128, "h" * 40)

    assert len(name) + len("arn:aws-us-gov:ssm:us-gov-east-1:123456789012:parameter") < 1011
    assert name.count("/") <= 15
