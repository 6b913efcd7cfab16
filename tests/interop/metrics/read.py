"""Reads a page of metrics with Prometheus' own parser for Python; what is on it, as JSON."""

import json
import sys

from prometheus_client.parser import text_string_to_metric_families

families = list(text_string_to_metric_families(sys.stdin.read()))
json.dump(
    {
        family.name: {
            "type": family.type,
            "help": family.documentation,
            "series": [[sample.name, sample.labels, sample.value] for sample in family.samples],
        }
        for family in families
    },
    sys.stdout,
)
