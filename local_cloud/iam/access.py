"""Who calls, by which policies, and the refusal that AWS would give: IAM in front of everything in the local cloud.

Evaluates each call of a role's temporary credentials against that role's policies as they are deployed, and every call
of S3 against the bucket's policy. Whoever has other credentials is the account's administrator, as the person is who
runs the local cloud. Refuses to decide what a policy means, and what a call needs: that is `policies` and
`authorizations`.

Source of the texts: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

from local_cloud import bearer_tokens
from local_cloud.calls import OPENAI_CALL
from local_cloud.faults import Response, render
from local_cloud.iam import (
    authorizations,
    keys,
    policies,
    secrets,
)
from local_cloud.iam.authorizations import UnknownNeedsError
from local_cloud.iam.policies import (
    Policy,
    PolicyRequest,
    PolicyVerdict,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local_cloud.calls import AwsCall

KEPT_DECISIONS = 100_000
_REST = frozenset({"lambda", "sagemaker-runtime", "s3"})
"""Services that say 403 with a denial; the JSON protocols say 400."""
_TAG_KEYS = {"sagemaker": ("aws",), "ecr": ("aws", "ecr")}
"""How the keys of conditions on a resource's tags begin, by service."""
_CODES = {"s3": "AccessDenied", "cloudwatch": "AccessDenied", "sns": "AuthorizationError"}
"""Error codes of a denial other than AccessDeniedException."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A session of a role."""

    role: str
    """Its name."""
    session: str
    account_id: str

    @property
    def arn(self) -> str:
        """The ARN as AWS's refusals have it."""
        return f"arn:aws:sts::{self.account_id}:assumed-role/{self.role}/{self.session}"


@dataclass(frozen=True, slots=True)
class Decided:
    """One permission that was requested, and what came of it."""

    role: str
    request: PolicyRequest
    verdict: PolicyVerdict


