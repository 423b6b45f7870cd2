use std::collections::BTreeMap;

use super::prepare_jobs::{is_wanted, short};
use super::prepare_log::{PrepareLog, Verdict, parse};
use super::{OsdPods, by_osd, node_names, osd_of_deployment};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity, Text};
use crate::checks::ceph::is_new;
use crate::facts::tables::PodRow;
use crate::facts::{Cluster, Facts, Gap, Log, both};
use crate::objects::rook::{CephCluster, Storage};
use crate::say;

check! {
    /// # What it looks at
    /// `spec.storage` of the CephCluster against what there is: names of nodes that are no node's hostname (label
    /// `kubernetes.io/hostname`, or the one that ROOK_CUSTOM_HOSTNAME_LABEL names), a list of nodes beside
    /// `useAllNodes: true`, a section that selects nothing, and, in the logs of the prepare jobs, devices that are
    /// named and do not exist, and filters that match nothing.
    ///
    /// # Why it matters
    /// Rook passes over what it does not find. The cluster is Ready, and the OSDs are simply not there. With
    /// `useAllNodes: true` it ignores the list of nodes, and uses the devices of all nodes by the rules of the whole
    /// cluster. A node without matching devices counts only if it is named, or if there is no OSD at all.
    ///
    /// # Confirm by hand
    /// `kubectl get nodes -L kubernetes.io/hostname`, `kubectl -n <ns> get cephcluster -o yaml` (`spec.storage`), and
    /// the log of `rook-ceph-osd-prepare-<node>`, container `provision`.
    ///
    /// # Fix
    /// Correct the names, lists or filters in the CephCluster; the operator then runs the prepare jobs again. Filters
    /// are regular expressions: `deviceFilter` on kernel names (`^sd[b-d]`), `devicePathFilter` on paths below `/dev`.
    ///
    /// # References
    /// Rook: CRDs/Cluster, "Storage Selection Settings"; "OSD pods are not created on my devices".
    "OSD004" "storage-selection-empty" Osd,
    needs: [Discovery, CephClusters, Nodes, OsdPods, PreparePods, DaemonDeployments, Objects, Logs],
    explained_by: [],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    if cluster.external {
        return Ok(Answered::NotApplicable("no OSD is made for an external cluster"));
    }
    let ((object, prepare), osds) = both(both(facts.ceph_cluster(), facts.prepare_pods()), facts.osd_pods())?;
    let storage = &object.spec.storage;
    let present = by_osd(osds);
    let mut findings: Vec<Finding> = ignored_nodes(object).into_iter().collect();
    if selects_nothing(storage) && present.is_empty() {
        let deployed = facts.daemon_deployments()?.iter().any(|row| osd_of_deployment(&row.name).is_some());
        findings.extend((!deployed).then(|| nothing_selected(facts, object)));
    }
    let (unknown_nodes, blind) = node_names::unknown(facts, storage, prepare, &present)?;
    findings.extend(node_names::finding(object, &unknown_nodes, present.is_empty()));
    let logs =
        facts.each(short(storage, prepare, &present), |facts, pod| facts.log(&cluster.ns, &pod.name, "provision"))?;
    findings.extend(logs.seen.iter().filter_map(|(pod, log)| on_node(cluster, storage, pod, log, &present)));
    Ok(Answered::judged(findings).blind(blind).blind(logs.blind))
}

fn edit(cluster: &CephCluster) -> String {
    format!("kubectl -n {} edit cephcluster {}", cluster.metadata.namespace, cluster.metadata.name)
}

/// A list that has no effect. One that selects devices shows that others were not meant.
fn ignored_nodes(cluster: &CephCluster) -> Option<Finding> {
    let storage = &cluster.spec.storage;
    if !storage.use_all_nodes || storage.nodes.is_empty() {
        return None;
    }
    let severity = if storage.nodes.iter().any(|node| node.selects()) { Severity::Warning } else { Severity::Info };
    let names = storage.nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>().join(", ");
    let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
    let summary = say!("spec.storage.nodes is ignored, as useAllNodes is true: {}", names);
    let remedy = Remedy::guided(say!("set useAllNodes to false if only these nodes are meant, else take the list out"))
        .command(edit(cluster));
    let evidence = Evidence::field(&object, "spec.storage", format!("useAllNodes: true, nodes: {names}"));
    Some(Finding::new(severity, object, summary, remedy).detail("useAllNodes").evidence([evidence]))
}

