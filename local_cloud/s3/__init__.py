"""S3's objects on the disk: bodies on their way in, pieces that objects share, checksums.

Refuses to keep what is about an object, which is moto's.
"""
