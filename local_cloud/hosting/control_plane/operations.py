"""The control plane: an operation's name and parameters in, its answer out.

Owns the models, the endpoint configurations and all tags, and what each operation does with them; endpoints
are `fleet`'s. Refuses to speak HTTP: that is `protocol`.
"""

from __future__ import annotations

import logging
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_cloud.hosting.containers.model_files import ObjectMissing, split_url
from local_cloud.hosting.control_plane import (
    descriptions,
    requests,
    rules,
)
from local_cloud.hosting.control_plane.listings import (
    cut,
    page,
)
from local_cloud.hosting.platform import texts
from local_cloud.hosting.platform.refusals import (
    AwsError,
    invalid,
)
from local_cloud.hosting.platform.resources import (
    Capacity,
    Deployment,
    EndpointConfig,
    Model,
    ResourceKind,
    Shelf,
)
from pipeline import instance_pools

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local_cloud.hosting.components import Components
    from local_cloud.hosting.containers.model_files import Fetch, Objects
    from local_cloud.hosting.fleet import Fleet
    from local_cloud.hosting.platform.images import Images
    from local_cloud.hosting.platform.networks import Networks
    from local_cloud.hosting.platform.resources import AwsAccount

_LOGGER = logging.getLogger(__name__)
_TAGS_PAGE = 50
"""MaxResults of ListTags when none is given; the service model allows no fewer."""


