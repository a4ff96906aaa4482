"""Where the program begins; `python -m scanner` is `leakscan`."""

from __future__ import annotations

import os
import signal


def main(name: str = "leakscan") -> None:
    """Run the program under *name*. Until its modules are there Ctrl-C ends it at once: there is nothing to tell."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # not so in the background of a shell
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    from scanner.cli.main import main as run

    signal.signal(signal.SIGINT, before)
    run(name)


if __name__ == "__main__":
    main()
