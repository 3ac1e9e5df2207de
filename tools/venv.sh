#!/bin/sh
# Makes a virtual environment with Python 3.11 or later: tools/venv.sh FOLDER
# On a fresh Debian or Ubuntu the module that makes environments is a package of its own; it is installed
# when that is allowed. PYTHON=… chooses the interpreter.
set -eu
folder=$1

good() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    for python in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if good "$python"; then echo "$python"; return 0; fi
    done
    return 1
}

apt_install() {
    command -v apt-get >/dev/null || return 1
    if [ "$(id -u)" = 0 ]; then as_root=; elif sudo -n true 2>/dev/null; then as_root="sudo -n"; else return 1; fi
    echo "installing $*" >&2
    $as_root apt-get update -qq && DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq "$@" >/dev/null
}

if ! python=$(find_python); then
    apt_install python3 python3-venv || true
    if ! python=$(find_python); then
        echo "Heddle needs Python 3.11 or later. Install it, or name it: make PYTHON=/path/to/python3.12 …" >&2
        exit 1
    fi
fi
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if ! apt_install "python$version-venv" && ! apt_install python3-venv; then
        echo "$python cannot make virtual environments: install python3-venv (as root: apt-get install python3-venv)" >&2
        exit 1
    fi
fi
"$python" -m venv --clear "$folder"
