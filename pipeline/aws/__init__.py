"""AWS as Sealift sees it: the clients, the handler around each task, and AWS's refusals as errors of ours.

Owns boto3 and botocore: no other room imports boto3. Refuses to know what a deployment is.
"""
