"""Carried out by the Python that has flightsql-dbapi, as Superset uses it: `python superset.py ADDRESS`, with
`NAME:PASSWORD@` before the address if need be. Prints what SQLAlchemy found as JSON."""

import json
import sys

import flightsql.sqlalchemy  # noqa: F401
from sqlalchemy import create_engine, inspect, text

PREPARED = "feature-sqlalchemy-prepared-statements=on&feature-sqlalchemy-primary-keys=on"
engine = create_engine(f"datafusion+flightsql://{sys.argv[1]}?insecure=True&{PREPARED}")
seen = inspect(engine)
columns = seen.get_columns("customers", schema="Shop")
with engine.connect() as connection:
    rows = connection.execute(text("SELECT id, name FROM Shop.customers WHERE id > 1 ORDER BY id")).fetchall()
    bound = connection.execute(
        text("SELECT name FROM Shop.customers WHERE id = :id AND country = :country"),
        {"id": 2, "country": "US"},
    ).fetchall()
    try:
        connection.execute(text("SELEC"))
        said = ""
    except Exception as error:  # whatever SQLAlchemy makes of it
        said = str(error)
found = {
    "schemas": seen.get_schema_names(),
    "tables": seen.get_table_names(schema="Shop"),
    "columns": [(column["name"], str(column["type"])) for column in columns],
    "keys": seen.get_pk_constraint("customers", schema="Shop"),
    "rows": [list(row) for row in rows],
    "bound": [list(row) for row in bound],
    "said": said,
}
print(json.dumps(found))
