"""What a change set would do, in plain words."""

from __future__ import annotations

from typing import Any

import pytest

from local_cloud.stacks import template as sam
from pipeline import package_files
from pipeline.stack import changes, template
from pipeline.stack.changes import Verb

BUCKET, FUNCTION, ROLE = "AWS::S3::Bucket", "AWS::Lambda::Function", "AWS::IAM::Role"


def described(name: str, kind: str, action: str = "Modify", **more: Any) -> dict[str, Any]:
    """Return a change as DescribeChangeSet has it."""
    properties = more.pop("properties", ())
    details = [
        {"Target": {"Attribute": "Properties", "Name": one, "RequiresRecreation": "Never"}}
        for one in properties
    ]
    told = {"Action": action, "LogicalResourceId": name, "ResourceType": kind, "Details": details, **more}
    return {"Type": "Resource", "ResourceChange": told}


def told(*one: dict[str, Any]) -> list[str]:
    """Return the lines."""
    return [f"{verb} {line}" for verb, line in changes.lines(changes.read(one))]


def test_what_is_alike_is_told_together_and_in_order() -> None:
    """What is added, changed, replaced, removed; functions that get new code stand in one line."""
    lines = told(
        described("Old", FUNCTION, "Remove"),
        described("B", FUNCTION, properties=["Code"], Replacement="False"),
        described("New", "AWS::SNS::Topic", "Add"),
        described("A", FUNCTION, properties=["Code"], Replacement="False"),
        described("C", FUNCTION, properties=["Timeout", "Code"], Replacement="False"),
    )

    assert lines == [
        "add topic New",
        "change 2 functions A, B (Code)",
        "change function C (Code, Timeout)",
        "remove function Old",
    ]


def test_of_much_that_is_new_only_the_first_are_named() -> None:
    """A first deployment has dozens of roles; what is changed is named to the last one."""
    names = [f"Role{n:02}" for n in range(9)]

    assert told(*(described(name, ROLE, "Add") for name in names)) == [
        "add 9 roles Role00, Role01, Role02, Role03, Role04 and 4 more"
    ]
    (line,) = told(*(described(name, ROLE, properties=["Policies"]) for name in names))
    assert all(name in line for name in names)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        pytest.param(
            described("Uploads", BUCKET, properties=["BucketName"], Replacement="True"),
            "REPLACE bucket Uploads (BucketName): THIS LOSES the archives in it",
            id="replaced",
        ),
        pytest.param(
            described("Uploads", BUCKET, properties=["BucketName"], Replacement="Conditional"),
            "REPLACE bucket Uploads (BucketName): PERHAPS, AND THAT LOSES the archives in it",
            id="perhaps replaced",
        ),
        pytest.param(
            described("Uploads", BUCKET, "Remove", PolicyAction="Delete"),
            "REMOVE bucket Uploads: THIS LOSES the archives in it",
            id="removed",
        ),
        pytest.param(
            described("Uploads", BUCKET, "Remove", PolicyAction="Retain"),
            "remove bucket Uploads; what is there stays in the account",
            id="removed and kept",
        ),
        pytest.param(
            described(
                "Uploads",
                BUCKET,
                properties=["BucketName"],
                Replacement="True",
                PolicyAction="ReplaceAndRetain",
            ),
            "replace bucket Uploads (BucketName); what is there stays in the account",
            id="replaced and kept",
        ),
        pytest.param(
            described("EndpointRole", ROLE, properties=["RoleName"], Replacement="True"),
            "REPLACE role EndpointRole (RoleName): THIS LOSES what every endpoint that is there runs with: "
            "none of them will start any more",
            id="the endpoints' role",
        ),
        pytest.param(
            described("SweepRole", ROLE, properties=["RoleName"], Replacement="True"),
            "replace role SweepRole (RoleName)",
            id="another role",
        ),
        pytest.param(
            described("SweepRole", ROLE, properties=["Path"], Replacement="Conditional"),
            "replace role SweepRole (Path), perhaps",
            id="perhaps, and nothing is lost",
        ),
        pytest.param(
            described("Uploads", BUCKET, properties=["Tags"], Replacement="False"),
            "change bucket Uploads (Tags)",
            id="changed in place",
        ),
        pytest.param(
            described("X", "AWS::New::Thing", "Add"), "add AWS::New::Thing X", id="a type without a noun"
        ),
    ],
)
def test_what_is_lost_is_shouted_and_what_is_kept_is_not(change: dict[str, Any], line: str) -> None:
    """A bucket that is replaced loses what is in it, unless its policy keeps it."""
    assert told(change) == [line]


def test_every_stateful_resource_of_the_template_is_known() -> None:
    """Whatever the template keeps on purpose, and the role that endpoints run with."""
    source = template.load(package_files.template())["Resources"]
    kept = {one["Type"] for one in source.values() if one.get("DeletionPolicy") == "Retain"}

    assert kept <= set(changes.HOLDS)
    assert "EndpointRole" in source


def test_every_type_of_the_template_has_a_noun() -> None:
    """Those that SAM makes among them: no person need read a type's name."""
    source = template.load(package_files.template())
    for resource in source["Resources"].values():
        resource.get("Properties", {}).pop("DefinitionUri", None)
        if "CodeUri" in resource.get("Properties", {}):
            resource["Properties"].pop("CodeUri")
    source["Globals"]["Function"]["CodeUri"] = "s3://b/k"
    source["Resources"]["Deployment"]["Properties"]["Definition"] = {"StartAt": "A"}
    translated = sam.translate(source, {}, "us-east-1")["Resources"]

    assert {one["Type"] for one in translated.values()} <= set(changes.NOUNS)


def test_the_numbers_are_told_by_what_becomes_of_the_resources() -> None:
    """Only what there is."""
    found = changes.read(
        [described("A", ROLE, "Add"), described("B", ROLE), described("C", ROLE, Replacement="True")]
    )

    assert changes.counts(found) == "1 to add, 1 to change, 1 to replace"
    assert changes.counts([]) == ""


def test_a_change_that_is_no_resources_is_passed_over() -> None:
    """A change set may tell of a hook."""
    assert changes.read([{"Type": "Hook"}]) == ()


def test_a_change_is_a_json_object() -> None:
    """For machines: the verb, the names, whether it is certain, and what is lost."""
    (one,) = changes.read([described("Uploads", BUCKET, properties=["BucketName"], Replacement="True")])

    assert one.verb is Verb.REPLACE
    assert one.to_json() == {
        "change": "replace",
        "resource": "Uploads",
        "type": BUCKET,
        "properties": ["BucketName"],
        "certain": True,
        "kept": False,
        "lost": "the archives in it",
    }
