"""Auth1 on several engines, on one machine: failovers, rolling restarts and upgrades.

    just failover          failover.py: logins while the primary of a Patroni cluster is switched over and killed
    just rolling           rolling.py: logins while two instances are restarted, and upgraded from another release
    just redis-failover    redis_failover.py: logins while Redis fails over behind Sentinel and in a cluster

    patroni.py             etcd, Patroni nodes and HAProxy, with the files of ops/patroni
    instances.py           two instances that are replaced under load
    logins.py              logins at a constant rate, with retries or without

Everything listens on the loopback and stops with the process that started it.
"""
