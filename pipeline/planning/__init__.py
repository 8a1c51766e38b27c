"""The deployment request and what becomes of it: names, sizes, requests, quotas, alarms, consumers' variables.

Owns the decisions, as pure functions that return data. Refuses to make a call: `rollout` and the tasks do.
"""
