"""Measurements: of the pieces, of the whole, under load, and of what an answer's time gives away.

    just bench                     test_pieces.py: each piece by itself, in one process (pytest-benchmark)
    python -m bench.measure        a server as `auth1 serve` starts it: cold start, memory, logins/s, CPU per login,
                                   latency, round trips; `--logins 10000 --concurrency 32 --rounds 5 --json`
    python -m bench.enumeration    do answers take longer for numbers that have an account? `--samples 2000 --json`
    just chaos                     chaos.py: logins through nginx while one thing after the other fails
    just load                      locustfile.py: load on a server that runs already; the file says what it needs
    python -m bench.stage          such a server, with everything that `just load` needs, until Ctrl-C

(python is .venv/bin/python.) All but `just load` bring what they need: PostgreSQL with fsync, Valkey, Auth1, and a
stand-in for Twilio in a process of its own, all on the loopback and gone in the end.

What a number means: nothing by itself. Servers, client and stand-in share the cores of one machine with whatever else
runs there, and the same program varied by 1.7 times within half an hour. Compare only what was measured in one run, one
by turns with the other, and trust no ratio below 1.3. CPU per operation is the number to go by: it counts what a thing
costs, not how long it stood in line; logins/s and latencies also say how busy the machine was.

    stage.py       PostgreSQL, Valkey, the stand-in, servers, tenants
    twilio.py      the stand-in: takes messages, hands out the codes in them
    client.py      kept-alive connections by hand, so that the client takes little of the CPU that it measures
    accounts.py    CPU and memory of processes, from /proc
    faults.py      the faults of chaos.py
    phones.py      numbers that nobody has
"""
