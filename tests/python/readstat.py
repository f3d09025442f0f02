"""Writes Stata data files by two foreign libraries and prints what these read from them again, as JSON.

Each file is {"file", "columns", "rows"}: numbers as numbers, texts and labels as texts, days and times as they are
shown, a missing value as "." or ".a".
"""
import datetime, json, math, pathlib, sys
import numpy, pandas, pyreadstat

folder = pathlib.Path(sys.argv[1])
rows = [
    ("AMC Concord", 4099, 0, 3.58, 2930.5, datetime.date(2024, 3, 5), "one"),
    ("Audi 5000", 9690, 1, 3.25, 2830.0, None, ""),
    ("Café ü", 5899, 1, 0.5, -1.0, datetime.date(1960, 1, 1), "a longer one " * 60),
    ("", 100, None, -2.0, 1e-9, datetime.date(1959, 12, 31), "one"),
]
names = ["make", "price", "foreign", "ratio", "weight", "sold", "note"]
origin = {0: "Domestic", 1: "Foreign"}


def shown(value):
    if value is None or value is pandas.NaT or (isinstance(value, float) and math.isnan(value)):
        return "."
    if isinstance(value, pandas.Timestamp):
        return str(value.date()) if value.time() == datetime.time() else str(value)
    if isinstance(value, datetime.datetime):
        return str(value)
    if isinstance(value, datetime.date):
        return str(value)
    if isinstance(value, (int, numpy.integer)):
        return int(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    # A letter stands for a missing value of its own.
    return value


def told(path, frame, letters=()):
    def cell(name, value):
        if name in letters and isinstance(value, str) and len(value) == 1:
            return "." + value
        return shown(value)

    columns = [str(c) for c in frame.columns]
    # The shortest digits that mean such a number in its own type.
    for name in frame.columns[frame.dtypes == "float32"]:
        frame[name] = [float(str(v)) for v in frame[name].to_numpy()]
    lines = [[cell(n, v) for n, v in zip(columns, row)] for row in frame.itertuples(index=False, name=None)]
    print(json.dumps({"file": path.name, "columns": columns, "rows": lines}))


def by_pyreadstat(version, release):
    frame = pandas.DataFrame(rows, columns=names).drop(columns=["note"])
    frame["price"] = frame["price"].astype(object)
    frame.loc[3, "price"] = "b"
    frame["price"] = [v if isinstance(v, str) else float(v) for v in frame["price"]]
    path = folder / f"readstat{release}.dta"
    pyreadstat.write_dta(
        frame,
        path,
        version=version,
        file_label="Cars",
        column_labels={"make": "Make and model"},
        variable_value_labels={"foreign": origin},
        missing_user_values={"price": ["b"]},
        variable_format={"price": "%8.0g"},
    )
    back, _ = pyreadstat.read_dta(path, apply_value_formats=True, formats_as_category=False, user_missing=True)
    told(path, back, letters=["price"])


def by_pandas(version, release):
    frame = pandas.DataFrame(rows, columns=names)
    frame["price"] = frame["price"].astype("int16")
    frame["ratio"] = frame["ratio"].astype("float32")
    frame["foreign"] = pandas.Categorical([None if c is None else origin[c] for c in [0, 1, 1, None]], categories=["Domestic", "Foreign"])
    frame["sold"] = pandas.to_datetime(frame["sold"])
    frame["at"] = pandas.to_datetime(["2024-03-05 14:30:00", None, "1960-01-01 00:00:01", "1959-12-31 23:59:59"])
    strl = {"convert_strl": ["note"]} if version >= 117 else {}
    if version < 117:
        frame["note"] = frame["note"].str[:100]
    path = folder / f"pandas{release}.dta"
    frame.to_stata(path, version=version, write_index=False, convert_dates={"sold": "td", "at": "tc"}, **strl)
    back = pandas.read_stata(path)
    told(path, back)


for version, release in [(8, 113), (10, 114), (12, 115), (13, 117), (14, 118), (15, 119)]:
    by_pyreadstat(version, release)
for version in [114, 117, 118, 119]:
    by_pandas(version, version)

# What the stand-in saved, as a foreign reader sees it.
saved = folder / "saved.dta"
if saved.exists():
    back, _ = pyreadstat.read_dta(saved, user_missing=True)
    told(saved, back, letters=["x"])
