"""Write ops/k8s/components/prometheus/prometheusrule.yaml: the alerts of ops/grafana/alerts.yaml for the operator.

    python -m tests.ops.prometheus_rule

kustomize reads no file outside of its folders, so the rules must be in two files. A test checks that they are the same.
"""

from pathlib import Path

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "ops/grafana/alerts.yaml"
RULE = ROOT / "ops/k8s/components/prometheus/prometheusrule.yaml"
HEAD = """\
# Generated from ops/grafana/alerts.yaml by `just alerts`: change that file.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: auth1
  labels:
    app: auth1
spec:
"""


def render() -> str:
    """Return the manifest: the lines of the alerts, comments included, below `spec`."""
    lines = ALERTS.read_text().splitlines()
    rules = lines[lines.index("groups:") :]
    return HEAD + "".join(f"  {line}".rstrip() + "\n" for line in rules)


if __name__ == "__main__":
    RULE.write_text(render())
