"""A deployed service from the side of whoever asks it: where it is, what it is asked, what it says.

The same for a person at a terminal and for a program. Refuses to change anything of a deployment.
"""
