"""What a person on call asks: what runs, what was tried, why it failed, what is left over, and taking it all away.

Owns the looks at executions, logs and the whole account. Refuses to deploy anything.
"""
