"""Auth1 on several engines, on one machine: failovers, rolling restarts, upgrades, and distributed load.

    just failover          failover.py: logins while the primary of a Patroni cluster is switched over and killed
    just rolling           rolling.py: logins while two instances are restarted, and upgraded from another release
    just fleet             load.py: the cost of a login by engine, distributed load in shapes, and the plan of a fleet
    just redis-failover    redis_failover.py: logins while Redis fails over behind Sentinel and in a cluster

    patroni.py             etcd, Patroni nodes and HAProxy, with the files of ops/patroni
    instances.py           two instances that are replaced under load
    distributed.py         locust with a master and workers
    plan.py                what so many users need, from costs and assumptions
    logins.py              logins at a constant rate, with retries or without

Everything listens on the loopback and stops with the process that started it.
"""
