#!/bin/sh
# Makes a virtual environment with Python 3.11 or later and installs a lock into it, checking every hash.
#   scripts/environment.sh FOLDER LOCK        PYTHON=… names the Python to use
set -eu
folder=$1
lock=$2

fits() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    for candidate in ${PYTHON:-python3.11 python3.12 python3 python3.13}; do
        if fits "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo "Python 3.11 or later is needed, and none was found${PYTHON:+ ($PYTHON)}." >&2
    echo "Install it (Debian: apt-get install python3 python3-venv) or name it: make setup PYTHON=/path/to/python3" >&2
    return 1
}

# Debian keeps venv and ensurepip in a package of their own.
ensure_venv() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null && return
    package=$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing $package from Debian's packages"
        apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y "$package" >/dev/null && return
    fi
    echo "This Python cannot make virtual environments. On Debian and Ubuntu: sudo apt-get install $package" >&2
    return 1
}

if ! fits "$folder/bin/python" || ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    ensure_venv "$python"
    echo "Making $folder with $("$python" --version)"
    "$python" -m venv --clear "$folder"
fi
echo "Installing $(grep -c == "$lock") locked packages into $folder"
"$folder/bin/python" -m pip install -qq --disable-pip-version-check --require-hashes --requirement "$lock"
