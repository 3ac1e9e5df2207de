"""ClickHouse's HTTP interface over its engine in a Python package (chdb), for machines without a server."""
