"""Sealift's own stack: its template, the functions' zips, the bucket for them, and CloudFormation's change sets.

Owns how Sealift comes into an account and is brought to another version. Refuses to know a deployment of a model.
"""
