"""Show how far a long build is: reads its log on standard input, keeps it in a file, draws one line.

    pip install ... 2>&1 | python tools/progress.py LOGFILE "what is being done"

Counts ninja's `[n/m]` and pip's `Collecting`; where there is no terminal it writes a line every 15 seconds.
Exits with 0: the pipe's other end decides (`set -o pipefail`).
"""

import re
import sys
import time
from pathlib import Path

QUIET_S = 15.0


def main() -> None:
    """Read until the log ends."""
    log, title = Path(sys.argv[1]), sys.argv[2]
    log.parent.mkdir(parents=True, exist_ok=True)
    live, begun, drawn = sys.stderr.isatty(), time.monotonic(), 0.0
    packages, steps = 0, ""
    with log.open("w") as kept:
        for line in sys.stdin:
            kept.write(line)
            packages += "Collecting " in line or "Downloading " in line
            match = re.search(r"\[(\d+)/(\d+)\]", line)
            if match:
                steps = f", step {match[1]} of {match[2]}"
            now = time.monotonic()
            if now - drawn > (0.2 if live else QUIET_S):
                drawn = now
                text = f"{title}: {now - begun:.0f} s, {packages} packages{steps}"
                print(
                    f"\r\033[K{text}" if live else text, end="" if live else "\n", file=sys.stderr, flush=True
                )
    done = f"{title}: {time.monotonic() - begun:.0f} s, log in {log}"
    print(f"\r\033[K{done}" if live else done, file=sys.stderr)


if __name__ == "__main__":
    main()
