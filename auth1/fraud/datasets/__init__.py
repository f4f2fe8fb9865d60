"""Data about numbers, addresses and emails for the fraud rules, read from files into the process.

store       prefixes and networks in PostgreSQL, loaded by the command line and read by all workers
networks    hosting, VPN and Tor networks
countries   the country of an address, from GEOIP_FILE
disposable  disposable email domains
files       lines of the files that the command line loads
"""
