"""The page of /metrics as Prometheus's own client library for Python reads it.

The page is the standard input; the format, text or openmetrics, the only argument. Prints JSON: a list of
[family, type, help, unit, [[sample, labels, value], ...]].
"""

import json
import sys

from prometheus_client import openmetrics, parser
import prometheus_client.openmetrics.parser

READ = {
    "text": parser.text_string_to_metric_families,
    "openmetrics": openmetrics.parser.text_string_to_metric_families,
}

families = READ[sys.argv[1]](sys.stdin.read())
print(json.dumps([
    [f.name, f.type, f.documentation, f.unit, [[s.name, s.labels, s.value] for s in f.samples]]
    for f in families
]))
