"""SageMaker's control plane: shapes and rules of a request, records, descriptions, pages of a list.

Refuses to run a container: it hands an endpoint to the fleet.
"""
