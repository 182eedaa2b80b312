"""`python -m gprochat_magic`: what the command `gprochat` does."""

import sys

from gprochat_magic.cli import main

if __name__ == "__main__":
    sys.exit(main())
