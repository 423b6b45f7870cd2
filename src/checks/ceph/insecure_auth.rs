use super::{ceph_command, raised, toned};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity, Text};
use crate::facts::{Cluster, Facts, Gap};
use crate::objects::ceph::{Health, HealthCheck};
use crate::say;

check! {
    /// # What it looks at
    /// The health codes AUTH_INSECURE_*: keys and tickets with the old cipher aes (Ceph 19.2.6, 20.2.4 and later), and
    /// clients that reclaim their id the old way (global_id).
    ///
    /// # Why it matters
    /// There is no outage, although three of the codes hold the cluster in HEALTH_ERR: nothing is broken, somebody
    /// who records the network could break a key. But the order of the remedy matters: whoever forbids the old
    /// cipher before the last client has a new key locks that client out, the operator and CSI among them.
    ///
    /// # Confirm by hand
    /// `ceph health detail` names the entities; `kubectl -n <ns> get cephcluster <name> -o yaml`, `status.cephx`.
    ///
    /// # Fix
    /// Daemons first: `spec.security.cephx.daemon.keyRotationPolicy: KeyGeneration` with the next `keyGeneration`
    /// (Rook 1.19.10, 1.20.6 and later). Rotating keys and tickets follow by themselves within two or three hours.
    /// Then clients, CSI among them: kernel clients need kernel 7.0 for AES256K, 7.2 with FIPS. Only when no entity is
    /// named any more, restrict the allowed ciphers. What has to wait can be muted, by
    /// `spec.healthCheck.muteHealthWarning`.
    ///
    /// # References
    /// Ceph: health codes AUTH_INSECURE_*, CVE-2021-20288 (global_id). Rook: Storage-Configuration/Advanced/cephx.
    "CEPH014" "insecure-auth" Ceph,
    needs: [CephHealth],
    explained_by: [],
}

/// In the order in which they are to be cleared.
const CIPHERS: &[&str] = &[
    "AUTH_INSECURE_SERVICE_KEY_TYPE",
    "AUTH_INSECURE_ROTATING_SERVICE_KEY_TYPE",
    "AUTH_INSECURE_SERVICE_TICKETS",
    "AUTH_INSECURE_CLIENT_KEY_TYPE",
    "AUTH_INSECURE_KEYS_CREATABLE",
    "AUTH_INSECURE_KEYS_ALLOWED",
];
const GLOBAL_ID: &[&str] = &["AUTH_INSECURE_GLOBAL_ID_RECLAIM", "AUTH_INSECURE_GLOBAL_ID_RECLAIM_ALLOWED"];

/// The codes that this check reports.
pub(super) fn is_owned(code: &str) -> bool {
    CIPHERS.contains(&code) || GLOBAL_ID.contains(&code)
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (cluster, health) = (facts.cluster()?, facts.ceph_health()?);
    let findings = [ciphers(cluster, health), global_id(cluster, health)];
    Ok(Answered::judged(findings.into_iter().flatten().collect()))
}

fn ciphers(cluster: &Cluster, health: &Health) -> Option<Finding> {
    let codes = raised(health, CIPHERS);
    let (first, _) = codes.first()?;
    let next = match *first {
        "AUTH_INSECURE_SERVICE_KEY_TYPE" => say!(
            "now: rotate the keys of the daemons; then wait three hours, then the clients, and forbid the old cipher last of all"
        ),
        "AUTH_INSECURE_ROTATING_SERVICE_KEY_TYPE" | "AUTH_INSECURE_SERVICE_TICKETS" => say!(
            "now: wait up to three hours after the daemons' keys were rotated; it clears by itself, then come the clients"
        ),
        "AUTH_INSECURE_CLIENT_KEY_TYPE" => say!(
            "now: give the clients that are named new keys, kernel clients only where the kernel is 7.0 or later; forbid the old cipher when none is named any more"
        ),
        _ => say!("now: no key of the old kind is left, so restrict the allowed ciphers"),
    };
    let remedy = Remedy::guided(next).command(ceph_command(cluster, "health detail"));
    let remedy = match (*first, cluster.external) {
        ("AUTH_INSECURE_SERVICE_KEY_TYPE", false) => remedy.command(format!(
            "kubectl -n {} get cephcluster {} -o jsonpath='{{.status.cephx}}'",
            cluster.ns, cluster.name
        )),
        _ => remedy,
    };
    let summary = say!("keys or tickets use the old cipher aes, without any outage: {}", told(&codes));
    Some(finding(cluster, "aes", summary, remedy, &codes))
}

fn global_id(cluster: &Cluster, health: &Health) -> Option<Finding> {
    let codes = raised(health, GLOBAL_ID);
    let (first, _) = codes.first()?;
    let remedy = if *first == "AUTH_INSECURE_GLOBAL_ID_RECLAIM" {
        Remedy::guided(say!("upgrade the clients that are named (kernel, librbd, ceph-fuse), and forbid the old way only when none is left"))
            .command(ceph_command(cluster, "health detail"))
    } else {
        Remedy::guided(say!("no connected client needs the old way: forbid it"))
            .command(ceph_command(cluster, "config set mon auth_allow_insecure_global_id_reclaim false"))
    };
    let summary = say!("clients may reclaim their id in an insecure way: {}", told(&codes));
    Some(finding(cluster, "global-id", summary, remedy, &codes))
}

fn told(codes: &[(&str, &HealthCheck)]) -> String {
    codes.iter().map(|(_, check)| check.summary.message.as_str()).collect::<Vec<_>>().join("; ")
}

fn finding(cluster: &Cluster, detail: &str, summary: Text, remedy: Remedy, codes: &[(&str, &HealthCheck)]) -> Finding {
    let severity = codes.iter().map(|(_, check)| toned(check, Severity::Warning)).max().unwrap_or(Severity::Warning);
    let details = codes.iter().flat_map(|(_, check)| check.details()).take(4);
    Finding::new(severity, ObjectRef::cluster(cluster), summary, remedy)
        .detail(detail)
        .evidence(codes.iter().map(|(code, check)| {
            Evidence::ceph("health detail", format!("[{}] {code}: {}", check.severity, check.summary.message))
        }))
        .evidence(details.map(|detail| Evidence::ceph("health detail", detail)))
}
