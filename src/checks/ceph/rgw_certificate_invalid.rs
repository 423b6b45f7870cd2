use jiff::SignedDuration;

use super::certificate::decode;
use super::serving::lettered;
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, quote};
use crate::checks::opr::{OPERATOR, older, operator_log};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, Log, Select, Settled, Unknown, both, known};
use crate::objects::kube::Event;
use crate::objects::rook::ObjectStore;
use crate::say;

check! {
    /// # What it looks at
    /// CephObjectStores with a `securePort`: the kubelet's words that the TLS Secret of a gateway does not exist or
    /// lacks a key, what a gateway that is not Ready says of its certificate, and `x509:` errors of the operator
    /// about the store's own address, in events and in its log of the last twenty minutes. Secrets are not read, so
    /// a certificate that nobody has refused yet is not seen.
    ///
    /// # Why it matters
    /// Without its Secret a gateway does not start. With a certificate that has expired, that is for another name or
    /// of an authority that the operator does not know, the gateway runs, yet the operator makes no users and no
    /// buckets, and clients that check certificates are refused.
    ///
    /// # Confirm by hand
    /// `openssl s_client -connect <gateway>:443 -servername rook-ceph-rgw-<store>.<ns>.svc </dev/null | openssl x509
    /// -noout -dates -ext subjectAltName`.
    ///
    /// # Fix
    /// Put the right certificate into the Secret that `spec.gateway.sslCertificateRef` names: `tls.crt` and `tls.key`
    /// in one of type kubernetes.io/tls, else `cert` in an Opaque one. It must be valid for
    /// `rook-ceph-rgw-<store>.<ns>.svc`; for an authority of your own name its bundle in `caBundleRef`. Restart the
    /// gateways afterwards: they read the files at their start.
    ///
    /// # References
    /// Rook: CRDs/Object-Storage/ceph-object-store-crd, "Gateway Settings"; issues 8993, 14393 and 15225. Ceph:
    /// src/rgw/rgw_asio_frontend.cc.
    "CEPH019" "rgw-certificate-invalid" Ceph,
    needs: [Discovery, MountEvents, ClusterEvents, RgwPods, OperatorPods, Objects, Logs],
    explained_by: [],
}

/// Kubelet and operator try again within seventeen minutes.
const CURRENT: SignedDuration = SignedDuration::from_mins(20);
/// What a gateway says of its certificate as it gives up.
const REFUSED: &[&str] = &[
    "failed to use ssl_certificate=",
    "failed to add ssl_private_key=",
    "no ssl_certificate configured for ssl",
    "ssl_private_key was not found",
];

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ns = facts.cluster()?.ns.as_str();
    let stores = facts.list::<ObjectStore>(Some(ns), Select::all())?;
    let secure = |store: &&ObjectStore| store.spec.gateway.secure_port > 0;
    let stores: Vec<_> = stores.iter().filter(secure).filter(|it| it.metadata.deletion_timestamp.is_none()).collect();
    if stores.is_empty() {
        return Ok(Answered::NotApplicable("no object store uses TLS"));
    }
    let events = both(facts.mount_events().settled(), facts.cluster_events().settled());
    let ((events, rows), log) = both(both(events, facts.rgw_pods().settled()), operator_log(facts).settled())?;
    let mut blind: Vec<Unknown> = Vec::new();
    let mounts = known(events.0, &mut blind).unwrap_or_default();
    let failures = known(events.1, &mut blind).unwrap_or_default();
    let rows = known(rows, &mut blind).unwrap_or_default();
    let log = known(log, &mut blind).flatten();
    let is_current = |event: &&Event| event.last_seen().is_some() && !older(facts, event.last_seen(), CURRENT);
    let mounts: Vec<&Event> = mounts.iter().filter(is_current).collect();
    let failures: Vec<&Event> = failures.iter().filter(is_current).collect();
    let mut findings = Vec::new();
    for store in stores {
        let of_it = rows.iter().filter(|row| lettered(row, "rook-ceph-rgw-") == Some(&*store.metadata.name));
        let down: Vec<&PodRow> = of_it.filter(|row| !row.is_well() && !row.is_replaced()).collect();
        let logs = facts.each(down.clone(), |facts, row| facts.log(&row.ns, &row.name, "rgw"))?;
        let told = lacking(&down, &mounts)
            .or_else(|| logs.seen.iter().find_map(|(row, log)| quote(&row.ns, &row.name, "rgw", log, REFUSED)))
            .or_else(|| untrusted(facts, store, &failures, log));
        findings.extend(told.map(|told| finding(store, told)));
        // A gateway that has no container yet has no log either, and its mount tells.
        blind.extend(logs.blind);
    }
    Ok(Answered::judged(findings).blind(blind))
}

/// A gateway that waits for its certificate.
fn lacking(down: &[&PodRow], mounts: &[&Event]) -> Option<Evidence> {
    let is_it = |event: &&&Event| {
        let message = event.message.as_str();
        let lacks = message.contains("not found") || message.contains("references non-existent secret key");
        let about = |row: &&PodRow| event.is_about("Pod", &row.ns, &row.name);
        lacks && message.contains("rook-ceph-rgw-cert") && down.iter().any(about)
    };
    mounts.iter().filter(is_it).max_by_key(|event| event.last_seen()).map(|event| Evidence::event(event))
}

/// The operator that does not trust, or cannot find, the certificate of this store.
fn untrusted(
    facts: &Facts<'_>,
    store: &ObjectStore,
    failures: &[&Event],
    log: Option<(&PodRow, &Log)>,
) -> Option<Evidence> {
    let (ns, name) = (&store.metadata.namespace, &store.metadata.name);
    let address = format!("//rook-ceph-rgw-{name}.{ns}.svc");
    let is_it = |text: &str| text.contains("x509:") && text.contains(&address);
    let of_store = |event: &Event| {
        event.is_about("CephObjectStore", ns, name) && event.message.contains("no TLS certificates found")
    };
    let event = failures.iter().find(|event| is_it(&event.message) || of_store(event));
    let line = log.and_then(|(pod, log)| {
        let line = log.lines.iter().rev().find(|line| is_it(&line.text))?;
        let is_current = line.at.is_some() && !older(facts, line.at, CURRENT);
        is_current.then(|| Evidence::log(&pod.ns, &pod.name, OPERATOR, line))
    });
    event.map(|event| Evidence::event(event)).or(line)
}

fn finding(store: &ObjectStore, told: Evidence) -> Finding {
    let object = ObjectRef::of::<ObjectStore>(&store.metadata);
    let (ns, name) = (&object.namespace, &object.name);
    let (severity, why, fix) = decode(&told.excerpt);
    let summary = say!("object store {}: {}", name, why);
    let secret = store.spec.gateway.ssl_certificate_ref.as_str();
    let look = if secret.is_empty() {
        format!("kubectl -n {ns} get cephobjectstore {name} -o jsonpath='{{.spec.gateway}}'")
    } else {
        format!("kubectl -n {ns} describe secret {}", super::quoted(secret))
    };
    let remedy =
        Remedy::guided(fix).command(look).command(format!("kubectl -n {ns} get pods -l rook_object_store={name}"));
    let reference =
        Evidence::field(&object, "spec.gateway.sslCertificateRef", if secret.is_empty() { "none" } else { secret });
    Finding::new(severity, object, summary, remedy).since(told.at).evidence([told, reference])
}
