//! What is wrong with the certificate of an object store, by the words of who refuses it.

use crate::check::{Severity, Text};
use crate::lang::Words;
use crate::say;

/// What the words mean: how bad it is, why, and what would help.
pub(super) fn decode(words: &str) -> (Severity, Text, Text) {
    const WORDS: &[(&str, Severity, Words, Words)] = &[
        (
            "non-existent secret key",
            Severity::Critical,
            || say!("its TLS Secret lacks a key, and a gateway cannot start"),
            || {
                say!(
                    "a Secret of type kubernetes.io/tls holds tls.crt and tls.key, an Opaque one the key cert with both"
                )
            },
        ),
        (
            "not found",
            Severity::Critical,
            || say!("its TLS Secret does not exist, and a gateway cannot start"),
            || say!("create the Secret, or name the right one in spec.gateway.sslCertificateRef"),
        ),
        (
            "has expired or is not yet valid",
            Severity::Critical,
            || say!("its certificate has expired or is not yet valid"),
            || {
                say!(
                    "put a new certificate into the Secret and restart the gateways; if it is new already, look at the clocks"
                )
            },
        ),
        (
            "signed by unknown authority",
            Severity::Warning,
            || say!("the operator does not know the authority of its certificate, and makes neither users nor buckets"),
            || {
                say!(
                    "name the authority's bundle in spec.gateway.caBundleRef, or put it into the Secret of the certificate"
                )
            },
        ),
        (
            "is valid for",
            Severity::Warning,
            || {
                say!(
                    "its certificate is for another name than the operator calls, so it makes neither users nor buckets"
                )
            },
            || say!("add the Service's name to the certificate, or set spec.hosting.advertiseEndpoint"),
        ),
        (
            "no TLS certificates found",
            Severity::Critical,
            || say!("it has a securePort and names no certificate"),
            || say!("name the Secret of the certificate in spec.gateway.sslCertificateRef"),
        ),
        (
            "x509:",
            Severity::Warning,
            || say!("the operator refuses its certificate"),
            || say!("replace the certificate"),
        ),
    ];
    let known = WORDS.iter().find(|(text, ..)| words.contains(text));
    known.map_or(
        (
            Severity::Critical,
            say!("a gateway cannot use its certificate, and does not start"),
            say!("see that certificate and key belong together and are complete"),
        ),
        |(_, severity, why, fix)| (*severity, why(), fix()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_told_apart() {
        for (words, severity, why) in [
            (
                "MountVolume.SetUp failed for volume \"rook-ceph-rgw-cert\" : secret \"tls\" not found",
                Severity::Critical,
                "does not exist",
            ),
            (
                "MountVolume.SetUp failed for volume \"rook-ceph-rgw-cert\" : references non-existent secret key: cert",
                Severity::Critical,
                "lacks a key",
            ),
            ("x509: certificate has expired or is not yet valid: current time is after", Severity::Critical, "expired"),
            ("x509: certificate signed by unknown authority, requeuing", Severity::Warning, "authority"),
            (
                "x509: certificate is valid for s3.example.com, not rook-ceph-rgw-s3.rook-ceph.svc",
                Severity::Warning,
                "another name",
            ),
            (
                "failed to use ssl_certificate=/etc/ceph/private/rgw-cert.pem: no start line",
                Severity::Critical,
                "cannot use",
            ),
        ] {
            let (is, said, _) = decode(words);
            let said = said.english();
            assert!(is == severity && said.contains(why), "{words}: {said}");
        }
    }
}
