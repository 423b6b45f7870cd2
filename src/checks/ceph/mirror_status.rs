//! What the operator last saw of the mirroring of a pool or filesystem, and what it means.

use super::mirroring_unhealthy::{FS, RBD};
use crate::check::{Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::objects::rook::{BlockPool, Filesystem, MirrorPeer};
use crate::say;

/// What the status of a mirrored pool means; none if it is well, or was not seen yet.
pub(super) fn behind(pool: &BlockPool) -> Option<Finding> {
    let status = &pool.status.mirroring_status;
    let summary = &status.summary;
    let object = ObjectRef::of::<BlockPool>(&pool.metadata);
    let name = &object.name;
    let states = summary.states.iter().map(|(state, images)| format!("{images} {state}"));
    let states = states.collect::<Vec<_>>().join(", ");
    let (severity, told) = match (summary.health.as_str(), summary.daemon_health.as_str()) {
        _ if !status.details.is_empty() => (
            Severity::Warning,
            say!("the mirroring of pool {} cannot be seen: {}", name, status.details.trim_end_matches('.')),
        ),
        (_, "ERROR") | (_, "WARNING") => (
            Severity::Warning,
            say!("pool {} is not mirrored: the health of the mirror daemon is {}", name, summary.daemon_health),
        ),
        ("ERROR", _) => (Severity::Warning, say!("images of pool {} are not mirrored: {}", name, states)),
        ("WARNING", _) if is_on_its_way(pool) => {
            (Severity::Info, say!("images of pool {} are being copied to the other side: {}", name, states))
        }
        ("WARNING", _) => (Severity::Warning, say!("images of pool {} may not be mirrored: {}", name, states)),
        _ => return None,
    };
    let ns = &object.namespace;
    let remedy = Remedy::guided(say!(
        "see which images and what the daemon says of its peer: whether it reaches the peer's monitors and OSDs, and whether the bootstrap Secret is the one that the peer issued last"
    ))
    .command(format!("kubectl -n {ns} get cephblockpool {name} -o jsonpath='{{.status.mirroringStatus}}'"))
    .command(format!("kubectl -n {ns} logs -l app={RBD} -c rbd-mirror --tail=100"));
    let excerpt = format!(
        "health {}, daemon_health {}, image_health {}, states: {states}; checked {}",
        summary.health, summary.daemon_health, summary.image_health, status.last_checked
    );
    let evidence = Evidence::field(&object, "status.mirroringStatus.summary", excerpt);
    let place = Place::Pool(object.name.clone());
    Some(Finding::new(severity, object, told, remedy).at([place]).evidence([evidence]))
}

/// Whether every image is in a state that ends by itself.
fn is_on_its_way(pool: &BlockPool) -> bool {
    let states = &pool.status.mirroring_status.summary.states;
    let passing = ["syncing", "starting_replay", "replaying", "stopping_replay"];
    !states.is_empty() && states.iter().all(|(state, images)| *images == 0 || passing.contains(&state.as_str()))
}

/// The directories of a mirrored filesystem that are not copied.
pub(super) fn failing(fs: &Filesystem) -> Option<Finding> {
    let status = &fs.status.mirroring_status;
    let object = ObjectRef::of::<Filesystem>(&fs.metadata);
    let (ns, name) = (object.namespace.clone(), object.name.clone());
    let peers = status.daemons_status.iter().flat_map(|daemon| &daemon.filesystems).filter(|it| it.name == name);
    let fails = |peer: &MirrorPeer| peer.stats.failure_count.saturating_sub(peer.stats.recovery_count);
    let failing: Vec<(u32, &MirrorPeer)> =
        peers.flat_map(|fs| &fs.peers).map(|peer| (fails(peer), peer)).filter(|(count, _)| *count > 0).collect();
    let summary = match failing.first() {
        Some((count, peer)) => say!(
            "{} directories of filesystem {} are not copied to {}",
            count,
            name,
            format!("{}/{}", peer.remote.cluster_name, peer.remote.fs_name)
        ),
        None if !status.details.is_empty() => {
            say!("the mirroring of filesystem {} cannot be seen: {}", name, status.details.trim_end_matches('.'))
        }
        None => return None,
    };
    let remedy = Remedy::guided(say!("see which directories fail, and whether the daemon reaches the peer"))
        .command(format!("kubectl -n {ns} logs -l app={FS} -c fs-mirror --tail=100"))
        .command(format!("kubectl -n {ns} get cephfilesystem {name} -o jsonpath='{{.status.mirroringStatus}}'"));
    let told = failing.iter().map(|(_, MirrorPeer { remote, stats })| {
        let (failed, recovered) = (stats.failure_count, stats.recovery_count);
        let excerpt = format!("{}: {failed} failed, {recovered} recovered", remote.cluster_name);
        Evidence::field(&object, "status.mirroringStatus.daemonsStatus", excerpt)
    });
    let details = (!status.details.is_empty())
        .then(|| Evidence::field(&object, "status.mirroringStatus.details", &status.details));
    let evidence: Vec<Evidence> = told.chain(details).collect();
    Some(Finding::warning(object, summary, remedy).evidence(evidence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_status_of_a_pool_is_read() {
        let ok = json!({"health": "OK", "daemon_health": "OK", "image_health": "OK", "states": {"replaying": 3}});
        let syncing = json!({"health": "WARNING", "daemon_health": "OK", "states": {"syncing": 1, "replaying": 2}});
        let unknown = json!({"health": "WARNING", "daemon_health": "OK", "states": {"unknown": 1}});
        let error = json!({"health": "ERROR", "daemon_health": "OK", "states": {"error": 1}});
        let daemon = json!({"health": "ERROR", "daemon_health": "ERROR", "states": {}});
        let no_daemon = json!({"health": "UNKNOWN", "daemon_health": "UNKNOWN", "states": {}});
        for (summary, details, severity) in [
            (ok.clone(), "", None),
            (syncing, "", Some(Severity::Info)),
            (unknown, "", Some(Severity::Warning)),
            (error, "", Some(Severity::Warning)),
            (daemon, "", Some(Severity::Warning)),
            (no_daemon, "", None),
            (ok, "failed to retrieve mirroring pool status", Some(Severity::Warning)),
        ] {
            let status = json!({"mirroringStatus": {"summary": summary, "details": details}});
            let pool: BlockPool = serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).unwrap();
            assert_eq!(behind(&pool).map(|finding| finding.severity), severity, "{status}");
        }
    }
}
