"""``python -m tonearm`` is the command ``tonearm``."""

from tonearm.cli import main

if __name__ == "__main__":
    main()
