"""Simulated attacks on the fraud rules, beside honest people, under a clock that runs thousands of times faster.

world      the form of a request, countries, addresses, the clock
people     honest people of a tenant: launches, families, offices, resends, typing errors
attackers  the requests of each attack
scenarios  the worlds by name: people, an attack, and the time from which requests count
defences   defences to compare with: none, plain limits, a limit per block, Authgear's formula
play       one world against one defence
page       the tables of docs/fraud-measurements.md, from its results
"""
