"""What states hand to each other, as types: the request, what the check found, the plan, how consumers were.

Owns shapes alone and imports no other room, so that a function that reads a plan ships none of what makes one.
Refuses to decide and to check: `pipeline.json_codec` does the latter, by these very types.
"""
