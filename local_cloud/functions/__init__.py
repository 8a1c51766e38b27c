"""Lambda: functions that run as processes, and what moto leaves out of them.

Refuses to know which call is allowed, and what a stack is.
"""
