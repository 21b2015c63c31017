"""The counters' arithmetic."""

from twofold.telemetry.metrics import Histogram, Meter, doubling


def test_a_bound_belongs_to_the_bucket_it_ends() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 3.0):
        histogram.observe(value)
    assert histogram.cumulative() == [("1", 2.0), ("2", 4.0), ("+Inf", 5.0)]
    assert histogram.sum == 8.0


def test_doubling_bounds() -> None:
    assert doubling(0.001, 3) == (0.001, 0.002, 0.004)


def test_a_method_is_split_into_service_and_name() -> None:
    meter = Meter()
    counts = meter.method("/etcdserverpb.KV/Put", "unary")
    assert (counts.service, counts.method) == ("etcdserverpb.KV", "Put")
    assert meter.method("/etcdserverpb.KV/Put", "unary") is counts
