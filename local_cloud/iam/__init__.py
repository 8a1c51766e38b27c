"""IAM: who calls, by which policies, and what a call needs.

Refuses to know a service's answers: it judges a call before one is made. Keys of a function's variables are here,
since using one is a permission.
"""
