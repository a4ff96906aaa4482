"""`python -m scanner` is `leakscan`."""

from scanner.cli import main

if __name__ == "__main__":
    main()
