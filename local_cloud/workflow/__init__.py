"""Step Functions and EventBridge: moto's interpreter kept to AWS's limits, histories in pages, events that arrive.

Refuses to know what a state's call does.
"""
