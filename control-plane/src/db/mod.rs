//! Postgres: pool, migrations, statements.
