"""Archives judged: members, model, checksums, and what people have in hand in place of a model.

Owns the rules and the report of what was found. Refuses to change a byte.
"""
