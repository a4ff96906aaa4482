"""A proxy before a registry that delays every request, and notes what was asked for."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection

_CHUNK = 1 << 18


@dataclass
class SlowRegistry:
    """The proxy at *address*; it runs in a process of its own."""

    address: str
    _connection: Connection

    def asked(self) -> Counter[tuple[str, str]]:
        """(method, path) of every request since the last call of this."""
        self._connection.send(None)
        found: Counter[tuple[str, str]] = self._connection.recv()
        return found


@contextlib.contextmanager
def slowly(registry: str, seconds: float) -> Iterator[SlowRegistry]:
    """A proxy before the registry at host:port, without TLS, that holds back each request for *seconds*."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_main, args=(registry, seconds, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield SlowRegistry(ours.recv(), ours)
    finally:
        process.kill()
        process.join()
        ours.close()


def _main(registry: str, seconds: float, connection: Connection) -> None:
    asyncio.run(_serve(registry, seconds, connection))


async def _serve(registry: str, seconds: float, connection: Connection) -> None:
    asked: Counter[tuple[str, str]] = Counter()
    host, _, port = registry.rpartition(":")

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            theirs, target = await asyncio.open_connection(host, int(port))
            back = asyncio.create_task(_pass(theirs, writer))
            while chunk := await reader.read(_CHUNK):  # requests are small: each comes in one piece
                method, _, rest = chunk.partition(b"\r\n")[0].decode("latin-1").partition(" ")
                asked[method, rest.partition(" ")[0]] += 1
                await asyncio.sleep(seconds)
                target.write(chunk)
                await target.drain()
            target.close()
            await back
        writer.close()

    def tell() -> None:
        try:
            connection.recv()
        except EOFError:  # whoever wanted to know has died
            os._exit(1)
        connection.send(Counter(asked))
        asked.clear()

    server = await asyncio.start_server(client, "127.0.0.1", 0)
    asyncio.get_running_loop().add_reader(connection.fileno(), tell)
    connection.send("{}:{}".format(*server.sockets[0].getsockname()))
    async with server:
        await server.serve_forever()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
        writer.close()
