"""What an AWS service answered when it refused: predicates that read its prose, and the translation into our errors.

boto3 has classes of its own only for the errors that a service models. Everything else, ValidationException,
throttling and denied access among it, arrives as `ClientError`; Lambda would report just that name, and the
state machine could not tell them apart. `translated` is what each function and command runs in.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError

from pipeline import settings
from pipeline.aws import quota_errors, sdk_errors
from pipeline.errors import (
    CONSUMER_DENIED,
    AccessDenied,
    ConsumerBusy,
    ConsumerChanged,
    EndpointBusy,
    ModelNotReady,
    NameConflict,
    Problem,
    QuotaTooSmall,
    QuotaUsedUp,
    RequestRejected,
    ResourceLimitExceeded,
    SealiftError,
    ServiceUnavailable,
    Throttled,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pipeline.errors import ErrorFields
    from pipeline.quota_refusal import QuotaRefusal


@contextmanager
def translated() -> Iterator[None]:
    """Raise Sealift's error for every boto3 error of the block; others pass as they are."""
    try:
        yield
    except ClientError as error:
        raise translate(error) from error
    except S3UploadFailedError as error:
        # The transfer manager wraps what S3 said, and keeps it only as the context.
        if isinstance(error.__context__, ClientError):
            raise translate(error.__context__) from error
        raise ServiceUnavailable(f"{error}; wanted the upload to be complete; try again") from error
    except Exception as error:
        if (known := sdk_errors.translate(error)) is None:
            raise
        raise known from error


def translation(error: Exception) -> Exception:
    """Return Sealift's error for an error of boto3's; any other as it is."""
    try:
        with translated():
            raise error  # noqa: TRY301 to hear what becomes of it
    except Exception as found:  # noqa: BLE001 whatever it has become is the answer
        return found


def translate(error: ClientError) -> SealiftError:
    """Return Sealift's error for an AWS error response."""
    name, message, operation = code(error), text(error), error.operation_name
    message = _message(error)
    if is_over_quota(error):
        return over_quota(error)
    if name == "ModelNotReadyException" or is_at_none(error):
        return ModelNotReady(message)
    if name in _THROTTLES or status(error) == 429:
        return Throttled(f"{message}; wanted fewer calls at a time; try again in a moment")
    # Lambda's, of a function that somebody updates: the consumer is the only one that tasks touch.
    if name == "ResourceConflictException":
        return ConsumerBusy(message)
    if name == "PreconditionFailedException":
        return ConsumerChanged(message)
    if refusal := _not_let_in(error, message):
        return refusal
    if is_in_progress(error):
        return EndpointBusy(message)
    if is_already_existing(error):
        return NameConflict(
            operation,
            [
                Problem(
                    "AlreadyExists",
                    message,
                    "a name that is free",
                    "delete what has the name, or wait until it is gone",
                )
            ],
        )
    if status(error) >= 500 or name in _OUTAGES:
        return ServiceUnavailable(f"{message}; wanted an answer of the service's; try again in a moment")
    return RequestRejected(
        operation,
        [
            Problem(
                name, message, "a request that AWS accepts", "correct the execution input; see the message"
            )
        ],
        # AWS's words may tell the cause; this does not.
        why="",
        fix="",
    )


def _not_let_in(error: ClientError, message: str) -> SealiftError | None:
    """Return the error for a caller whom AWS does not let in, or not there; None for one whom it does."""
    if is_access_denied(error):
        return access_denied(error.operation_name, text(error))
    if is_not_authenticated(error):
        return sdk_errors.no_credentials(message)
    if is_wrong_clock(error):
        fix = "set this machine's clock, then try again"
        wanted = "a request that was signed at AWS's time"
        return AccessDenied("AWS", [Problem("WrongClock", message, wanted, fix)])
    if is_other_region(error):
        fix = "name the region that it is in with --region, AWS_REGION or in sealift.toml"
        return RequestRejected(
            "AWS", [Problem("WrongRegion", message, "a call in the region of what it names", fix)]
        )
    return None


def over_quota(
    error: ClientError, *, adapts: bool = False
) -> ResourceLimitExceeded | QuotaTooSmall | QuotaUsedUp:
    """Return the error for a quota's refusal, with AWS's own text and what that says.

    Args:
        error: a ResourceLimitExceeded.
        adapts: whether whoever asked waits for nobody, so that it is of no use to try the same again.
    """
    message, refusal = _message(error), quota_refusal(error)
    if refusal.never_fits:
        fix = f"ask for at most {refusal.limit}, or ask AWS to raise '{refusal.name}'"
        wanted = f"a request delta of at most {refusal.limit}"
        return QuotaTooSmall("quota", [Problem("QuotaTooSmall", message, wanted, fix)], refusal=refusal)
    if adapts:
        goes_on = "the capacity ladder continues with what is free"
        used_up = Problem("QuotaUsedUp", message, "room in the quota", goes_on)
        return QuotaUsedUp("quota", [used_up], refusal=refusal)
    held = f" '{refusal.name}', {refusal.used} of {refusal.limit} in use" if refusal.name else ""
    return ResourceLimitExceeded(message, refusal=refusal, waiting=f"{ResourceLimitExceeded.waiting}{held}")


