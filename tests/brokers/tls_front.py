"""TLS in front of a server that has none. Where its answers name it by host and port, as Kafka's metadata does (a text and 4 bytes), they name this port.

usage: tls_front.py PORT HOST:PORT CERTIFICATE KEY
"""

import asyncio
import ssl
import sys

PORT = int(sys.argv[1])
HOST, TO = sys.argv[2].rsplit(":", 1)
THERE, HERE = (HOST.encode() + int(port).to_bytes(4, "big") for port in (TO, PORT))


async def pump(reader, writer, change):
    try:
        while data := await reader.read(1 << 16):
            writer.write(change(data))
            await writer.drain()
    except (OSError, ssl.SSLError):
        pass
    finally:
        writer.close()


async def connection(reader, writer):
    try:
        there_reader, there_writer = await asyncio.open_connection(HOST, int(TO))
    except OSError:
        writer.close()
        return
    await asyncio.gather(
        pump(reader, there_writer, lambda data: data),
        # An answer with an address is small and comes in one piece.
        pump(there_reader, writer, lambda data: data.replace(THERE, HERE)),
    )


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3], sys.argv[4])
    async with await asyncio.start_server(connection, "127.0.0.1", PORT, ssl=context) as server:
        await server.serve_forever()


asyncio.run(main())
