"""`python -m bench.delay PORT HOST PORT MILLISECONDS`: a proxy that brings everything so much later, in each direction, at any speed."""

from __future__ import annotations

import asyncio
import sys

CHUNK_BYTES = 64 * 1024
UNDER_WAY = 4096


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    """Bytes in their order, each chunk at its time."""
    loop, under_way = asyncio.get_running_loop(), asyncio.Queue[tuple[float, bytes]](UNDER_WAY)

    async def hand_on() -> None:
        while True:
            due_s, data = await under_way.get()
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            if not data:
                writer.close()
                return
            writer.write(data)
            await writer.drain()

    handing = asyncio.create_task(hand_on())
    try:
        while data := await reader.read(CHUNK_BYTES):
            await under_way.put((loop.time() + delay_s, data))
        await under_way.put((loop.time() + delay_s, b""))
        await handing
    except OSError:
        handing.cancel()
        writer.close()


async def main() -> None:
    """Listen on loopback, and carry until this process is ended."""
    port, host, to_port, delay_s = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]) / 1000

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(host, to_port)
        await asyncio.gather(_carry(reader, there[1], delay_s), _carry(there[0], writer, delay_s))

    server = await asyncio.start_server(met, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
