"""CloudWatch Logs' metric filters: which lines a pattern matches, and the metrics that filters make of them."""
