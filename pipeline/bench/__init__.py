"""How fast a service answers and what that costs, measured by asking it as many callers at once do.

Plan, load, figures, comparison and page. Refuses to change anything of a deployment, and to tell a figure that was not
measured.
"""
