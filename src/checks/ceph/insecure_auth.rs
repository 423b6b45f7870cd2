use super::{ceph_command, raised, toned};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity, Text};
use crate::checks::csi::{Version, rook_version};
use crate::checks::opr::minor;
use crate::facts::{Cluster, Facts, Gap, Settled};
use crate::lang::{Listed, clauses};
use crate::objects::ceph::{Health, HealthCheck};
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// The health codes AUTH_INSECURE_*: keys and tickets with the old cipher aes (Ceph 19.2.6, 20.2.4 and later), and
    /// clients that reclaim their id the old way (global_id). For what comes next: Rook's version, `status.cephx` of
    /// the CephCluster, and the kernels of the nodes.
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
    /// `spec.healthCheck.muteHealthWarning`. The old way to reclaim an id is forbidden by
    /// `auth_allow_insecure_global_id_reclaim false`, once no client is named. The tool does none of this: clients that
    /// are away now cannot be seen, and would be locked out.
    ///
    /// # References
    /// Ceph: health codes AUTH_INSECURE_*, CVE-2021-20288 (global_id). Rook: Storage-Configuration/Advanced/cephx.
    "CEPH014" "insecure-auth" Ceph,
    needs: [Discovery, CephClusters, Operators, Nodes, CephHealth],
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
    let findings = [ciphers(facts, cluster, health)?, global_id(cluster, health)];
    Ok(Answered::judged(findings.into_iter().flatten().collect()))
}

fn ciphers(facts: &Facts<'_>, cluster: &Cluster, health: &Health) -> Result<Option<Finding>, Gap> {
    let codes = raised(health, CIPHERS);
    // What somebody muted is not what comes next.
    let Some((next, _)) = codes.iter().find(|(_, check)| !check.muted).or(codes.first()) else { return Ok(None) };
    let remedy = match *next {
        "AUTH_INSECURE_SERVICE_KEY_TYPE" => rotate(facts, cluster)?,
        "AUTH_INSECURE_ROTATING_SERVICE_KEY_TYPE" | "AUTH_INSECURE_SERVICE_TICKETS" => Remedy::guided(say!(
            "now: wait up to three hours after the daemons' keys were rotated; it clears by itself, then come the clients"
        )),
        "AUTH_INSECURE_CLIENT_KEY_TYPE" => renew_clients(facts, cluster, &codes)?,
        _ => Remedy::guided(say!("now: no key of the old kind is left, so restrict the allowed ciphers")),
    };
    let remedy = remedy.command(ceph_command(cluster, "health detail"));
    let summary = say!("keys or tickets use the old cipher aes, without any outage: {}", told(&codes));
    Ok(Some(finding(cluster, "aes", summary, remedy, &codes)))
}

/// The daemons' keys come first. Rook does it, if it is new enough.
fn rotate(facts: &Facts<'_>, cluster: &Cluster) -> Result<Remedy, Gap> {
    if cluster.external {
        return Ok(Remedy::guided(say!("now: rotate the keys of the daemons, where this Ceph is managed")));
    }
    if let Some(version) = rook_version(facts)?.filter(|version| !knows_the_cipher(*version)) {
        let (major, minor, patch) = version;
        let running = format!("{major}.{minor}.{patch}");
        return Ok(Remedy::guided(say!(
            "now: bring Rook {} to 1.19.10, 1.20.6 or later, which can rotate the keys of the daemons to the new cipher",
            running
        )));
    }
    let next = next_generation(facts.ceph_cluster()?);
    let summary = say!(
        "now: rotate the keys of the daemons, which restarts them one after the other; then wait three hours, then the clients, and forbid the old cipher last of all"
    );
    let keys = format!(
        r#""security":{{"cephx":{{"daemon":{{"keyRotationPolicy":"KeyGeneration","keyGeneration":{next}}}}}}}"#
    );
    Ok(Remedy::guided(summary).command(patch(cluster, &keys)))
}

