#!/bin/sh
# SQLite 3.54.1 (apsw 3.54.1.0, which carries its own): with PRAGMA secure_delete=ON, which "overwrites deleted content with zeros", the ids of a user whose
# every row was deleted still stand in the database file, in the free space of index pages that were split while the table grew.
# A good engineer who erases a person on request expects that nothing of a deleted row remains in the file; VACUUM is needed, too.
# Seen: copies of the id after DELETE and a checkpoint that cut the write-ahead file, none after VACUUM.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check apsw==3.54.1.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import apsw
from pathlib import Path

seen = {}
for rows in range(300, 420, 5):
    file = Path(f"{rows}.db")
    base = apsw.Connection(str(file))
    for pragma in ("journal_mode=WAL", "secure_delete=ON"):
        base.execute(f"PRAGMA {pragma}").fetchall()
    assert base.execute("PRAGMA secure_delete").fetchall() == [(1,)]
    base.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, user_id TEXT)")
    base.execute("CREATE INDEX events_user ON events (user_id, seq)")
    for n in range(rows):
        base.execute("BEGIN; INSERT INTO events (user_id) VALUES ('writer'); INSERT INTO events (user_id) VALUES ('person-17'); COMMIT")
    base.execute("DELETE FROM events WHERE user_id = 'person-17'")
    base.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    left = file.read_bytes().count(b"person-17")
    base.execute("VACUUM")
    base.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert file.read_bytes().count(b"person-17") == 0
    if left:
        seen[rows] = left
print("SQLite", apsw.sqlite_lib_version(), "rows -> copies of the id that were left:", seen)
assert seen, seen
PY
