"""`python -m sealift` is `sealift`."""

import signal

# Before anything that takes time: Ctrl-C has no traceback of Python's either while the program is being loaded.
signal.signal(signal.SIGINT, signal.SIG_DFL)

from pipeline.cli import entry  # noqa: E402

if __name__ == "__main__":
    entry()
