use super::by_osd;
use super::prepare_jobs::{is_wanted, short};
use super::prepare_log::{Device, PrepareLog, Verdict, parse};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity, Text};
use crate::checks::ceph::quoted;
use crate::facts::tables::PodRow;
use crate::facts::{Cluster, Facts, Gap, both};
use crate::lang::{clauses, listed};
use crate::say;

check! {
    /// # What it looks at
    /// The logs of the prepare jobs (container `provision`) of nodes that have fewer OSDs than the CephCluster
    /// names devices, or none: a verdict for each device that was asked for and not used. "Detected an existing
    /// OSD" alone decides nothing: with the UUID of a running OSD it is that OSD, with a later line "belonging
    /// to a different ceph cluster" it is a foreign one.
    ///
    /// # Why it matters
    /// Rook never takes a device that holds anything. The job ends well all the same, so a third of the planned
    /// capacity can be missing while everything is green. Devices that the CephCluster names, and nodes that it
    /// names, are a warning, as is a cluster without any OSD; a node without OSDs where all devices of all nodes
    /// may be used is information.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> logs -l app=rook-ceph-osd-prepare -c provision --tail=-1 | grep 'skipping'`; on the host
    /// `lsblk -f` and `wipefs /dev/<device>` (which only lists, without `-a`). Partitions that nobody made (`sdX2` of
    /// 48G, no `sdX1`), which Rook 1.6.0 to 1.6.7 took for Atari's, show in `lsblk` only.
    ///
    /// # Fix
    /// Look at what is on the device. If nothing on it is needed, wipe it on the host (`sgdisk --zap-all`, `dd`
    /// over the first 100 MB) and restart the operator, which runs the jobs again; else take it out of the
    /// list. This tool wipes nothing.
    ///
    /// # References
    /// Rook: "OSD pods are not created on my devices", `pkg/daemon/ceph/osd/daemon.go` (wording of v1.17); Ceph:
    /// rejected reasons of `ceph-volume inventory`.
    "OSD003" "device-skipped" Osd,
    needs: [Discovery, CephClusters, PreparePods, OsdPods, Logs],
    explained_by: [],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    if cluster.external {
        return Ok(Answered::NotApplicable("no OSD is prepared for an external cluster"));
    }
    let ((object, prepare), osds) = both(both(facts.ceph_cluster(), facts.prepare_pods()), facts.osd_pods())?;
    let storage = &object.spec.storage;
    let present = by_osd(osds);
    let short = short(storage, prepare, &present);
    let logs = facts.each(short, |facts, pod| facts.log(&cluster.ns, &pod.name, "provision"))?;
    let findings = logs.seen.iter().filter_map(|(pod, log)| {
        let severity = if is_wanted(storage, pod, &present) { Severity::Warning } else { Severity::Info };
        finding(cluster, pod, &parse(log), severity)
    });
    Ok(Answered::judged(findings.collect()).blind(logs.blind))
}

fn finding(cluster: &Cluster, pod: &PodRow, log: &PrepareLog<'_>, severity: Severity) -> Option<Finding> {
    let ns = &cluster.ns;
    let asked: Vec<&Device<'_>> = log.devices.iter().filter(|device| log.is_asked(device)).collect();
    if asked.is_empty() {
        return None;
    }
    let reasons = clauses(asked.iter().map(|device| say!("{} ({})", device.name, reason(&device.verdict))));
    let ways = clauses(asked.iter().map(|device| say!("{}: {}", device.name, way_out(&device.verdict))));
    let paths: Vec<String> = asked.iter().map(|device| quoted(&format!("/dev/{}", device.name))).collect();
    let unlisted = log.devices.iter().filter(|device| device.verdict == Verdict::NotListed);
    let unlisted: Vec<&str> = unlisted.map(|device| device.name.as_str()).collect();
    let remedy = Remedy::guided(say!("look at what each device holds, then: {}; then restart the operator", ways))
        .command(format!("kubectl -n {ns} logs {} -c provision | grep skipping", pod.name))
        .command(format!("lsblk -f {}  # on {}", paths.join(" "), pod.node))
        .command(format!("kubectl -n {} rollout restart deployment rook-ceph-operator", cluster.operator_ns));
    let node = ObjectRef::node(&pod.node);
    let context = (!unlisted.is_empty())
        .then(|| Evidence::field(&ObjectRef::pod_row(pod, ns, ""), "not asked for", unlisted.join(", ")));
    let summary = say!("devices of {} are not used: {}", pod.node, reasons);
    Some(
        Finding::new(severity, node, summary, remedy)
            .at([Place::node(&pod.node)])
            .evidence(asked.iter().flat_map(|device| {
                let lines = [Some(device.line), device.proof].into_iter().flatten();
                lines.map(|line| Evidence::log(ns, &pod.name, "provision", line))
            }))
            .evidence(context),
    )
}

/// Why a device was left, in words.
pub(crate) fn reason(verdict: &Verdict) -> Text {
    match verdict {
        Verdict::Ours { .. } | Verdict::NotListed | Verdict::Free => say!("{}", ""),
        Verdict::Foreign { osd, fsid } => say!("{} of another Ceph cluster, fsid {}", osd, fsid),
        Verdict::Leftover { osd } => say!("prepared as {}, not to the end", osd),
        Verdict::SomeOsd { uuid } => say!("an OSD of unknown origin, UUID {}", uuid),
        Verdict::Filesystem(kind) => say!("filesystem {}", kind),
        Verdict::Mounted(path) => say!("mounted at {}", path),
        Verdict::Rejected(reasons) => say!("{}", listed(reasons)),
    }
}

/// What would make the device usable.
fn way_out(verdict: &Verdict) -> Text {
    match verdict {
        Verdict::Ours { .. } | Verdict::NotListed | Verdict::Free => say!("{}", ""),
        Verdict::Foreign { fsid, .. } => {
            say!("wipe it (sgdisk --zap-all, dd over the first 100 MB) only if the cluster {} is really gone", fsid)
        }
        Verdict::Leftover { osd } => {
            say!("wipe it (sgdisk --zap-all, dd over the first 100 MB) if {} never ran on it", osd)
        }
        Verdict::SomeOsd { .. } => say!("find out whose OSD it is before anything else"),
        Verdict::Filesystem(_) => say!(
            "back up the files and wipe it (sgdisk --zap-all, dd over the first 100 MB), or take it out of the list"
        ),
        Verdict::Mounted(path) => say!("unmount {} and remove it from fstab, or take it out of the list", path),
        Verdict::Rejected(reasons) => rejected_way_out(reasons),
    }
}

fn rejected_way_out(reasons: &[String]) -> Text {
    let says = |word: &str| reasons.iter().any(|reason| reason.contains(word));
    if says("LVM detected") || says("vgs") {
        say!("remove the volume group if nothing in it is needed, or choose another disk")
    } else if says("<5GB") {
        say!("it is too small, take it out of the list")
    } else if says("read-only") || says("removable") || says("locked") || says("Device type") {
        say!("this kind of device cannot be used, take it out of the list")
    } else {
        say!("wipe it (sgdisk --zap-all, dd over the first 100 MB) if nothing on it is needed")
    }
}
