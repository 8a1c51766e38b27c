"""IAM's SimulatePrincipalPolicy for the local cloud, which moto has not: the same evaluation as that of every call.

Source of the decisions' names: the service model of `iam` (PolicyEvaluationDecisionType).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from local_cloud.faults import Response
from local_cloud.iam.policies import (
    PolicyRequest,
    PolicyVerdict,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_DECISIONS: Final = {PolicyVerdict.ALLOWED: "allowed", PolicyVerdict.FORBIDDEN: "explicitDeny"}
_XMLNS: Final = "https://iam.amazonaws.com/doc/2010-05-08/"


def answer(body: bytes, judge: Callable[[str, PolicyRequest], PolicyVerdict]) -> Response:
    """Return the decision about every action on every resource that is asked about.

    Args:
        body: of the request, a form.
        judge: returns what the policies of a role, by its name, say of a request.
    """
    form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
    role = form["PolicySourceArn"].rpartition("/")[2]
    actions = [value for name, value in form.items() if name.startswith("ActionNames.member.")]
    resources = [value for name, value in form.items() if name.startswith("ResourceArns.member.")] or ["*"]
    members = "".join(
        f"<member><EvalActionName>{escape(action)}</EvalActionName>"
        f"<EvalResourceName>{escape(resource)}</EvalResourceName>"
        f"<EvalDecision>{_DECISIONS.get(judge(role, PolicyRequest(action, resource)), 'implicitDeny')}</EvalDecision>"
        "</member>"
        for action in actions
        for resource in resources
    )
    text = (
        f'<SimulatePrincipalPolicyResponse xmlns="{_XMLNS}"><SimulatePrincipalPolicyResult>'
        f"<IsTruncated>false</IsTruncated><EvaluationResults>{members}</EvaluationResults>"
        "</SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
    )
    return Response(200, {"Content-Type": "text/xml"}, text.encode())
