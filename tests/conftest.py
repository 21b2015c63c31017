"""Settings that all tests share."""

from hypothesis import HealthCheck, settings

# CI machines stall: a slow example is no finding. A failure prints its blob.
settings.register_profile(
    "twofold",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("twofold")
