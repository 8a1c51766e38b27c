"""Prepare the test of the image: install what it needs, and make its base, once; or say why that cannot be.

    python -m tools.image_test

It ends well in any case: where no image can be built and run, the tests are skipped for the same reason.
"""

import time

from tools.image_test import base, tools


def main() -> None:
    """Install, bootstrap, and say how long it took."""
    tools.installed()
    if why := tools.obstacle():
        print(f"no image is built and run here: {why}; the tests of the image are skipped")
        return
    if base.made():
        return
    begun = time.monotonic()
    print(f"a base of Debian {base.PYTHON.suite} (made once, a minute) ...", flush=True)
    layout = base.layout()
    print(f"a base of Debian {base.PYTHON.suite}: {time.monotonic() - begun:.0f} s, in {layout}")


if __name__ == "__main__":
    main()
