"""Benchmarks: of parts, of a whole server, under load, and of timing differences.

    just bench                     test_*.py: each part separately, in one process (pytest-benchmark)
    python -m bench.measure        a server started by `auth1 serve`: cold start, memory, logins/s, CPU per login,
                                   latency, round trips; `--logins 10000 --concurrency 32 --rounds 5 --json`
    python -m bench.request_cpu    CPU that Auth1 itself uses for one request, in one process; `--against DIR`
    python -m bench.enumeration    are responses slower for numbers with an account? `--samples 2000 --json`
                                   `--sign-up closed`, `--email`; exit code 1 for more than 1 ms
    python -m bench.noisy          the latency of nine tenants beside one with ten times their load
    python -m bench.sql_cost       PostgreSQL's CPU per login, by the number of logins a statement; `--sizes 1 8 32`,
                                   `--against DIR` (another checkout, in the same run)
    python -m bench.group_commit   CPU of a flow with group commit against single statements, in one run
    python -m bench.outbound       CPU per SMS through Twilio over TLS: our transport of httpx against httpx's own one
    just chaos                     chaos.py: logins through nginx during a sequence of faults
    just instructions              the same parts by instructions under callgrind, compared with a committed baseline
    just limits                    limits.py: the server beside an empty application, pgbench and redis-benchmark
    just ceiling                   load.py: closed and open loops of logins, in shapes (a peak, a launch, an attack)
    just scale                     scale.py: logins on a database of many users, beside an empty one
    just soak                      soak.py: memory and latency over an hour
    just profile                   profile.py: a flame graph of a worker
    python -m bench.workers        one worker beside two
    python -m bench.fraud_cost     CPU of logins with the fraud rules on and off, in pairs
    python -m bench.login_cost     CPU of a login over the pages beside one over the API; `--against DIR`
    just load                      locustfile.py: load on a running server; the file lists its variables
    python -m bench.stage          such a server, with everything that `just load` needs, until Ctrl-C

(python is .venv/bin/python.) All but `just load` start their services on the loopback and stop them at the end:
PostgreSQL with fsync, Valkey, Auth1, and a fake Twilio in a separate process.

A single number means little. Servers, client and fake Twilio share the cores of one machine with other programs, and
the same program varied by 1.7 times within half an hour. Compare only numbers of one run, alternate the variants, and
trust no ratio below 1.3. Prefer CPU per operation, which does not contain waiting. Logins/s and latencies depend on the
load of the machine.

    stage.py       PostgreSQL, Valkey, the fake Twilio, servers, tenants
    twilio.py      the fake Twilio: accepts messages, returns their codes
    client.py      keep-alive connections that use little of the CPU that they measure
    machine.py     what a measurement ran on: cores, load, the build of Python
    accounts.py    CPU and memory of processes, from /proc
    faults.py      the faults of chaos.py
    nginx.py       nginx before several instances
    fleet/         several engines: failovers, rolling restarts, distributed load (its own list of recipes)
    phones.py      fictional phone numbers
    page_login.py  what a browser and an application send in a login over the pages
    wire.py        requests as bytes
    shapes.py      rates of arrivals over time
    history.py     a database of many users, made by SQL
    pgbench.py     scripts of pgbench with the program's own statements
    empty.py       an ASGI application that does nothing
    callgrind.py   a pytest plugin that counts instructions
    svg.py         plots
"""
