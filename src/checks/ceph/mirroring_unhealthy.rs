use super::mirror_status::{behind, failing};
use super::serving::{Serving, serving};
use crate::check;
use crate::check::{Answered, Finding, ObjectRef, Place, Remedy};
use crate::checks::net::last_words;
use crate::facts::{Facts, Gap, Select, both, kinds};
use crate::objects::rook::{BlockPool, Filesystem};
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
    explained_by: [(mon::quorum_lost, Cluster), (mon::all_mons_down, Cluster), (ceph::pgs_unavailable, Cluster)],
    in_pod,
}

pub(super) const RBD: &str = "rook-ceph-rbd-mirror";
pub(super) const FS: &str = "rook-ceph-fs-mirror";

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
    let (pods, how) = (daemons.pods, daemons.how());
    let summary = match (daemons.well, app == RBD) {
        (0, true) => say!("no daemon mirrors RBD images: {}", how),
        (0, false) => say!("no daemon mirrors CephFS directories: {}", how),
        (well, true) => say!("{} of {} daemons mirror RBD images: {}", well, pods, how),
        (well, false) => say!("{} of {} daemons mirror CephFS directories: {}", well, pods, how),
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
