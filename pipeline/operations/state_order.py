"""The order of the workflow's states, for what is below the workflow: `make definition` writes it, and nobody else."""

from typing import Final

# The result paths of the tasks whose failures are diagnosed, in the order in which a deployment comes to them.
ORDER: Final = (
    "check_archive",
    "plan_deployment",
    "assemble_archive",
    "assemble_image",
    "create_model",
    "create_endpoint_config",
    "make_room",
    "create_endpoint",
    "update_endpoint",
    "poll_endpoint",
    "create_component",
    "smoke_test",
    "monitor_endpoint",
    "evaluate_quality",
    "read_consumer",
    "shift_consumer",
    "watch_consumer",
    "update_consumer",
)
