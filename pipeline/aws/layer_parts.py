"""Parts of a layer, put into ECR's requests without the SDK's detour.

Owns how the bytes of UploadLayerPart come into its JSON. The SDK makes them a text in base64 and then looks at each
character of it for what JSON would have escaped; base64 has no such character, and the look takes half of all the time
that a part takes. The request is what the SDK would have sent. Refuses every other call, and an ECR without JSON.
"""

from __future__ import annotations

import binascii
import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from botocore.client import BaseClient

_FIELD: Final = "layerPartBlob"
_KEPT: Final = "sealift_layer_part"


def write_directly(client: BaseClient) -> None:
    """Let a client of ECR write the parts of layers into its requests directly."""
    if client.meta.service_model.resolved_protocol != "json":
        return  # another SDK's way of writing, which may take bytes as they are
    client.meta.events.register("before-parameter-build.ecr.UploadLayerPart", _keep)
    client.meta.events.register("before-call.ecr.UploadLayerPart", _insert)


def _keep(params: dict[str, Any], context: dict[str, Any], **_more: Any) -> None:
    """Let the SDK check and write the rest of the request."""
    context[_KEPT], params[_FIELD] = params[_FIELD], b""


def _insert(params: dict[str, Any], context: dict[str, Any], **_more: Any) -> None:
    document = json.loads(params["body"])
    del document[_FIELD]
    text = binascii.b2a_base64(context.pop(_KEPT), newline=False)
    params["body"] = b"".join((json.dumps(document)[:-1].encode(), f', "{_FIELD}": "'.encode(), text, b'"}'))
