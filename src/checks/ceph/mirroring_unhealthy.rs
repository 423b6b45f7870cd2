use super::serving::{Serving, serving};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::checks::net::last_words;
use crate::facts::{Facts, Gap, Select, both, kinds};
use crate::objects::rook::{BlockPool, Filesystem, MirrorPeer};
use crate::say;

check! {
    /// # What it looks at
    /// The pods of the mirror daemons (`app=rook-ceph-rbd-mirror`, `app=rook-ceph-fs-mirror`), and what the operator
    /// last saw of each mirrored CephBlockPool and CephFilesystem (`status.mirroringStatus`): the health of daemon
    /// and images, images in `error`, directories that fail. Where nothing is mirrored the question does not arise.
    /// That no daemon runs here is no fault by itself: in one direction only the other side needs one.
    ///
    /// # Why it matters
    /// Data is served as before, but the copy on the other side falls behind: a failover loses what was written
    /// since. Images that still sync, or that wait to be replayed, are on their way and only told as information.
    ///
    /// # Confirm by hand
    /// `rbd mirror pool status <pool> --verbose`, `ceph fs snapshot mirror daemon status`, and the log of the mirror
    /// daemon.
    ///
    /// # Fix
    /// Bring the mirror daemon back. If it runs, see whether it reaches the monitors and OSDs of the peer, and
    /// whether the bootstrap peer Secret is the one that the peer issued last. An image that split-brained needs a
    /// resync from the side that is right, which throws the other side's changes away.
    ///
    /// # References
    /// Rook: Storage-Configuration/Block-Storage-RBD/rbd-mirroring, Shared-Filesystem-CephFS/filesystem-mirroring.
    /// Ceph: "RBD Mirroring", "CephFS Snapshot Mirroring"; src/tools/cephfs_mirror/PeerReplayer.cc.
    "CEPH016" "mirroring-unhealthy" Ceph,
    needs: [Discovery, Nodes, GatewayPods, Filesystems, Objects, Logs],
    explained_by: [
        (node::node_not_ready, Node), (node::node_rebooted, Node), (node::cni_not_ready, Node),
        (node::daemon_unschedulable, Object), (node::memory_limit_too_small, Object),
        (node::image_pull_failing, Object), (node::service_proxy_down, Node),
        (net::multus_init_crash, Node), (net::multus_daemon_down, Node), (net::sandbox_failing, Node),
        (ovn::ovs_ovn_unhealthy, Node), (ovn::kube_ovn_cni_unhealthy, Node), (ovn::stale_after_reboot, Node),
        (mon::quorum_lost, Cluster), (mon::all_mons_down, Cluster), (ceph::pgs_unavailable, Cluster),
    ],
}

const RBD: &str = "rook-ceph-rbd-mirror";
const FS: &str = "rook-ceph-fs-mirror";

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ns = facts.cluster()?.ns.as_str();
    let pools = facts.list::<BlockPool>(Some(ns), Select::all());
    let ((pools, filesystems), rows) = both(both(pools, facts.filesystems()), facts.gateway_pods())?;
    let pools: Vec<&BlockPool> = pools.iter().filter(|pool| pool.spec.mirroring.enabled).collect();
    let filesystems: Vec<&Filesystem> = filesystems.iter().filter(|fs| fs.spec.mirroring.enabled).collect();
    let (daemons, blind) = serving(facts, rows, |row| [RBD, FS].into_iter().find(|app| row.name.starts_with(app)))?;
    if pools.is_empty() && filesystems.is_empty() && daemons.is_empty() {
        return Ok(Answered::NotApplicable("nothing is mirrored"));
    }
    let mut findings = Vec::new();
    for (app, daemons) in daemons.iter().filter(|(_, daemons)| !daemons.down.is_empty()) {
        findings.push(down(facts, ns, app, daemons)?.at(mirrored(app, &pools)));
    }
    // Without a daemon nothing else is to be expected of what it mirrors.
    let works = |app: &str| daemons.get(app).is_none_or(|daemons| daemons.down.is_empty() || daemons.well > 0);
    if works(RBD) {
        findings.extend(pools.iter().filter_map(|pool| behind(pool)));
    }
    if works(FS) {
        findings.extend(filesystems.iter().filter_map(|fs| failing(fs)));
    }
    Ok(Answered::judged(findings).blind(blind))
}

/// The pools that this daemon mirrors.
fn mirrored(app: &str, pools: &[&BlockPool]) -> Vec<Place> {
    let pools = pools.iter().filter(|_| app == RBD);
    pools.map(|pool| Place::Pool(pool.metadata.name.clone())).collect()
}

fn down(facts: &Facts<'_>, ns: &str, app: &str, daemons: &Serving<'_>) -> Result<Finding, Gap> {
    let container = app.trim_start_matches("rook-ceph-");
    let what = if app == RBD { "RBD images" } else { "CephFS directories" };
    let summary = if daemons.well == 0 {
        say!("no daemon mirrors {}: {}", what, daemons.how())
    } else {
        say!("{} of {} daemons mirror {}: {}", daemons.well, daemons.pods, what, daemons.how())
    };
    let remedy = Remedy::guided(say!("bring the mirror daemon back: its events and log name what is missing"))
        .command(format!("kubectl -n {ns} describe pods -l app={app}"))
        .command(format!("kubectl -n {ns} logs -l app={app} -c {container} --tail=50"));
    let mut said = None;
    if let Some((_, pod)) = daemons.down.first() {
        said = last_words(facts, pod, container, &["error connecting to"])?;
    }
    let mut objects = daemons.objects();
    let first = objects.next().unwrap_or_else(|| ObjectRef::new(kinds::POD, ns, app));
    Ok(Finding::warning(first, summary, remedy)
        .also(objects)
        .at(daemons.places())
        .since(daemons.down.iter().filter_map(|(_, pod)| pod.unready_since()).min())
        .evidence(daemons.evidence())
        .evidence(said))
}

/// What the status of a mirrored pool means; none if it is well, or was not seen yet.
fn behind(pool: &BlockPool) -> Option<Finding> {
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

fn failing(fs: &Filesystem) -> Option<Finding> {
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
