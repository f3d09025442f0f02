"""Prints what a foreign library reads from Parquet files, as JSON: {"file", "columns", "rows"} for each.

Numbers are numbers, texts and labels texts, days and times as they are shown, a missing value is ".".
"""
import datetime, json, pathlib, sys
import fastparquet, numpy, pandas


def shown(value):
    if value is None or value is pandas.NaT or value is pandas.NA or (isinstance(value, float) and value != value):
        return "."
    if isinstance(value, pandas.Timestamp):
        return str(value.date()) if value.time() == datetime.time() else str(value)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (int, numpy.integer)):
        return int(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    return value


for path in map(pathlib.Path, sys.argv[1:]):
    frame = fastparquet.ParquetFile(path).to_pandas()
    # The shortest digits that mean such a number in its own type.
    for name in frame.columns[frame.dtypes == "float32"]:
        frame[name] = [float(str(v)) for v in frame[name].to_numpy()]
    rows = [[shown(v) for v in row] for row in frame.itertuples(index=False, name=None)]
    print(json.dumps({"file": path.stem, "columns": [str(c) for c in frame.columns], "rows": rows}))
