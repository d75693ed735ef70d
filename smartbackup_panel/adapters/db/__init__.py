"""The state: tables, migrations and the queries over them."""
