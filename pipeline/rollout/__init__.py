"""The account changed: endpoints made and scaled, their alarms, the consumers' switch and the rollback.

Owns the calls that carry a plan out, each safe to repeat. Refuses to plan (`planning`) and to look at executions.
"""
