"""What a model needs, and what holds it: memory, disk and time, serverless sizes, instance types, images, prices.

Owns the arithmetic and its figures with their sources. Refuses to ask an account anything: facts come as arguments.
"""
