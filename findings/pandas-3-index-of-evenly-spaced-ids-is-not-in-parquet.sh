#!/bin/sh
# pandas 3.1.1: set_index on ids that happen to be evenly spaced makes a RangeIndex of them, and with pyarrow 26.0.1 to_parquet then writes
# no column for it, only metadata that pandas alone reads: for DuckDB 2.0.1 and polars 2.1.0 the user ids of the file are gone. The same
# frame with ids 3, 9, 11 has its column. A good engineer expects that whether ids are in a file does not depend on their spacing
# (pandas 2 kept an index of the values that were set).
# Seen: Index, columns y and id, for 3, 9, 11; RangeIndex, column y alone, for 500, 501, 502.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pandas==3.1.1 pyarrow==26.0.1 duckdb==2.0.1 polars==2.1.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import duckdb
import pandas as pd
import polars as pl

seen = {}
for ids in ((3, 9, 11), (500, 501, 502)):
    users = pd.DataFrame({"id": ids, "y": [1.0, 2.0, 3.0]}).set_index("id")
    users.to_parquet("users.parquet")
    seen[ids] = type(users.index).__name__, duckdb.sql("select * from 'users.parquet'").columns, pl.read_parquet("users.parquet").columns
    assert list(pd.read_parquet("users.parquet").index) == list(ids)
    print("pandas", pd.__version__, "ids", ids, "index, DuckDB's columns, polars' columns:", seen[ids])
assert seen[(3, 9, 11)] == ("Index", ["y", "id"], ["y", "id"]), seen
assert seen[(500, 501, 502)] == ("RangeIndex", ["y"], ["y"]), seen
PY
