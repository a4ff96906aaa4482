"""kill -9 of auditor and workers at random moments, and a server that crashes: nothing lost, nothing twice.

    python -m bench.audit_kills [--kills 50] [--crashes 2] [--images 60] [--seed 1]

A registry of generated images is audited once undisturbed (one process, SQLite), then with two workers on PostgreSQL
while processes of it are killed; whenever an audit ends before all kills are done, another begins with an empty store.
Every disturbed audit must end with the report of the undisturbed one, and its store with as many results and sightings.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

from tests.kills import disturbed, rows_of
from tests.plenty import plenty
from tests.postgres import own_postgres
from tests.registries import memory_registry


def main() -> int:
    """Run it; 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("--kills", 50), ("--crashes", 2), ("--images", 60), ("--seed", 1)):
        parser.add_argument(name, type=int, default=default)
    asked = parser.parse_args()
    with memory_registry() as registry, own_postgres() as postgres, tempfile.TemporaryDirectory() as home:
        tokens = {}
        for each in plenty(asked.images, asked.seed):
            registry.put(each.name, each.tag, each.image)
            tokens[f"{registry.address}/{each.name}:{each.tag}"] = each.tokens
        shared = {"LEAKSCAN_REGISTRY_HTTP": registry.address, "LEAKSCAN_KEY": "bench"}
        calm_store = f"sqlite:///{home}/calm.sqlite3"
        command = [sys.executable, "-m", "scanner", "audit", registry.address, "--quiet", "--format", "json"]
        environment = {**os.environ, **shared, "LEAKSCAN_STORE": calm_store}
        calm = subprocess.run(command, env=environment, stdout=subprocess.PIPE)
        wanted, rows = json.loads(calm.stdout), rows_of(calm_store)
        leaking = {image["reference"] for image in wanted["images"] if image["verdict"] == "leaked"}
        if leaking != {reference for reference, planted in tokens.items() if planted}:
            print("the undisturbed audit does not find what was planted")
            return 1
        started = time.monotonic()
        found = disturbed(registry.address, postgres, {**shared, "LEAKSCAN_STORE": postgres.url},
                          kills=asked.kills, crashes=asked.crashes, seed=asked.seed)  # fmt: skip
    same = [report == wanted for report in found.reports]
    complete = [each == rows for each in found.rows]
    killed = ", ".join(f"{number} of {name}" for name, number in sorted(found.killed.items()))
    print(f"{found.killed.total()} kills ({killed}), {found.crashes} crashes of the server, {len(same)} audits of "
          f"{asked.images} images, {time.monotonic() - started:.0f} s, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    print(f"auditors that began while the server was away, and were started again: {len(found.gave_up)}")
    print("".join(sorted(set(found.gave_up))), end="")
    print(f"as undisturbed: {sum(same)} of {len(same)} reports; {sum(complete)} of {len(complete)} stores, with "
          f"{rows['results']} results and {rows['sightings']} sightings")  # fmt: skip
    return 0 if all(same) and all(complete) else 1


if __name__ == "__main__":
    sys.exit(main())
