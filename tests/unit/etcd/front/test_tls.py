"""Which files make a context, and when they are read again."""

import os
import ssl
from pathlib import Path

import pytest
import trustme

from twofold.etcd.front.errors import CertificateError
from twofold.etcd.front.tls import ReloadingContext, TlsFiles


def _issue(folder: Path) -> TlsFiles:
    ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
    certificate = ca.issue_cert("localhost", key_type=trustme.KeyType.ECDSA)
    files = TlsFiles(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")
    certificate.cert_chain_pems[0].write_to_path(str(files.cert))
    certificate.private_key_pem.write_to_path(str(files.key))
    ca.cert_pem.write_to_path(str(files.ca))
    return files


def test_contexts_demand_tls_1_2_and_client_certificates_if_asked(
    tmp_path: Path,
) -> None:
    files = _issue(tmp_path)
    demanding = TlsFiles(files.cert, files.key, files.ca, True)
    context = ReloadingContext(demanding, print).context
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert ReloadingContext(files, print).context.verify_mode == ssl.CERT_NONE


def test_unusable_first_files_are_an_error(tmp_path: Path) -> None:
    files = _issue(tmp_path)
    with pytest.raises(CertificateError):
        ReloadingContext(TlsFiles(tmp_path / "none", files.key), print)
    with pytest.raises(CertificateError):
        ReloadingContext(TlsFiles(files.cert, files.key, None, True), print)
    files.key.write_text("no key")
    with pytest.raises(CertificateError):
        ReloadingContext(files, print)


def test_a_broken_change_is_reported_once_and_a_good_one_is_taken(
    tmp_path: Path,
) -> None:
    files = _issue(tmp_path)
    reports: list[str] = []
    reloading = ReloadingContext(files, reports.append)
    before = reloading.newest
    reloading.refresh()
    assert reloading.newest is before
    files.cert.write_text("broken")
    reloading.refresh()
    reloading.refresh()
    assert reloading.newest is before
    assert len(reports) == 1
    _issue(tmp_path)
    os.utime(files.cert, ns=(1, 1))
    reloading.refresh()
    assert reloading.newest is not before
    assert len(reports) == 1
