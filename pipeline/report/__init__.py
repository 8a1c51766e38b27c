"""The report of an execution: one page that says what happened, why, what came of it and what it costs.

Pure but for `source`, which asks AWS: `timeline`, `state_graph`, `memory`, `transcript`, `links` and `costs` make the
parts of a `document.Document` from what AWS tells of an execution, and `page` draws it as HTML by what is in
`templates/`.
Nothing here looks at a clock, so the same execution gives the same bytes.
"""
