"""`python -m fastcap`."""

from fastcap.cli.__main__ import main

main()
