"""`python -m novita_simulator` is `novitai simulate`."""

import sys

from novita_simulator.cli import main

sys.exit(main())
