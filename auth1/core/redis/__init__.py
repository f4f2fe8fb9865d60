"""Redis: one server, a primary behind Sentinel, or Redis Cluster.

client      what all three have in common: commands, scripts, errors
server      one server on one pipelined connection, with a circuit breaker; also the primary behind Sentinel
cluster     one such connection for each primary of a cluster: slots, redirections, changes of the topology
slots       the slot of a key, by its hash tag
discovery   asks Sentinel or Redis Cluster for the servers, through redis-py; imported only for such addresses
opening     the client that an address needs
connection  commands out, replies in
address     parsed URLs, TLS, timeouts; why a connection failed
script      the Lua scripts, with the functions that they share
"""

from auth1.core.redis.address import Address, Endpoint, RedisUnavailable, Timeouts
from auth1.core.redis.client import Node, Redis
from auth1.core.redis.opening import open_redis
from auth1.core.redis.script import Script
from auth1.core.redis.server import Server

__all__ = ["Address", "Endpoint", "Node", "Redis", "RedisUnavailable", "Script", "Server", "Timeouts", "open_redis"]
