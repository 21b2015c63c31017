"""What writes cost."""

from twofold.etcd import quota
from twofold.proto import rpc_pb2

PUT = rpc_pb2.PutRequest(key=b"12345", value=b"12345")


def test_a_put_costs_its_bytes_and_an_overhead() -> None:
    assert quota.put_cost(PUT) == 266
