"""The formats: tar, zip, gzip and deflate as streams, and which of them a file begins like.

Owns the wire formats and their bounds. Refuses to know what a model is.
"""
