"""Sealift: a GGUF model from an archive in S3 to a serverless endpoint that answers."""

__version__ = "0.1.0"
