"""Runs the recipe of docs/formats/block.md against a block and holds what it finds against the truth.

    check.py DOCUMENT FOLDER OVERFLOW

FOLDER holds what the example `sample_block` writes, with so many overflow columns of spans. Every
Python listing of the document runs, in order; then what it left in `tree`, `parents`, `attributes`
and `traces` must be what was sent.
"""

import collections
import pathlib
import re
import struct
import sys

import pyarrow.parquet as pq
from opentelemetry.proto.common.v1.common_pb2 import KeyValueList


def said(value):
    """A value as the example writes it."""
    match value:
        case None:
            return "empty"
        case bool():
            return f"bool:{str(value).lower()}"
        case int():
            return f"int:{value}"
        case float():
            return f"double:{struct.pack('>d', value).hex()}"
        case bytes():
            return f"bytes:{value.hex()}"
        case list():
            return "array:" + ",".join(said(element) for element in value)
        case dict():
            return "map:" + ",".join(f"{key}={said(element)}" for key, element in value.items())
    return f"text:{value}"


def main():
    document, folder = (pathlib.Path(argument) for argument in sys.argv[1:3])
    (block,) = (folder / "blocks").iterdir()
    columns = pq.read_schema(block / "spans.parquet").names
    assert sum(name.startswith("overflow_") for name in columns) == int(sys.argv[3]), columns
    listings = re.findall(r"^```python\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)
    recipe = {"block": str(block)}
    for listing in listings:
        exec(listing, recipe)

    names = ["trace_id", "span_id", "duration_nanos", "service_name", "name"]
    spans = pq.read_table(block / "spans.parquet", columns=names).to_pylist()
    found = []
    for span, (_, parent), attributes in zip(spans, recipe["parents"], recipe["attributes"], strict=True):
        pairs = sorted(f"{key}={said(value)}" for key, value in attributes)
        parent = "-" if parent is None else str(parent)
        columns = [span["trace_id"].hex(), str(span["span_id"]), parent, str(span["duration_nanos"])]
        found.append("\t".join([*columns, span["service_name"], span["name"], " ".join(pairs)]))
    sent = (folder / "truth.tsv").read_text().splitlines()
    missing, wrong = set(sent) - set(found), set(found) - set(sent)
    for kind, lines in (("sent, not found", missing), ("found, not sent", wrong)):
        for line in sorted(lines)[:5]:
            print(f"{kind}: {line}")
    assert len(found) == len(sent) and not missing and not wrong, f"{len(missing)} spans differ"

    ids = {line.split("\t")[0] for line in sent}
    assert [trace for trace, *_ in recipe["traces"]] and {trace for trace, *_ in recipe["traces"]} == ids
    by_service = collections.Counter(line.split("\t")[4] for line in sent)
    assert recipe["by_service"] == by_service, "counts by service"
    # The example gives an event and a link to every span of kind 5, at the span's start.
    kinds = ["trace_id", "span_id", "start_unix_nanos", "kind"]
    spans = pq.read_table(block / "spans.parquet", columns=kinds).to_pylist()
    consumers = sorted((s["trace_id"].hex(), s["span_id"], s["start_unix_nanos"]) for s in spans if s["kind"] == 5)
    assert consumers and consumers == sorted((event[0], event[1], event[3]) for event in recipe["events"])
    for _, _, name, _, attributes in recipe["events"]:
        pairs = KeyValueList.FromString(attributes).values
        assert [name, *((pair.key, pair.value.string_value) for pair in pairs)] == [
            "exception",
            ("exception.type", "Timeout"),
        ]
    links = sorted(recipe["links"])
    assert links == [(trace, span, trace) for trace, span, _ in consumers], "links"
    services = {attribute for pairs in recipe["of_resources"] for attribute in pairs}
    assert ("host.name", "host-1") in services
    assert len(recipe["slowest"]) == 10 and all(row[1] and row[5] == "library" for row in recipe["slowest"])
    print(f"{block.name}: {len(found)} spans of {len(ids)} traces as sent, {len(listings)} listings run")


main()
