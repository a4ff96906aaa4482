"""`leakscan worker`: reads images for audits that run elsewhere, until it is stopped."""

from __future__ import annotations

import click

from scanner.cli.options import jobs_option


@click.command()
@click.option("--store", metavar="URL", help="The PostgreSQL that the audit uses. [default: LEAKSCAN_STORE]")
@jobs_option
@click.option("--urgent", is_flag=True,
              help="Take only images of audits with --urgent, so that those wait for no other.")
@click.option("--once", is_flag=True, help="End as soon as nothing waits.")
def worker(store: str | None, jobs: int, urgent: bool, once: bool) -> None:
    """Scan images that audits leave to workers; urgent ones first.

    Start as many as you like, on as many machines, all with the same version, rules and LEAKSCAN_KEY, and each with
    credentials for the registry. SIGTERM and Ctrl-C end it after the image at hand; killed, its image goes to another.
    """  # fmt: skip
    from scanner.audit.queue import still_queue
    from scanner.audit.worker import work
    from scanner.cli.common import still_connections, tell_away

    still_connections()
    still_queue()
    work(store, jobs, once, urgent, tell_away)
