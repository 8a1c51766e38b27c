"""CloudFormation on the local cloud, as AWS's own commands and other people's templates ask for it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline.aws.clients import Clients

TOPIC = "Resources: {Topic: {Type: AWS::SNS::Topic, Properties: {DisplayName: %s}}}"
ROLE = """
Resources:
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: 2012-10-17
        Statement: [{Effect: Allow, Principal: {Service: lambda.amazonaws.com}, Action: sts:AssumeRole}]
"""
BUCKET = """
Resources:
  Bucket:
    Type: AWS::S3::Bucket
    DeletionPolicy: Retain
    Properties: {VersioningConfiguration: {Status: Enabled}}
  Policy:
    Type: AWS::S3::BucketPolicy
    Properties:
      Bucket: !Ref Bucket
      PolicyDocument:
        Version: 2012-10-17
        Statement:
          - {Effect: Allow, Principal: {Service: serverlessrepo.amazonaws.com}, Action: s3:GetObject,
             Resource: !Join ["", ["arn:", !Ref "AWS::Partition", ":s3:::", !Ref Bucket, "/*"]]}
          - {Effect: Deny, Principal: "*", Action: "s3:GetObject",
             Resource: !Sub "arn:${AWS::Partition}:s3:::${Bucket}/secret/*"}
Outputs:
  Name: {Value: !Ref Bucket}
"""
MACHINE = """
Parameters: {Word: {Type: String}}
Resources:
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: 2012-10-17
        Statement: [{Effect: Allow, Principal: {Service: states.amazonaws.com}, Action: sts:AssumeRole}]
  Machine:
    Type: AWS::StepFunctions::StateMachine
    Properties:
      RoleArn: !GetAtt Role.Arn
      DefinitionS3Location: {Bucket: definitions, Key: hello.json}
      DefinitionSubstitutions: {Word: !Ref Word}
Outputs:
  Arn: {Value: !Ref Machine}
