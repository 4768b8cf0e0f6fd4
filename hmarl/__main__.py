"""`python -m hmarl` is `hmarl`, for those whose scripts are not on the path."""

from hmarl.cli import main

main()
