"""Makes `python -m equirouter` the same as the command `equirouter`."""

from equirouter.cli import main

if __name__ == "__main__":
    main()
