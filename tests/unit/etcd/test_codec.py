"""Replies by hand must be what protobuf itself would read and write."""

from hypothesis import given
from hypothesis import strategies as st

from twofold.etcd import codec
from twofold.proto import kv_pb2, rpc_pb2

HEADERS = codec.Headers(cluster_id=(1 << 64) - 1, member_id=7)
KV = kv_pb2.KeyValue(key=b"k", mod_revision=3, value=b"v" * 300).SerializeToString()


def test_header_is_a_response_header_as_field_one() -> None:
    reply = rpc_pb2.PutResponse.FromString(HEADERS.field(12, 3))
    assert reply.header.cluster_id == (1 << 64) - 1
    assert reply.header.member_id == 7
    assert reply.header.revision == 12
    assert reply.header.raft_term == 3


def test_header_changes_with_revision_and_with_term() -> None:
    fields = {HEADERS.field(r, t) for r, t in [(1, 1), (2, 1), (2, 2), (1, 1)]}
    assert len(fields) == 3


@given(st.integers(min_value=-(1 << 63), max_value=(1 << 63) - 1))
def test_varint_is_protobufs_own(value: int) -> None:
    ours = codec.tagged(b"\x18", value)
    assert ours == rpc_pb2.ResponseHeader(revision=value).SerializeToString()


@given(st.lists(st.binary(max_size=200), max_size=5), st.booleans(), st.integers(0, 9))
def test_range_reply_reads_back(values: list[bytes], more: bool, count: int) -> None:
    kvs = [kv_pb2.KeyValue(key=b"k", value=value) for value in values]
    stored = [kv.SerializeToString() for kv in kvs]
    raw = codec.range_reply(HEADERS.field(5, 2), stored, more, count)
    joined = raw if isinstance(raw, bytes) else b"".join(raw)
    reply = rpc_pb2.RangeResponse.FromString(joined)
    assert list(reply.kvs) == kvs
    assert (reply.more, reply.count, reply.header.revision) == (more, count, 5)
    assert reply.SerializeToString() == joined


def test_put_reply_with_and_without_previous() -> None:
    header = HEADERS.field(5, 2)
    assert not rpc_pb2.PutResponse.FromString(codec.put_reply(header, None)).HasField(
        "prev_kv"
    )
    reply = rpc_pb2.PutResponse.FromString(codec.put_reply(header, KV))
    assert reply.prev_kv.SerializeToString() == KV


def test_delete_reply_reads_back() -> None:
    raw = codec.delete_reply(HEADERS.field(5, 2), 2, [KV, KV])
    reply = rpc_pb2.DeleteRangeResponse.FromString(raw)
    assert reply.deleted == 2
    assert [kv.SerializeToString() for kv in reply.prev_kvs] == [KV, KV]
    assert reply.SerializeToString() == raw


def test_txn_reply_keeps_encoded_responses() -> None:
    responses = rpc_pb2.TxnResponse()
    responses.responses.add().response_put.header.revision = 5
    raw = codec.txn_reply(HEADERS.field(5, 2), True, responses.SerializeToString())
    reply = rpc_pb2.TxnResponse.FromString(raw)
    assert reply.succeeded
    assert reply.responses[0].response_put.header.revision == 5


def test_lease_replies_share_their_layout() -> None:
    raw = codec.lease_grant_reply(HEADERS.field(5, 2), 77, 60)
    grant = rpc_pb2.LeaseGrantResponse.FromString(raw)
    renewal = rpc_pb2.LeaseKeepAliveResponse.FromString(raw)
    assert (grant.ID, grant.TTL) == (renewal.ID, renewal.TTL) == (77, 60)
