"""Move a tenant to a database of its own while it is served.

move    the steps, each of which can be repeated
rows    copy rows, then what has changed since
tables  the tables with rows of a tenant, and their statements
"""

from auth1.tenants.move.move import Moved as Moved
from auth1.tenants.move.move import MoveError as MoveError
from auth1.tenants.move.move import abort_move as abort_move
from auth1.tenants.move.move import move_tenant as move_tenant