@dataclass(slots=True)
class Access:
    """The decisions of one account.

    Args:
        account_id: of the account.
        tags: returns the tags of a resource of SageMaker's or of ECR's by its ARN, none for one that is not there.
        key_of: returns the KMS key of a function by its name, None when it has none of its own.
        volume_key_of: returns the key of an endpoint configuration by its name, None when it has none.
        enforced: whether what policies do not allow is refused; a bearer token that is not good is refused always.
        tagged: tells whether an object (bucket, key, version) has tags; none has when None.
        region: for which a bearer token has to be.
        own_keys: the account's own secret keys, by their public side.
        clock: returns the time in seconds since 1970.
    """

    account_id: str
    tags: Callable[[str], Mapping[str, str]]
    key_of: Callable[[str], str | None] = lambda _name: None
    volume_key_of: Callable[[str], str | None] = lambda _config: None
    enforced: bool = True
    tagged: Callable[[str, str, str | None], bool] | None = None
    region: str = "us-east-1"
    own_keys: Mapping[str, str] = field(default_factory=dict)
    clock: Callable[[], float] = time.time
    decided: deque[Decided] = field(default_factory=lambda: deque(maxlen=KEPT_DECISIONS))
    _buckets: dict[str, Policy] = field(default_factory=dict)
    _sessions: dict[str, Principal] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def protect(self, bucket: str, document: str) -> None:
        """Put a bucket's policy in force.

        moto's own evaluation would ignore its conditions, and so refuse everything; it never sees it.
        """
        self._buckets[bucket] = policies.parse(document)

    def unprotect(self, bucket: str) -> None:
        """Take a bucket's policy away."""
        self._buckets.pop(bucket, None)

    def policy(self, role: str) -> Policy:
        """Return the statements of a role's policies, inline and attached; none for a role that is not there."""
        found = next((one for one in self._roles() if one.name == role), None)
        if found is None:
            return ()
        attached = (one.document for one in found.managed_policies.values())
        documents = (*found.policies.values(), *attached)
        return tuple(one for document in documents for one in policies.parse(_text(document)))

    def refuse(self, call: AwsCall, environ: Mapping[str, Any], body: bytes) -> Response | None:
        """Return AWS's refusal of a call that its caller may not make, else None."""
        refusal = self._refuse_token(call, environ) if call.operation == OPENAI_CALL else None
        if refusal is not None:
            return refusal
        if not self.enforced:
            return None
        principal = self._principal(call)
        asked = authorizations.asked(call, environ, body, self.account_id, self.tagged)
        if isinstance(principal, Response):
            return principal
        try:
            needed = authorizations.needs(asked) if principal or call.service == "s3" else ()
            grants = authorizations.volume_grants(asked, self.volume_key_of) if principal else ()
        except UnknownNeedsError as unknown:
            # An administrator may do anything; for a role, what is not known is not allowed.
            return _denial(call, str(unknown)) if principal else None
        for request in (*needed, *grants):
            words = self._judge(principal, request)
            if words:
                return _denial(call, words)
        for request in keys.to_write(asked, self.key_of) if call.service == "lambda" else ():
            words = self._judge(principal, request)
            if words:
                return _denial(call, keys.UNWRITABLE.format(words))
        return None

    def _refuse_token(self, call: AwsCall, environ: Mapping[str, Any]) -> Response | None:
        """Return the refusal of a bearer token that is not good: who calls comes before what they may do."""
        try:
            token = bearer_tokens.read(str(environ.get("HTTP_AUTHORIZATION", "")))
            key = secrets.find(token.access_key, self.account_id, self.own_keys)
            bearer_tokens.check(token, now=self.clock(), region=self.region, key=key)
        except bearer_tokens.TokenRefused as refused:
            return _denial(call, str(refused), refused.code)
        return None

    def hide_variables(self, call: AwsCall, environ: Mapping[str, Any], response: Response) -> Response:
        """Return an answer as its caller may see it.

        Without s3:ListBucket nobody learns that a key is missing; without kms:Decrypt nobody sees variables that a
        customer's own key encrypts.
        """
        if not self.enforced:
            return response
        if call.service == "lambda":
            caller = self._principal(call)
            if isinstance(caller, Response):
                return response
            return keys.hidden(response, lambda request: self._judge(caller, request))
        if response.status != 404:
            return response
        asked = authorizations.asked(call, environ, b"", self.account_id)
        request, principal = authorizations.existence_request(asked), self._principal(call)
        if request is None or not isinstance(principal, Principal):
            return response
        refusal = self._judge(principal, request)
        return _denial(call, refusal) if refusal else response

    def may(self, role_arn: str, requests: list[PolicyRequest]) -> bool:
        """Return whether a role may do all of what AWS does in its name without an API call that could be seen here."""
        principal = Principal(role_arn.rpartition("/")[2], "local", self.account_id)
        if not self.enforced:
            return True
        refusal = [self._judge(principal, request) for request in requests]
        return not any(refusal)

    def simulate(self, role: str, request: PolicyRequest) -> PolicyVerdict:
        """Return what a role's policies say of a request that nobody makes."""
        return policies.judge(self.policy(role), self._with_context(None, request))

    def _judge(self, principal: Principal | None, request: PolicyRequest) -> str:
        """Return the words of a refusal; empty when the request is allowed."""
        request = self._with_context(principal, request)
        bucket = request.resource.removeprefix("arn:aws:s3:::").partition("/")[0]
        if policies.judge(self._buckets.get(bucket, ()), request) is PolicyVerdict.FORBIDDEN:
            return _denial_text(principal, request, "with an explicit deny in a resource-based policy")
        if principal is None:
            return ""
        verdict = policies.judge(self.policy(principal.role), request)
        self.decided.append(Decided(principal.role, request, verdict))
        if verdict is PolicyVerdict.ALLOWED:
            return ""
        if verdict is PolicyVerdict.FORBIDDEN:
            return _denial_text(principal, request, "with an explicit deny in an identity-based policy")
        return _denial_text(
            principal,
            request,
            f"because no identity-based policy allows the {_action_as_worded(request.action)} action",
        )

    def _with_context(self, principal: Principal | None, request: PolicyRequest) -> PolicyRequest:
        account = principal.account_id if principal else self.account_id
        context = [
            *request.context,
            ("aws:PrincipalAccount", (account,)),
            ("aws:PrincipalIsAWSService", ("false",)),
            # The local cloud has one machine and no certificate: what AWS would call secure is taken as given.
            ("aws:SecureTransport", ("true",)),
        ]
        service = request.resource.split(":")[2] if request.resource.startswith("arn:aws:") else ""
        for prefix in _TAG_KEYS.get(service, ()):
            tags = self.tags(request.resource)
            context += [(f"{prefix}:ResourceTag/{key}", (value,)) for key, value in tags.items()]
        return replace(request, context=tuple(context))

    def _principal(self, call: AwsCall) -> Principal | Response | None:
        """Return whose role's session it is, None for the administrator's own; a refusal for credentials of nobody."""
        with self._lock:
            known = self._sessions.get(call.access_key)
            if known is not None:
                return known
            for backends in tuple(sts_backends.values()):
                for one in backends["aws"].assumed_roles:
                    if one.access_key_id == call.access_key:
                        role = one.role_arn.rpartition("/")[2]
                        found = Principal(role, one.session_name, one.role_arn.split(":")[4])
                        self._sessions[call.access_key] = found
                        return found
        if call.access_key.startswith(secrets.TEMPORARY):
            return _denial(call, bearer_tokens.UNKNOWN_KEY_TEXT, bearer_tokens.UNKNOWN_KEY)
        return None

    def _roles(self) -> list[Any]:
        return list(iam_backends[self.account_id]["aws"].roles.values())


def _text(document: str | dict[str, Any]) -> str:
    # moto keeps what CloudFormation gave it as it was given.
    return document if isinstance(document, str) else json.dumps(document)


def _action_as_worded(action: str) -> str:
    return action.replace("sns:", "SNS:")


def _denial_text(principal: Principal | None, request: PolicyRequest, why: str) -> str:
    who = principal.arn if principal else "the account's administrator"
    # S3 puts the resource in quotation marks.
    about = f'"{request.resource}"' if request.action.startswith("s3:") else request.resource
    on = "" if request.resource == authorizations.ANY else f" on resource: {about}"
    return f"User: {who} is not authorized to perform: {_action_as_worded(request.action)}{on} {why}"


def _denial(call: AwsCall, refusal: str, code: str | None = None) -> Response:
    response = render(call, code or _CODES.get(call.service, "AccessDeniedException"), refusal)
    status = 403 if call.service in {*_REST, *_CODES} else 400
    return Response(status, response.headers, response.body)
