"""A process with a delivery worker alone: python -m tests.webhooks.worker_process DATABASE_URL JWT_SECRET LEASE_S."""

import asyncio
import ipaddress
import sys

from auth1.core.crypto import Keyring
from auth1.core.outbound.guard import Guard
from auth1.core.postgres import Postgres
from auth1.core.telemetry.log import Log
from auth1.webhooks.delivery.worker import DeliveryWorker


async def main(database_url: str, secret: str, lease_s: float) -> None:
    log = Log("warn")
    postgres = Postgres(database_url, log, size=4, timeout_scale=20)
    await postgres.start()
    guard = Guard((ipaddress.ip_network("127.0.0.0/8"),))
    worker = DeliveryWorker(postgres, Keyring(secret), log, guard, lease_s=lease_s, call_s=lease_s / 2)
    worker.start()
    print("started", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
