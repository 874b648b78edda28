"""`python -m novitai_demo` is `novitai demo`."""

import sys

from novitai_demo.command import main

sys.exit(main(sys.argv[1:]))
