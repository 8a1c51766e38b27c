"""Archives as streams: inspect, verify and pack gigabytes without holding or unpacking them."""
