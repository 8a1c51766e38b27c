"""CloudFormation: stacks, change sets, SAM's transform, and the types of resources that moto lacks.

Refuses to run anything: what it makes is moto's, and the other rooms find it there.
"""
