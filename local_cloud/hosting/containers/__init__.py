"""Containers as server processes: an archive extracted, a process under its memory limit, calls to it, its end.

Refuses to know an endpoint's status, which the fleet keeps.
"""
