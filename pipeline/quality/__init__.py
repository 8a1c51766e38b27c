"""Whether a deployment answers as well as it should, and as the one before it: suites of cases, asked and judged.

`suite` reads the `cases`, `asking` sends one, `expectations` and `similarity` judge an answer, `gate` decides what all
of them come to. Pure but for `asking`, and for `suite_files` and `gate_store`, which have to do with S3. Refuses to
switch, and to wait.
"""
