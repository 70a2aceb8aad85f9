"""Asks SQLite whether the databases at the given paths are whole: one line each, `ok` for a good one."""
import sqlite3
import sys

for path in sys.argv[1:]:
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    wrong = [row[0] for row in database.execute("pragma integrity_check")]
    wrong += [f"{row[0]}: a row without its {row[2]}" for row in database.execute("pragma foreign_key_check")]
    print("; ".join(word for word in wrong if word != "ok") or "ok")
