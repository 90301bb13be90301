"""Run the probe. In an image this file lies beside the package, too, so that Python can run the folder."""

import sys

from timeproof_probe.program import main

if __name__ == "__main__":
    sys.stdout = sys.stderr
    sys.exit(main(sys.argv[1:]))
