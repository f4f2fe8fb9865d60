"""JSON schemas of the Prometheus Operator's ServiceMonitor and PrometheusRule (monitoring.coreos.com/v1).

The fields are those of the npm package @kubernetes-models/prometheus-operator 6.0.0. Its own validators are not used:
CI would install Node packages for two files, and they accept unknown fields. An API server drops those silently, so
that a misspelled field has no effect. Authentication and TLS are checked to be objects only.
"""

from typing import Any

Schema = dict[str, Any]

STRING: Schema = {"type": "string"}
BOOLEAN: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
OBJECT: Schema = {"type": "object"}
STRINGS: Schema = {"type": "array", "items": STRING}
LABELS: Schema = {"type": "object", "additionalProperties": STRING}
# Units from years to milliseconds, largest first, each at most once; "0" has none.
UNITS = "".join(f"([0-9]+{unit})?" for unit in ("y", "w", "d", "h", "m", "s", "ms"))
DURATION: Schema = {"type": "string", "pattern": f"^(0|{UNITS})$", "minLength": 1}
BYTES: Schema = {"type": "string", "pattern": "^(0|([0-9]*[.])?[0-9]+((K|M|G|T|E|P)i?)?B)$"}
PROTOCOL: Schema = {
    "enum": [
        "PrometheusProto",
        "OpenMetricsText0.0.1",
        "OpenMetricsText1.0.0",
        "PrometheusText0.0.4",
        "PrometheusText1.0.0",
    ]
}


def record(fields: Schema, *required: str) -> Schema:
    """Return the schema of an object that has no other fields."""
    return {"type": "object", "properties": fields, "required": [*required], "additionalProperties": False}


def array(items: Schema, least: int = 0) -> Schema:
    """Return the schema of an array."""
    return {"type": "array", "items": items, "minItems": least}


METADATA = record({"name": STRING, "namespace": STRING, "labels": LABELS, "annotations": LABELS}, "name")
EXPRESSION = record({"key": STRING, "operator": STRING, "values": STRINGS}, "key", "operator")
SELECTOR = record({"matchLabels": LABELS, "matchExpressions": array(EXPRESSION)})
RELABELING = record(
    {
        "action": STRING,
        "modulus": COUNT,
        "regex": STRING,
        "replacement": STRING,
        "separator": STRING,
        "sourceLabels": STRINGS,
        "targetLabel": STRING,
    }
)
ENDPOINT = record(
    {
        "authorization": OBJECT,
        "basicAuth": OBJECT,
        "bearerTokenFile": STRING,
        "bearerTokenSecret": OBJECT,
        "enableHttp2": BOOLEAN,
        "filterRunning": BOOLEAN,
        "followRedirects": BOOLEAN,
        "honorLabels": BOOLEAN,
        "honorTimestamps": BOOLEAN,
        "interval": DURATION,
        "metricRelabelings": array(RELABELING),
        "noProxy": STRING,
        "oauth2": OBJECT,
        "params": {"type": "object", "additionalProperties": STRINGS},
        "path": STRING,
        "port": STRING,
        "proxyConnectHeader": OBJECT,
        "proxyFromEnvironment": BOOLEAN,
        "proxyUrl": STRING,
        "relabelings": array(RELABELING),
        "scheme": {"enum": ["http", "https", "HTTP", "HTTPS"]},
        "scrapeTimeout": DURATION,
        "targetPort": {"type": ["integer", "string"]},
        "tlsConfig": OBJECT,
        "trackTimestampsStaleness": BOOLEAN,
    }
)
MONITOR = record(
    {
        "attachMetadata": record({"node": BOOLEAN}),
        "bodySizeLimit": BYTES,
        "convertClassicHistogramsToNHCB": BOOLEAN,
        "endpoints": array(ENDPOINT, least=1),
        "fallbackScrapeProtocol": PROTOCOL,
        "jobLabel": STRING,
        "keepDroppedTargets": COUNT,
        "labelLimit": COUNT,
        "labelNameLengthLimit": COUNT,
        "labelValueLengthLimit": COUNT,
        "namespaceSelector": record({"any": BOOLEAN, "matchNames": STRINGS}),
        "nativeHistogramBucketLimit": COUNT,
        "nativeHistogramMinBucketFactor": {"type": ["integer", "string"]},
        "podTargetLabels": STRINGS,
        "sampleLimit": COUNT,
        "scrapeClass": STRING,
        "scrapeClassicHistograms": BOOLEAN,
        "scrapeNativeHistograms": BOOLEAN,
        "scrapeProtocols": array(PROTOCOL),
        "selector": SELECTOR,
        "selectorMechanism": {"enum": ["RelabelConfig", "RoleSelector"]},
        "serviceDiscoveryRole": {"enum": ["Endpoints", "EndpointSlice"]},
        "targetLabels": STRINGS,
        "targetLimit": COUNT,
    },
    "endpoints",
    "selector",
)
RULE = record(
    {
        "alert": STRING,
        "annotations": LABELS,
        "expr": STRING,
        "for": DURATION,
        "keep_firing_for": DURATION,
        "labels": LABELS,
        "record": STRING,
    },
    "expr",
)
GROUP = record(
    {
        "interval": DURATION,
        "labels": LABELS,
        "limit": COUNT,
        "name": {"type": "string", "minLength": 1},
        "partial_response_strategy": {"enum": ["", "abort", "warn"]},
        "query_offset": DURATION,
        "rules": array(RULE),
    },
    "name",
)


def resource(kind: str, spec: Schema) -> Schema:
    """Return the schema of a whole resource."""
    head = {"apiVersion": {"const": "monitoring.coreos.com/v1"}, "kind": {"const": kind}, "metadata": METADATA}
    return record(head | {"spec": spec}, "apiVersion", "kind", "metadata", "spec")


SCHEMAS = {
    "ServiceMonitor": resource("ServiceMonitor", MONITOR),
    "PrometheusRule": resource("PrometheusRule", record({"groups": array(GROUP)})),
}