def quota_refusal(error: ClientError) -> QuotaRefusal:
    """Return what AWS says of a quota; the one place where that is read out of its text."""
    return quota_errors.read_refusal(_message(error))


def raise_over_quota(error: ClientError, *, adapts: bool) -> None:
    """Raise the error for a quota's refusal, as `over_quota` makes it; return for any other error."""
    if is_over_quota(error):
        raise over_quota(error, adapts=adapts) from error


def _message(error: ClientError) -> str:
    return f"{error.operation_name}: {code(error)}: {text(error)}"


def access_denied(operation: str, message: str) -> AccessDenied:
    """Return the error for a denied call, with the action and the principal where AWS names them."""
    action = re.search(r"perform: ([\w-]+:\w+)", message)
    principal = re.search(r"(?:User|Role|principal): (\S+)", message)
    who = principal[1] if principal else "the role of this function"
    what = action[1] if action else operation
    problem = Problem(
        "AccessDenied",
        message or "access denied",
        f"{what} to be allowed",
        f"add {what} to the policies of {who}",
    )
    return AccessDenied(operation, [problem], **CONSUMER_CAUSES.get(what.partition(":")[0], {}))


CONSUMER_CAUSES: Final[dict[str, ErrorFields]] = {
    # The consumer is the only function that tasks touch.
    "lambda": {
        "cause": CONSUMER_DENIED,
        "why": "AWS denied a call about the consumer Lambda, though its name is one that the stack may switch",
        "fix": "look for a permissions boundary, an organization's policy (SCP) or a changed role that denies the "
        "action that the message names; `sealift deploy` puts the stack's own roles right, and its parameter "
        f"{settings.FUNCTION_PATTERN} names the functions that they may switch",
    },
    # What Lambda does with the consumer's key in the task's name.
    "kms": {
        "cause": CONSUMER_DENIED,
        "why": "the consumer's environment variables are encrypted with a key that the stack's roles may not use",
        "fix": f"give the stack the key in its parameter {settings.KMS_KEYS}, and let the key's policy allow what the "
        "account's IAM policies allow",
    },
}
"""What is known of a denied action, by the service that it belongs to."""


_THROTTLES = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "SlowDown",
        "BandwidthLimitExceeded",
        # Of the logs: something else changes the same group.
        "OperationAbortedException",
        # The same of a parameter.
        "TooManyUpdates",
    }
)
_NOT_AUTHENTICATED = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "InvalidToken",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_WRONG_CLOCK = frozenset({"RequestExpired", "RequestTimeTooSkewed", "RequestInTheFuture"})
_OTHER_REGION = frozenset(
    {"AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect", "301"}
)
_DENIALS = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "Forbidden", "403"})
_OUTAGES = frozenset(
    {
        "InternalFailure",
        "InternalError",
        "InternalServerException",
        # In the middle of a streamed answer.
        "InternalStreamFailure",
        "ServiceUnavailable",
        "RequestTimeout",
    }
)


def code(error: ClientError) -> str:
    """Return the error code of a response."""
    return str(error.response.get("Error", {}).get("Code", "Unknown"))


def text(error: ClientError) -> str:
    """Return the message of a response."""
    return str(error.response.get("Error", {}).get("Message", ""))