fn selects_nothing(storage: &Storage) -> bool {
    let claims = storage.storage_class_device_sets.iter().any(|set| set.count > 0);
    !storage.use_all_nodes && storage.nodes.is_empty() && !claims
}

fn nothing_selected(facts: &Facts<'_>, cluster: &CephCluster) -> Finding {
    let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
    let severity = if is_new(cluster, facts.now()) { Severity::Warning } else { Severity::Critical };
    let summary = say!("spec.storage selects nothing: no nodes, no device sets, and useAllNodes is false");
    let remedy = Remedy::guided(say!("name nodes and devices, or device sets, in spec.storage")).command(edit(cluster));
    let evidence = Evidence::field(&object, "spec.storage", "useAllNodes: false, no nodes, no storageClassDeviceSets");
    Finding::new(severity, object, summary, remedy).detail("nothing").evidence([evidence])
}

/// What the selection means on one node that has fewer OSDs than asked for.
fn on_node(
    cluster: &Cluster,
    storage: &Storage,
    pod: &PodRow,
    log: &Log,
    present: &BTreeMap<i64, OsdPods<'_>>,
) -> Option<Finding> {
    let log = parse(log);
    let wanted = is_wanted(storage, pod, present);
    let unlisted: Vec<&str> =
        log.devices.iter().filter(|it| it.verdict == Verdict::NotListed).map(|it| it.name.as_str()).collect();
    let others = if unlisted.is_empty() { say!("none") } else { say!("{}", unlisted.join(", ")) };
    let (severity, summary, line) = if !log.absent.is_empty() {
        let absent = log.absent.iter().cloned().collect::<Vec<_>>().join(", ");
        let severity = if wanted { Severity::Warning } else { Severity::Info };
        (
            severity,
            say!(
                "devices that spec.storage names for {} do not exist there: {} (not named: {})",
                pod.node,
                absent,
                others
            ),
            None,
        )
    } else if wanted && is_nothing(&log) {
        let what = selection(storage, pod);
        (Severity::Warning, say!("no device of {} matches {} (other devices: {})", pod.node, what, others), log.nothing)
    } else {
        return None;
    };
    let ns = &cluster.ns;
    let remedy = Remedy::guided(say!(
        "correct the list or filter in spec.storage, or take the node out; the operator then runs the job again"
    ))
    .command(format!("kubectl -n {ns} logs {} -c provision", pod.name))
    .command(format!("kubectl -n {ns} edit cephcluster {}", cluster.name));
    let object = ObjectRef::node(&pod.node);
    let asked = Evidence::field(&ObjectRef::cluster(cluster), "spec.storage", selection(storage, pod).english());
    Some(
        Finding::new(severity, object, summary, remedy)
            .at([Place::node(&pod.node)])
            .evidence([asked])
            .evidence(line.map(|line| Evidence::log(ns, &pod.name, "provision", line))),
    )
}

/// Nothing matched, and no device was asked for and left: those are OSD003's.
fn is_nothing(log: &PrepareLog<'_>) -> bool {
    log.nothing.is_some()
        && !log
            .devices
            .iter()
            .any(|device| log.is_asked(device) || matches!(device.verdict, Verdict::Ours { .. } | Verdict::Free))
}

/// What is asked of a node: its own selection, else that of the whole cluster.
fn selection(storage: &Storage, pod: &PodRow) -> Text {
    let own = storage.nodes.iter().find(|node| super::prepare_jobs::is_of(pod, &node.name) && node.selects());
    let (filter, path, devices) = match own {
        Some(node) => (&node.device_filter, &node.device_path_filter, &node.devices),
        None => (&storage.device_filter, &storage.device_path_filter, &storage.devices),
    };
    if !devices.is_empty() {
        let names: Vec<&str> = devices.iter().map(|device| device.name.as_str()).collect();
        say!("devices {}", names.join(", "))
    } else if !filter.is_empty() {
        say!("{}", format!("deviceFilter {filter}"))
    } else if !path.is_empty() {
        say!("{}", format!("devicePathFilter {path}"))
    } else if own.and_then(|node| node.use_all_devices).or(storage.use_all_devices) == Some(true) {
        say!("{}", "useAllDevices: true")
    } else {
        say!("no devices, filter or useAllDevices")
    }
}
