#!/bin/sh
# Brings what the tests want from the system: from Debian's packages as root, else it says what to do.
# Never fails: tests that lack something are left out by name (tests/conftest.py).
set -u

want() { # command package
    command -v "$1" >/dev/null && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing $2 from Debian's packages"
        apt-get update -qq >/dev/null
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$2" >/dev/null && return
    fi
    echo "$1 is missing; the tests that need it are left out. On Debian and Ubuntu: sudo apt-get install $2"
}

want redis-server redis-server
exit 0