"""
SAM = """
Transform: AWS::Serverless-2016-10-31
Resources: {Table: {Type: AWS::Serverless::SimpleTable}}
"""


@pytest.fixture
def clients(url: str) -> Clients:
    """Return the clients of a person on the local cloud."""
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
    return Clients(endpoint_url=url, region="us-east-1", credentials=keys)


def made(clients: Clients, name: str, body: str, **more: Any) -> dict[str, str]:
    """Make a stack at once; return its outputs."""
    clients.cloudformation.create_stack(StackName=name, TemplateBody=body, **more)
    (found,) = clients.cloudformation.describe_stacks(StackName=name)["Stacks"]
    assert found["StackStatus"] == "CREATE_COMPLETE"
    return {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", ())}


def test_a_change_set_is_known_by_its_name_and_its_stack(clients: Clients) -> None:
    """Two stacks may have one of the same name each; what is listed, told, carried out and deleted is the one's."""
    cloudformation = clients.cloudformation
    for stack in ("one", "other"):
        cloudformation.create_change_set(
            StackName=stack, ChangeSetName="first", ChangeSetType="CREATE", TemplateBody=TOPIC % stack
        )

    for stack in ("one", "other"):
        (listed,) = cloudformation.list_change_sets(StackName=stack)["Summaries"]
        told = cloudformation.describe_change_set(StackName=stack, ChangeSetName="first")
        assert (listed["StackName"], told["StackName"]) == (stack, stack)

    cloudformation.execute_change_set(StackName="one", ChangeSetName="first")
    cloudformation.delete_change_set(StackName="other", ChangeSetName="first")

    assert cloudformation.describe_stacks(StackName="one")["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"
    with pytest.raises(ClientError, match=r"ChangeSet \[first\] does not exist"):
        cloudformation.describe_change_set(StackName="other", ChangeSetName="first")
    with pytest.raises(ClientError, match="cannot be executed in its current status"):
        cloudformation.execute_change_set(StackName="one", ChangeSetName="first")
    with pytest.raises(ClientError, match=r"Stack \[one\] already exists"):
        cloudformation.create_change_set(
            StackName="one", ChangeSetName="again", ChangeSetType="CREATE", TemplateBody=TOPIC % "one"
        )


def test_what_has_to_be_acknowledged_is_asked_for(clients: Clients) -> None:
    """Roles, and a transform where no change set can be looked at; without a word nothing is made."""
    for body, needed in ((ROLE, "CAPABILITY_IAM"), (SAM, "CAPABILITY_AUTO_EXPAND")):
        with pytest.raises(ClientError, match=rf"Requires capabilities : \[{needed}\]"):
            clients.cloudformation.create_stack(StackName="unasked", TemplateBody=body)
    with pytest.raises(ClientError, match="does not exist"):
        clients.cloudformation.describe_stacks(StackName="unasked")

    made(clients, "asked", ROLE, Capabilities=["CAPABILITY_NAMED_IAM"])


def test_a_large_template_has_to_come_from_s3(clients: Clients) -> None:
    """In a request there is room for 51,200 bytes."""
    clients.s3.create_bucket(Bucket="templates")
    body = f"# {'x' * (51_200 - len(TOPIC % 'large') - 3)}\n{TOPIC % 'large'}"
    assert len(body) == 51_200
    clients.s3.put_object(Bucket="templates", Key="one.yaml", Body=f"{body} ".encode())
    url = f"{clients.s3.meta.endpoint_url}/templates/one.yaml"

    with pytest.raises(ClientError, match="length less than or equal to 51200"):
        clients.cloudformation.create_stack(StackName="too-large", TemplateBody=f"{body} ")
    made(clients, "just-fits", body)
    clients.cloudformation.create_stack(StackName="from-s3", TemplateURL=url)

    assert clients.cloudformation.describe_stacks(StackName="from-s3")["Stacks"]


def test_a_template_is_told_as_it_was_sent(clients: Clients) -> None:
    """And on request as CloudFormation made it: `sam delete` looks there for what it uploaded."""
    made(clients, "sent", SAM, Capabilities=["CAPABILITY_AUTO_EXPAND"])

    original = clients.cloudformation.get_template(StackName="sent")["TemplateBody"]
    processed = clients.cloudformation.get_template(StackName="sent", TemplateStage="Processed")

    assert original == SAM
    assert "AWS::DynamoDB::Table" in json.dumps(processed["TemplateBody"])


def test_a_bucket_is_as_the_template_says(clients: Clients) -> None:
    """Its versions, and its policy, with a service of AWS in it and the partition, until the stack is gone."""
    bucket = made(clients, "bucket", BUCKET)["Name"]
    clients.s3.put_object(Bucket=bucket, Key="secret/1", Body=b"x")

    assert clients.s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    with pytest.raises(ClientError, match="explicit deny in a resource-based policy"):
        clients.s3.get_object(Bucket=bucket, Key="secret/1")

    clients.cloudformation.delete_stack(StackName="bucket")

    assert clients.s3.get_object(Bucket=bucket, Key="secret/1")["Body"].read() == b"x"


def test_a_workflow_comes_from_s3(clients: Clients) -> None:
    """With its substitutions, and again when they change; one that is not there fails the stack."""
    clients.s3.create_bucket(Bucket="definitions")
    states = {"Say": {"Type": "Pass", "Result": "${Word}", "End": True}}
    body = json.dumps({"StartAt": "Say", "States": states}).encode()
    iam = {"Capabilities": ["CAPABILITY_IAM"]}

    def words(word: str) -> Any:
        return [{"ParameterKey": "Word", "ParameterValue": word}]

    clients.cloudformation.create_stack(
        StackName="early", TemplateBody=MACHINE, Parameters=words("none"), **iam
    )
    early = clients.cloudformation.describe_stacks(StackName="early")["Stacks"][0]["StackStatus"]
    clients.s3.put_object(Bucket="definitions", Key="hello.json", Body=body)
    arn = made(clients, "workflow", MACHINE, Parameters=words("ahoy"), **iam)["Arn"]
    said = clients.stepfunctions.describe_state_machine(stateMachineArn=arn)["definition"]
    clients.cloudformation.update_stack(
        StackName="workflow", TemplateBody=MACHINE, Parameters=words("farewell"), **iam
    )
    changed = clients.stepfunctions.describe_state_machine(stateMachineArn=arn)["definition"]

    assert early == "ROLLBACK_COMPLETE"
    assert json.loads(said)["States"]["Say"]["Result"] == "ahoy"
    assert json.loads(changed)["States"]["Say"]["Result"] == "farewell"
    with pytest.raises(ClientError, match="No updates are to be performed"):
        clients.cloudformation.update_stack(
            StackName="workflow", TemplateBody=MACHINE, Parameters=words("farewell"), **iam
        )


def test_a_parameter_that_the_template_does_not_have_is_refused(clients: Clients) -> None:
    """As by AWS, before anything is made."""
    with pytest.raises(ClientError, match=r"Parameters: \[Colour\] do not exist in the template"):
        clients.cloudformation.create_stack(
            StackName="painted",
            TemplateBody=TOPIC % "painted",
            Parameters=[{"ParameterKey": "Colour", "ParameterValue": "red"}],
        )


def test_a_list_is_kept_and_told_as_it_was_given(clients: Clients) -> None:
    """It is one text to whoever gives it, and a list to the template."""
    body = """
Parameters: {Names: {Type: CommaDelimitedList}, Days: {Type: Number, Default: 3}}
Resources: {Topic: {Type: AWS::SNS::Topic, Properties: {DisplayName: !Join ["+", !Ref Names]}}}
"""
    given: Any = [{"ParameterKey": "Names", "ParameterValue": "a,b"}]
    kept: Any = [{"ParameterKey": "Names", "UsePreviousValue": True}]
    made(clients, "listed", body, Parameters=given)

    changed = clients.cloudformation.update_stack(
        StackName="listed", TemplateBody=body.replace("+", "-"), Parameters=kept
    )

    (found,) = clients.cloudformation.describe_stacks(StackName=changed["StackId"])["Stacks"]
    told = {one["ParameterKey"]: one["ParameterValue"] for one in found["Parameters"]}
    assert (found["StackStatus"], told) == ("UPDATE_COMPLETE", {"Names": "a,b", "Days": "3"})


CONDITIONAL = """
Parameters: {Wanted: {Type: String, Default: "false"}}
Conditions: {HasGrants: !Equals [!Ref Wanted, "true"]}
Resources:
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: 2012-10-17
        Statement: [{Effect: Allow, Principal: {Service: lambda.amazonaws.com}, Action: sts:AssumeRole}]
  Grants:
    Type: AWS::IAM::Policy
    Condition: HasGrants
    Properties:
      PolicyName: grants
      Roles: [!Ref Role]
      PolicyDocument:
        Version: 2012-10-17
        Statement: [{Effect: Allow, Action: s3:GetObject, Resource: "arn:aws:s3:::x/*"}]
Outputs:
  Name: {Value: !Ref Role}
"""


def test_what_a_condition_took_away_comes_again(clients: Clients) -> None:
    """And goes again: each time as if it had never been there."""
    role = made(clients, "conditional", CONDITIONAL, Capabilities=["CAPABILITY_IAM"])["Name"]
    there = []
    for value in ("true", "false", "true", "false"):
        clients.cloudformation.update_stack(
            StackName="conditional",
            TemplateBody=CONDITIONAL,
            Parameters=[{"ParameterKey": "Wanted", "ParameterValue": value}],
            Capabilities=["CAPABILITY_IAM"],
        )
        (stack,) = clients.cloudformation.describe_stacks(StackName="conditional")["Stacks"]
        assert stack["StackStatus"] == "UPDATE_COMPLETE"
        there.append(bool(clients.iam.list_role_policies(RoleName=role)["PolicyNames"]))

    assert there == [True, False, True, False]