class ControlPlane:
    """The operations of `requests.OPERATIONS`."""

    def __init__(
        self,
        *,
        account: AwsAccount,
        fleet: Fleet,
        components: Components,
        fetch: Fetch,
        exists: Callable[[str, str, str], bool] | None,
        objects: Objects,
        images: Images | None,
        networks: Networks | None,
        clock: Callable[[], float],
    ) -> None:
        self._account = account
        self._fleet = fleet
        self._components = components
        self._fetch = fetch
        self._exists = exists
        self._objects = objects
        self._images = images
        self._networks = networks
        self._clock = clock
        self._lock = threading.RLock()
        self._models: Shelf[Model] = Shelf(ResourceKind.MODEL, account)
        self._configs: Shelf[EndpointConfig] = Shelf(ResourceKind.ENDPOINT_CONFIG, account)
        self._tags: dict[str, dict[str, str]] = {}
        self._handlers: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "AddTags": self._add_tags,
            "CreateEndpoint": self._create_endpoint,
            "CreateEndpointConfig": self._create_endpoint_config,
            "CreateInferenceComponent": self._create_component,
            "CreateModel": self._create_model,
            "DeleteEndpoint": self._delete_endpoint,
            "DeleteEndpointConfig": self._delete_endpoint_config,
            "DeleteInferenceComponent": self._delete_component,
            "DeleteModel": self._delete_model,
            "DeleteTags": self._delete_tags,
            "DescribeEndpoint": self._describe_endpoint,
            "DescribeEndpointConfig": self._describe_endpoint_config,
            "DescribeInferenceComponent": self._describe_component,
            "DescribeModel": self._describe_model,
            "ListEndpointConfigs": self._list_endpoint_configs,
            "ListEndpoints": self._list_endpoints,
            "ListInferenceComponents": self._list_components,
            "ListModels": self._list_models,
            "ListTags": self._list_tags,
            "UpdateEndpoint": self._update_endpoint,
            "UpdateEndpointWeightsAndCapacities": self._update_weights,
            "UpdateInferenceComponent": self._update_component,
            "UpdateInferenceComponentRuntimeConfig": self._update_component,
        }

    def tags(self, arn: str) -> Mapping[str, str]:
        """Return the tags of a resource; none for one that is not there."""
        with self._lock:
            try:
                return dict(self._tags_of(arn))
            except AwsError:
                return {}

    def handle(self, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the operation's answer, ready for JSON; raise AwsError."""
        handler = self._handlers.get(operation)
        if handler is None:
            raise AwsError("UnknownOperationException", f"The operation {operation} is not emulated.")
        # An explicit null is a member that was not given.
        given = {key: value for key, value in parameters.items() if value is not None}
        requests.check(operation, given)
        return handler(given)

    # Models

    def _create_model(self, request: Mapping[str, Any]) -> dict[str, Any]:
        rules.check_model(request)
        rules.check_tags(request.get("Tags", []))
        name = request["ModelName"]
        with self._lock:
            self._models.require_free(name)
        model = Model(name, self._account.arn(ResourceKind.MODEL, name), self._clock(), request)
        if self._networks is not None:
            rules.check_vpc(request, self._networks)
        self._check_model_data(model)
        if self._images is not None:
            rules.check_image(
                model.container["Image"],
                model.request["ExecutionRoleArn"],
                region=self._account.region,
                images=self._images,
            )
        with self._lock:
            # Again: looking at S3 took a while, and did not hold the lock.
            self._models.require_free(name)
            self._models.put(model)
            self._tag(model.arn, request)
        return {"ModelArn": model.arn}

    def _check_model_data(self, model: Model) -> None:
        source = (model.container.get("ModelDataSource") or {}).get("S3DataSource")
        url = source["S3Uri"] if source else model.container.get("ModelDataUrl")
        if url is None:
            return
        try:
            bucket, key = split_url(url)
        except ValueError:
            raise invalid(texts.not_emulated(f"ModelDataUrl {url}, which is not an s3:// URL,")) from None
        try:
            found = self._is_there(model.request["ExecutionRoleArn"], bucket, key, source)
        except AwsError:
            raise
        except (
            Exception
        ) as error:  # `fetch` and `exists` are the caller's: whatever they raise, there is no access
            _LOGGER.info("no access to %s", url, exc_info=error)
            role = model.request["ExecutionRoleArn"]
            raise invalid(texts.model_data_denied(url, role, self._account.region)) from error
        if not found:
            raise invalid(texts.model_data_missing(url))

    def _is_there(self, role_arn: str, bucket: str, key: str, source: Mapping[str, Any] | None) -> bool:
        if source is not None and source["S3DataType"] == "S3Prefix":
            return bool(self._objects.keys(role_arn, bucket, key))
        if source is not None and source.get("ETag"):
            etag = self._objects.etag(role_arn, bucket, key)
            if etag is not None and etag != source["ETag"].strip('"'):
                raise invalid(texts.model_data_changed(source["S3Uri"], source["ETag"]))
            return etag is not None
        if self._exists is not None:
            return self._exists(role_arn, bucket, key)
        with tempfile.TemporaryDirectory(prefix="sealift-model-data-") as folder:
            try:
                self._fetch(role_arn, bucket, key, Path(folder) / "object")
            except ObjectMissing:
                return False
            return True

    def _describe_model(self, request: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            return descriptions.model(self._models.get(request["ModelName"]))

    def _delete_model(self, request: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            self._models.remove(request["ModelName"])
        return {}

    def _list_models(self, request: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            rows, token = page(self._models, request)
        return _listed("Models", [descriptions.model_row(row) for row in rows], token)

    # Endpoint configurations

    def _create_endpoint_config(self, request: Mapping[str, Any]) -> dict[str, Any]:
        rules.check_config(request)
        rules.check_tags(request.get("Tags", []))
        name = request["EndpointConfigName"]
        with self._lock:
            arn = self._configs.require_free(name)
            config = EndpointConfig(name, arn, self._clock(), request)
            if config.hosts:
                if self._networks is not None:
                    rules.check_vpc(request, self._networks)
            else:
                self._check_model(config)
            self._configs.put(config)
            self._tag(arn, request)
        return {"EndpointConfigArn": arn}

    def _check_model(self, config: EndpointConfig) -> None:
        models = [self._models.get(one) for one in instance_pools.models([config.variant])]
        capacity = config.capacity
        if isinstance(capacity, Capacity):
            rules.check_capacity(capacity)
            rules.check_model_is_serverless(models[0])
        else:
            for model in models:
                rules.check_model_is_emulated(model)

    def _describe_endpoint_config(self, request: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            return descriptions.endpoint_config(self._configs.get(request["EndpointConfigName"]))

    def _delete_endpoint_config(self, request: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            self._configs.remove(request["EndpointConfigName"])
        return {}

    def _list_endpoint_configs(self, request: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            rows, token = page(self._configs, request)
        return _listed("EndpointConfigs", [descriptions.endpoint_config_row(row) for row in rows], token)

    # Endpoints

    def _create_endpoint(self, request: Mapping[str, Any]) -> dict[str, Any]:
        rules.check_endpoint(request)
        rules.check_tags(request.get("Tags", []))
        with self._lock:
            self._fleet.require_free(request["EndpointName"])
            endpoint = self._fleet.create(
                request["EndpointName"], self._deployment(request["EndpointConfigName"])
            )
            self._tag(endpoint.arn, request)
        return {"EndpointArn": endpoint.arn}

    def _update_endpoint(self, request: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            self._fleet.get(request["EndpointName"])
            deployment = self._deployment(request["EndpointConfigName"])
            rules.check_update(request, serverless=isinstance(deployment.capacity, Capacity))
            endpoint = self._fleet.update(
                request["EndpointName"], deployment, request.get("DeploymentConfig")
            )
        return {"EndpointArn": endpoint.arn}

    def _update_weights(self, request: Mapping[str, Any]) -> dict[str, Any]:
        changes = request["DesiredWeightsAndCapacities"]
        name = request["EndpointName"]
        there = self._fleet.get(name)
        if len(changes) != 1:
            raise invalid(texts.unknown_variant(changes[1]["VariantName"], there.arn))
        (change,) = changes
        if not there.serverless:
            if "ServerlessUpdateConfig" in change:
                raise invalid(texts.unsupported_on_instances("ServerlessUpdateConfig"))
            count = change.get("DesiredInstanceCount")
            return {"EndpointArn": self._fleet.recount(name, change["VariantName"], count).arn}
        if "DesiredInstanceCount" in change:
            raise invalid(texts.unsupported_on_serverless("DesiredInstanceCount"))
        wanted = change.get("ServerlessUpdateConfig", {})
        endpoint = self._fleet.rescale(
            name, change["VariantName"], wanted.get("MaxConcurrency"), wanted.get("ProvisionedConcurrency")
        )
        return {"EndpointArn": endpoint.arn}

    def _describe_endpoint(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return descriptions.endpoint(self._fleet.get(request["EndpointName"]))

    def _delete_endpoint(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self._fleet.delete(request["EndpointName"])
        return {}

    def _list_endpoints(self, request: Mapping[str, Any]) -> dict[str, Any]:
        rows, token = page(self._fleet.endpoints(), request)
        return _listed("Endpoints", [descriptions.endpoint_row(row) for row in rows], token)

    def volume_key(self, config_name: str) -> str | None:
        """Return the key of a configuration; None for none, and where there is no such configuration."""
        with self._lock:
            try:
                return self._configs.get(config_name).request.get("KmsKeyId") or None
            except AwsError:
                return None

    def _deployment(self, config_name: str) -> Deployment:
        config = self._configs.get(config_name)
        if self._networks is not None:
            rules.check_key(config, self._networks)
        if config.hosts:
            return Deployment.hosting(config)
        own = instance_pools.own_models(config.variant)
        overrides = {type_: self._models.get(name) for type_, name in own.items()}
        return Deployment.of(config, self._models.get(config.variant["ModelName"]), overrides)

    # Inference components

    def _create_component(self, request: Mapping[str, Any]) -> dict[str, Any]:
        rules.check_component(request)
        rules.check_tags(request.get("Tags", []))
        with self._lock:
            component = self._components.create(
                request, self._models.get(request["Specification"]["ModelName"])
            )
            self._tag(component.arn, request)
        return {"InferenceComponentArn": component.arn}

    def _describe_component(self, request: Mapping[str, Any]) -> dict[str, Any]:
        found = self._components.get(request["InferenceComponentName"])
        return descriptions.inference_component(found, self._components.endpoint_arn(found))

    def _list_components(self, request: Mapping[str, Any]) -> dict[str, Any]:
        wanted, variant = request.get("EndpointNameEquals"), request.get("VariantNameEquals")
        chosen = [
            one
            for one in self._components.all()
            if wanted in {None, one.request["EndpointName"]}
            and variant in {None, one.deployment.variant_name}
        ]
        rows, token = page(chosen, request)
        listed = [
            descriptions.inference_component_row(row, self._components.endpoint_arn(row)) for row in rows
        ]
        return _listed("InferenceComponents", listed, token)

    def _update_component(self, request: Mapping[str, Any]) -> dict[str, Any]:
        rules.check_component_update(request)
        name = request["InferenceComponentName"]
        wanted = request.get("DesiredRuntimeConfig") or request["RuntimeConfig"]
        return {"InferenceComponentArn": self._components.set_copies(name, wanted["CopyCount"]).arn}

    def _delete_component(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self._components.delete(request["InferenceComponentName"])
        return {}

    # Tags

    def _add_tags(self, request: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            tags = self._tags_of(request["ResourceArn"])
            rules.check_tags(request["Tags"], tags)
            tags.update({tag["Key"]: tag["Value"] for tag in request["Tags"]})
            return {"Tags": _tag_rows(tags)}

    def _list_tags(self, request: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            rows = _tag_rows(self._tags_of(request["ResourceArn"]))
        found, token = cut(rows, request.get("NextToken"), request.get("MaxResults", _TAGS_PAGE))
        return _listed("Tags", found, token)

    def _delete_tags(self, request: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            tags = self._tags_of(request["ResourceArn"])
            for key in request["TagKeys"]:
                tags.pop(key, None)
        return {}

    def _tag(self, arn: str, request: Mapping[str, Any]) -> None:
        # Replaces what an earlier resource of the name has left.
        self._tags[arn] = {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}

    def _tags_of(self, arn: str) -> dict[str, str]:
        resource = arn.lower()
        kind_in_arn, _, name = resource.rpartition(":")[2].partition("/")
        kind = next((kind for kind in ResourceKind if kind.in_arn == kind_in_arn), None)
        if kind is None or resource != self._account.arn(kind, name):
            raise invalid(texts.not_emulated(f"The resource {arn}"))
        if kind is ResourceKind.MODEL:
            self._models.get(name)
        elif kind is ResourceKind.ENDPOINT_CONFIG:
            self._configs.get(name)
        elif kind is ResourceKind.INFERENCE_COMPONENT:
            self._components.get(name)
        else:
            self._fleet.get(name)
        return self._tags.setdefault(resource, {})


def _tag_rows(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _listed(member: str, rows: list[dict[str, Any]], token: str | None) -> dict[str, Any]:
    return {member: rows} if token is None else {member: rows, "NextToken": token}