/// What a kernel cannot read must not be given to CSI: mounts would fail.
fn renew_clients(facts: &Facts<'_>, cluster: &Cluster, codes: &[(&str, &HealthCheck)]) -> Result<Remedy, Gap> {
    // The kernels only decide what the remedy says.
    let nodes = match facts.nodes().settled()? {
        Ok(nodes) => nodes,
        Err(_unreadable) => &[],
    };
    let old = nodes.iter().find(|node| minor(&node.kernel).is_some_and(|kernel| kernel < KERNEL));
    let Some(node) = old else {
        return Ok(Remedy::guided(say!(
            "now: give the clients that are named new keys, kernel clients only where the kernel is 7.0 or later; forbid the old cipher when none is named any more"
        )));
    };
    let summary = say!(
        "now: give new keys to the clients that are named, but leave those of CSI as they are (spec.security.cephx.csi.keyType: aes): kernel {} of {} is older than 7.0 and could not mount with the new ones; mute the rest until then",
        node.kernel.split(' ').next().unwrap_or_default(),
        node.name
    );
    let remedy = Remedy::guided(summary);
    if cluster.external || !rook_version(facts)?.is_some_and(knows_the_cipher) {
        return Ok(remedy.command(ceph_command(cluster, "health mute AUTH_INSECURE_CLIENT_KEY_TYPE 4w")));
    }
    let mutes = codes.iter().map(|(code, _)| format!(r#""{code}":{{"policy":"mute"}}"#)).collect::<Vec<_>>().join(",");
    Ok(remedy.command(patch(cluster, &format!(r#""healthCheck":{{"muteHealthWarning":{{{mutes}}}}}"#))))
}

/// Kernel clients read AES256K from here on.
const KERNEL: (u32, u32) = (7, 0);

/// Whether this Rook rotates keys to AES256K and mutes health codes.
fn knows_the_cipher(version: Version) -> bool {
    version >= (1, 20, 6) || ((1, 19, 10)..(1, 20, 0)).contains(&version)
}

/// The generation after that of any daemon's key. CSI's and the peer's are counted apart.
fn next_generation(cluster: &CephCluster) -> u32 {
    let of_daemons = cluster.status.cephx.iter().filter(|(kind, _)| !["csi", "rbdMirrorPeer"].contains(&kind.as_str()));
    of_daemons.map(|(_, key)| key.key_generation).max().unwrap_or_default().max(1).saturating_add(1)
}

fn patch(cluster: &Cluster, spec: &str) -> String {
    format!(r#"kubectl -n {} patch cephcluster {} --type merge -p '{{"spec":{{{spec}}}}}'"#, cluster.ns, cluster.name)
}

fn global_id(cluster: &Cluster, health: &Health) -> Option<Finding> {
    let codes = raised(health, GLOBAL_ID);
    let (first, _) = codes.first()?;
    let remedy = if *first == "AUTH_INSECURE_GLOBAL_ID_RECLAIM" {
        Remedy::guided(say!("upgrade the clients that are named (kernel, librbd, ceph-fuse), and forbid the old way only when none is left"))
            .command(ceph_command(cluster, "health detail"))
    } else {
        Remedy::guided(say!("no connected client needs the old way: forbid it. Clients that are away now are not seen: one with a Ceph library from before April 2021 could not come back, and then needs an upgrade, or the setting at true again until it has one; kernel clients never needed it"))
            .command(ceph_command(cluster, "health detail"))
            .command(ceph_command(cluster, "config set mon auth_allow_insecure_global_id_reclaim false"))
    };
    let summary = say!("clients may reclaim their id in an insecure way: {}", told(&codes));
    Some(finding(cluster, "global-id", summary, remedy, &codes))
}

fn told(codes: &[(&str, &HealthCheck)]) -> Listed {
    clauses(codes.iter().map(|(_, check)| &check.summary.message))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_some_releases_of_rook_know_the_cipher() {
        for (version, knows) in [
            ((1, 13, 9), false),
            ((1, 19, 9), false),
            ((1, 19, 10), true),
            ((1, 20, 0), false),
            ((1, 20, 6), true),
            ((1, 21, 0), true),
        ] {
            assert_eq!(knows_the_cipher(version), knows, "{version:?}");
        }
    }

    #[test]
    fn the_next_generation_follows_the_daemons() {
        let cluster =
            |status| -> CephCluster { serde_json::from_value(serde_json::json!({"status": status})).unwrap() };
        let status = serde_json::json!({"cephx": {"osd": {"keyGeneration": 2}, "csi": {"keyGeneration": 7}}});
        assert_eq!(next_generation(&cluster(status)), 3);
        assert_eq!(next_generation(&cluster(serde_json::json!({}))), 2);
    }
}
