#!/bin/sh
# /usr/local/sbin/auth1: runs a command of Auth1 with the settings of its services, for example: sudo auth1 doctor
set -a
. /etc/auth1/auth1.env
set +a
exec /opt/auth1/bin/auth1 "$@"
