"""Metrics of tenants: off by default, and a bounded number of labels."""

from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY

from auth1 import metrics
from auth1.metrics import TenantLabels


@pytest.fixture
def labels() -> Iterator[TenantLabels]:
    labels = TenantLabels()
    labels.limit = 2
    yield labels
    labels.limit = 0
    labels.rank()  # removes the series of this test


def tenants() -> set[str]:
    """Return the labels that a scrape shows."""
    text = metrics.render().decode()
    return {
        line.partition('tenant="')[2].partition('"')[0]
        for line in text.splitlines()
        if line.startswith("auth1_tenant_requests_total{")
    }


def value(tenant: str, status: str = "2xx") -> float:
    found = REGISTRY.get_sample_value("auth1_tenant_requests_total", {"tenant": tenant, "status": status})
    return found or 0.0


def count(labels: TenantLabels, **requests: int) -> None:
    for tenant, number in requests.items():
        for _ in range(number):
            labels.count_request(tenant, 200)


def test_tenants_have_no_metrics_by_default() -> None:
    assert metrics.TENANTS.limit == 0
    metrics.count_response({"tenant_id": "tn_unlisted"}, 200)
    assert "tn_unlisted" not in metrics.render().decode()


def test_tenants_with_the_most_requests_get_a_label(labels: TenantLabels) -> None:
    before = value("other")
    count(labels, tn_a=5, tn_b=3, tn_c=1)
    assert value("other") - before == 9  # until the first ranking
    labels.rank()
    count(labels, tn_a=2, tn_b=1, tn_c=4)
    labels.count_request("tn_a", 503)
    labels.count_event("tn_a", "challenge.opened")
    labels.count_event("tn_c", "challenge.opened")
    assert (value("tn_a"), value("tn_b"), value("tn_a", "5xx")) == (2, 1, 1)
    assert value("other") - before == 9 + 4
    assert tenants() - {"other"} == {"tn_a", "tn_b"}
    events = metrics.render().decode()
    assert 'auth1_tenant_events_total{tenant="tn_a",type="challenge.opened"} 1.0' in events
    assert 'tenant="tn_c"' not in events


def test_overtaken_tenant_loses_its_series(labels: TenantLabels) -> None:
    count(labels, tn_d=5, tn_e=4)
    labels.rank()
    count(labels, tn_d=1, tn_e=1, tn_f=50)
    labels.rank()
    count(labels, tn_d=1, tn_e=1, tn_f=1)
    assert tenants() - {"other"} == {"tn_d", "tn_f"}


def test_labels_are_kept_and_bounded_with_several_workers(
    labels: TenantLabels, monkeypatch: pytest.MonkeyPatch
) -> None:
    count(labels, tn_g=5, tn_h=4)
    labels.rank()
    count(labels, tn_g=1, tn_h=1)
    with monkeypatch.context() as patch:
        patch.setenv("PROMETHEUS_MULTIPROC_DIR", "/nonexistent")
        count(labels, tn_i=50)
        labels.rank()
    count(labels, tn_g=1, tn_h=1, tn_i=1)
    assert tenants() - {"other"} == {"tn_g", "tn_h"}
