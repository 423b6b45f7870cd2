use super::by_osd;
use super::prepare_jobs::{is_wanted, short};
use super::prepare_log::{Device, PrepareLog, Verdict, parse};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::checks::ceph::quoted;
use crate::facts::tables::PodRow;
use crate::facts::{Cluster, Facts, Gap, both};
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
    let list = |parts: Vec<String>| parts.join("; ");
    let reasons = list(asked.iter().map(|device| format!("{} ({})", device.name, reason(&device.verdict))).collect());
    let ways = list(asked.iter().map(|device| format!("{}: {}", device.name, way_out(&device.verdict))).collect());
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
pub(crate) fn reason(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Ours { .. } | Verdict::NotListed | Verdict::Free => String::new(),
        Verdict::Foreign { osd, fsid } => format!("{osd} of another Ceph cluster, fsid {fsid}"),
        Verdict::Leftover { osd } => format!("prepared as {osd}, not to the end"),
        Verdict::SomeOsd { uuid } => format!("an OSD of unknown origin, UUID {uuid}"),
        Verdict::Filesystem(kind) => format!("filesystem {kind}"),
        Verdict::Mounted(path) => format!("mounted at {path}"),
        Verdict::Rejected(reasons) => reasons.join(", "),
    }
}

/// What would make the device usable.
fn way_out(verdict: &Verdict) -> String {
    let wipe = "wipe it (sgdisk --zap-all, dd over the first 100 MB)";
    match verdict {
        Verdict::Ours { .. } | Verdict::NotListed | Verdict::Free => String::new(),
        Verdict::Foreign { fsid, .. } => format!("{wipe} only if the cluster {fsid} is really gone"),
        Verdict::Leftover { osd } => format!("{wipe} if {osd} never ran on it"),
        Verdict::SomeOsd { .. } => "find out whose OSD it is before anything else".to_owned(),
        Verdict::Filesystem(_) => format!("back up the files and {wipe}, or take it out of the list"),
        Verdict::Mounted(path) => format!("unmount {path} and remove it from fstab, or take it out of the list"),
        Verdict::Rejected(reasons) => rejected_way_out(reasons, wipe),
    }
}

fn rejected_way_out(reasons: &[String], wipe: &str) -> String {
    let says = |word: &str| reasons.iter().any(|reason| reason.contains(word));
    if says("LVM detected") || says("vgs") {
        "remove the volume group if nothing in it is needed, or choose another disk".to_owned()
    } else if says("<5GB") {
        "it is too small, take it out of the list".to_owned()
    } else if says("read-only") || says("removable") || says("locked") || says("Device type") {
        "this kind of device cannot be used, take it out of the list".to_owned()
    } else {
        format!("{wipe} if nothing on it is needed")
    }
}
