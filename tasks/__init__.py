"""The Lambda tasks: one file, one state each. A task gathers, decides with `pipeline`, applies, and never sleeps."""
