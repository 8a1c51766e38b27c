"""`sealift watch` and `sealift start`: follow a deployment that is under way, or one that is started here by hand.

Refuses an execution that does not exist, and an input that the workflow's first state would refuse, by the same rules
and in the names that the person gave.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline import naming, settings
from pipeline.aws import service_errors
from pipeline.aws.clients import Clients
from pipeline.cli import following, preflight, prospects, reading
from pipeline.cli.commands.archives import place
from pipeline.cli.endings import INTERRUPTED, Misuse
from pipeline.cli.following import Events
from pipeline.cli.screen import Screen
from pipeline.errors import Problem, TransientError
from pipeline.operations import executions
from pipeline.planning import deployment_request, request_fields, request_sources
from pipeline.rollout import sidecars

if TYPE_CHECKING:
    from pipeline.cli.options import FollowingOptions, StartOptions, WatchOptions


def watch(arguments: WatchOptions) -> int:
    """Follow an execution, by its ARN or its name, or the newest one of a service."""
    clients = Clients(region=settings.region())
    with service_errors.translated():
        arn = executions.find(clients.stepfunctions, arguments.execution, arguments.stack)
    return followed(arguments, clients, arn)


def start(arguments: StartOptions) -> int:
    """Start a deployment by hand, and follow it."""
    document = _document(arguments)
    name = reading.name_of(arguments.input) if arguments.input is not None else "command line"
    deployment_request.archive_location(document, name)
    deployment_request.check_settings(document, name, request_fields.EXECUTION_INPUT)
    screen = Screen(sys.stderr, quiet=arguments.quiet)
    service = naming.service_of(document) or "by-hand"
    execution = executions.by_hand_name(service, datetime.now(UTC))
    clients = Clients(region=settings.region())
    with service_errors.translated():
        screen.hint("looking at the stack ...")
        found = preflight.find_stack(clients, arguments.stack or settings.STACK)
        archive = document["archive"]
        names = request_sources.PlannedNames(name, sidecars.place(archive["bucket"], archive["key"]))
        asked = preflight.request(document, preflight.beside(clients, archive, screen.say), found, names)
        served = preflight.served(clients, asked.request, found.outputs)
        for note in filter(None, (*prospects.notes(clients, asked, found.reach), served.note)):
            if arguments.json:
                Events(sys.stdout).emit("note", text=note)
            else:
                screen.say(note)
        screen.clear()
        arn = clients.stepfunctions.start_execution(
            stateMachineArn=found.outputs["StateMachineArn"], name=execution, input=json.dumps(document)
        )["executionArn"]
    return left_alone(arguments, arn) if arguments.no_follow else followed(arguments, clients, arn)


def followed(arguments: FollowingOptions, clients: Clients, arn: str, events: Events | None = None) -> int:
    """Show an execution until it has ended; return the exit status: 0 for a success, 1 for any other end.

    With Ctrl-C the deployment goes on, and how to come back is said: 130.
    """
    screen = Screen.of(arguments)
    name = arn.rpartition(":")[2]
    view: following.View
    if arguments.json:
        view = events or Events(sys.stdout, quiet=arguments.quiet)
    else:
        screen.step(f"execution {arn}")
        view = following.view_on(screen, leaving="Ctrl-C leaves it running")
    try:
        with service_errors.translated():
            ended = following.follow(clients.stepfunctions, arn, view)
    except KeyboardInterrupt:
        screen.say()
        _leave(screen, come_back(arguments, name))
        return INTERRUPTED
    except TransientError:
        _leave(screen, come_back(arguments, name))
        raise
    if not arguments.json:
        following.conclude(ended, screen)
    return 0 if ended.status == "SUCCEEDED" else 1


def _leave(screen: Screen, command: str) -> None:
    """Say that nothing is lost, and how to come back: a command of its own line, to be copied."""
    screen.keep()
    screen.say("the deployment continues; follow it again with")
    screen.say(f"  {command}")


def left_alone(arguments: FollowingOptions, arn: str, events: Events | None = None) -> int:
    """Say which execution was started, and how to follow it later."""
    name = arn.rpartition(":")[2]
    if arguments.json:
        (events or Events(sys.stdout)).emit("execution", execution_arn=arn, status="RUNNING")
    else:
        screen = Screen(sys.stdout)
        screen.say(f"execution {arn}")
        screen.say("follow it with")
        screen.say(f"  {come_back(arguments, name)}")
    return 0


def come_back(arguments: FollowingOptions, name: str) -> str:
    """Return the command that follows an execution."""
    elsewhere = f" --stack {arguments.stack}" if arguments.stack else ""
    return f"sealift watch {name}{elsewhere}"


def _document(arguments: StartOptions) -> dict[str, Any]:
    """Return the execution's input: the file's, and what the command line adds."""
    document = reading.read_object(arguments.input) if arguments.input is not None else {}
    if arguments.place:
        bucket, key = place(arguments.place)
        document = {**document, "archive": {"bucket": bucket, "key": key}}
    if arguments.service:
        document = {**document, "service": checked_service(arguments.service)}
    if not document:
        seen = "neither --input nor --archive"
        fix = "give --archive s3://bucket/key, or --input FILE with an execution's input"
        raise Misuse("command line", [Problem("NothingToStart", seen, "an archive to deploy", fix)])
    return document


def checked_service(service: str) -> str:
    """Return a service's name that is one."""
    if not re.fullmatch(naming.SERVICE_PATTERN, service):
        problem = Problem(
            "WrongValue",
            f"service {service!r}",
            "at most 40 lower-case letters, digits and single hyphens",
            "choose a name like harbour-assistant",
            "--service",
        )
        raise Misuse("command line", [problem])
    return service