def status(error: ClientError) -> int:
    """Return the HTTP status of a response; 0 when it is not known."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_access_denied(error: ClientError) -> bool:
    """Return whether the caller lacks a permission."""
    return code(error) in _DENIALS


def is_wrong_clock(error: ClientError) -> bool:
    """Return whether a request was signed at another time than AWS's.

    Services with signature errors of one code tell it in words: ``Signature expired: 2026... is now earlier than
    2026...``, ``Signature not yet current: ...``.
    """
    return code(error) in _WRONG_CLOCK or (
        code(error) in _NOT_AUTHENTICATED
        and text(error).startswith(("Signature expired", "Signature not yet current"))
    )


def is_not_authenticated(error: ClientError) -> bool:
    """Return whether AWS does not know the credentials, or not any more."""
    return code(error) in _NOT_AUTHENTICATED and not is_wrong_clock(error)


def is_other_region(error: ClientError) -> bool:
    """Return whether what was named is in another region than the one that was called."""
    return code(error) in _OTHER_REGION


def is_over_quota(error: ClientError) -> bool:
    """Return whether an account quota refused the call."""
    return code(error) == "ResourceLimitExceeded"


def is_already_existing(error: ClientError) -> bool:
    """Return whether SageMaker or Logs refused a create because the name is taken.

    SageMaker has no error class for it: ``Cannot create already existing endpoint "arn:..."``.
    """
    return code(error) == "ResourceAlreadyExistsException" or (
        code(error) == "ValidationException" and "Cannot create already existing" in text(error)
    )


def is_missing(error: ClientError) -> bool:
    """Return whether SageMaker, Lambda or Logs does not know what was named.

    SageMaker: ``Could not find endpoint "arn:..."``, likewise endpoint configuration and model; the others
    have ResourceNotFoundException.
    """
    return code(error) in {"ResourceNotFoundException", "ResourceNotFound"} or (
        code(error) == "ValidationException" and text(error).startswith("Could not find")
    )


def is_missing_target(error: ClientError) -> bool:
    """Return whether Application Auto Scaling has no such target; its words are the same under either code.

    ``No scalable target found for service namespace: sagemaker, resource ID: ..., scalable dimension: ...``
    """
    return code(error) == "ObjectNotFoundException" or text(error).startswith("No scalable target found")


def is_missing_endpoint(error: ClientError) -> bool:
    """Return whether SageMaker does not know an endpoint, not something else that the call named."""
    return is_missing(error) and text(error).startswith('Could not find endpoint "')


def or_none(describe: Callable[..., Any], **name: str) -> Mapping[str, Any] | None:
    """Return what is described; None when it is gone."""
    try:
        found: Mapping[str, Any] = describe(**name)
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    return found


def is_missing_dependency(error: ClientError) -> bool:
    """Return whether a create failed because what it refers to is not visible (yet).

    The model and the configuration were created moments ago, so this is SageMaker's eventual consistency:
    its API reference recommends retry logic. Model data that is missing is another matter.
    """
    return is_missing(error) and "model data" not in text(error)


def is_in_progress(error: ClientError) -> bool:
    """Return whether an endpoint, or its scalable target, cannot be changed or deleted now.

    SageMaker's words: ``Cannot update in-progress endpoint "arn:..."``, and of an inference component ``Cannot delete
    inference component ... while it is in state CREATE_IN_PROGRESS``; Application Auto Scaling has a code for it.
    """
    if code(error) == "ConcurrentUpdateException":
        return True
    said = text(error)
    busy = "in-progress endpoint" in said or ("inference component" in said and "_IN_PROGRESS" in said)
    return code(error) == "ValidationException" and busy


def is_refused_as_invalid(error: ClientError) -> bool:
    """Return whether SageMaker refuses the request itself: not what it names, nor the moment."""
    return code(error) == "ValidationException" and not (is_missing(error) or is_in_progress(error))


def is_unknown_to_runtime(error: ClientError) -> bool:
    """Return whether the runtime does not know an endpoint.

    Its words: ``Endpoint NAME of account ID not found.``
    """
    return code(error) == "ValidationError" and "not found" in text(error)


def is_at_none(error: ClientError) -> bool:
    """Return whether a call found no copy of an inference component, which has scaled to none: it starts one.

    Its words: ``Inference Component has no capacity to process this request. ...``
    """
    return code(error) == "ValidationError" and "has no capacity to process" in text(error)


def is_no_such_key(error: ClientError) -> bool:
    """Return whether S3 has no such object (HeadObject has no body, so its code is the bare 404)."""
    return code(error) in {"NoSuchKey", "NoSuchVersion", "NoSuchBucket", "404"}


def is_missing_parameter(error: ClientError) -> bool:
    """Return whether SSM has no such parameter, or no such version of it."""
    return code(error) in {"ParameterNotFound", "ParameterVersionNotFound", "InvalidResourceId"}


def is_no_such_image(error: ClientError) -> bool:
    """Return whether ECR has no such repository, or no image of that tag or digest in it."""
    return code(error) in {"RepositoryNotFoundException", "ImageNotFoundException"}


def is_no_such_budget(error: ClientError) -> bool:
    """Return whether AWS Budgets has no budget of a name in the account."""
    return code(error) == "NotFoundException"


def is_no_such_stack(error: ClientError) -> bool:
    """Return whether CloudFormation has no stack of a name: ``Stack with id NAME does not exist``."""
    return code(error) == "ValidationError" and "does not exist" in text(error)


def says_no_changes(reason: str) -> bool:
    """Return whether a change set failed because there was nothing to change; CloudFormation has two texts for it.

    ``The submitted information didn't contain changes. Submit different information to create a change set.``, and
    ``No updates are to be performed.``
    """
    return "didn't contain changes" in reason or "No updates are to be performed" in reason
