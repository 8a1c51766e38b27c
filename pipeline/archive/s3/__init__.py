"""Where archives lie: ranged reads, multipart uploads, models that are objects of their own.

Owns the calls of S3 that carry an archive's bytes. Refuses to judge what they say.
"""
