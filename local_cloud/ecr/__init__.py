"""ECR's own API in the local cloud: repositories' images, their layers as files, uploads by parts, pulls.

moto keeps the repositories and their settings; what a repository holds is kept here alone. Refuses to speak HTTP as
registries specify it: there is no Docker registry behind a repository's URI, only the API.
"""
