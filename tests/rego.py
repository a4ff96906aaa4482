"""Runs Rego, in a process of its own: the interpreter brings an allocator that other libraries do not live with.

    python -m tests.rego < {"module": ..., "query": ..., "input": ...}
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def rego(module: str, query: str, given: object) -> list[Any]:
    """The values that a query has."""
    sent = json.dumps({"module": module, "query": query, "input": given})
    done = subprocess.run(
        [sys.executable, "-m", "tests.rego"], input=sent, capture_output=True, text=True, check=True,
        cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    found: list[Any] = json.loads(done.stdout)["expressions"]
    return found


def main() -> None:
    """Answer what stands on standard input."""
    from regopy import Interpreter

    asked = json.load(sys.stdin)
    interpreter = Interpreter()
    interpreter.add_module("policy.rego", asked["module"])
    interpreter.set_input(asked["input"])
    print(interpreter.query(asked["query"]))


if __name__ == "__main__":
    main()
