"""`python -m scanner` is `leakscan`."""

from scanner.cli.main import main

if __name__ == "__main__":
    main()
