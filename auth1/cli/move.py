"""The command `tenants move`: a tenant gets a database of its own."""

import os
import sys
from argparse import Namespace

import asyncpg

from auth1.cli.commands import fail, run, settings_or_exit, tenant_admin_for
from auth1.config import urls
from auth1.config.environ import Environment
from auth1.core import schemas
from auth1.core.schemas import Out
from auth1.services import Services
from auth1.tenants.move import MoveError, abort_move, move_tenant

TARGET = "TARGET_DATABASE_URL"  # not an argument: other users of the machine see those


class MoveResult(Out):
    """The result of a move."""

    tenant_id: str
    rows: int
    changes: int
    closed_s: float


def move(options: Namespace) -> None:
    """Move a tenant, or go on with its move; with --abort end the move instead."""
    source = settings_or_exit().database_url
    env = Environment(os.environ, frozenset({TARGET}))
    target = env.checked(TARGET, env.required(TARGET), urls.database_url_problems)
    if env.problems:
        fail("\n".join(env.problems), code=2)

    async def operation(app: Services) -> MoveResult | None:
        tenant_id = (await tenant_admin_for(app, options)).tenant_id

        async def publish() -> None:
            await app.tenants.publish_invalidation(tenant_id)

        if options.abort:
            await abort_move(source, target, tenant_id, publish)
            return None
        moved = await move_tenant(source, target, tenant_id, publish, _report)
        return MoveResult(tenant_id, moved.rows, moved.changes, round(moved.closed_s, 3))

    try:
        result = run(operation)
    except MoveError as error:
        fail(str(error))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        fail(f"The move stopped: {str(error) or 'no answer'}. The tenant is served; run the command again.")
    if result is None:
        print('{"aborted":true}' if options.json else "aborted; the tenant is served as before")
    elif options.json:
        print(schemas.encode(result).decode())
    else:
        print(
            f"{result.tenant_id} has moved: {result.rows} rows, {result.changes} changes,"
            f" closed for {result.closed_s} s"
        )


def _report(step: str) -> None:
    print(f"auth1: {step}", file=sys.stderr, flush=True)
