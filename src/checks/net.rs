//! Multus and network attachments.

pub mod address_leak;
pub mod address_range_mismatch;
pub mod attachment_missing;
pub mod cni_plugin_missing;
pub mod cni_start_order;
pub mod holder_pods_left;
pub mod host_off_public_network;
pub mod mtu_mismatch;
pub mod multus_daemon_down;
pub mod multus_init_crash;
pub mod multus_missing;
pub mod multus_unauthorized;
pub mod nad_default_route;
pub mod nad_gateway;
pub mod nad_host_local_shared;
pub mod nad_invalid;
pub mod nad_master_missing;
pub mod nad_missing;
pub mod nad_networks_overlap;
pub mod nad_overlaps_cluster_network;
pub mod nad_range_exhausted;
pub mod network_policy_blocks;
pub(crate) mod own_networks;
pub(crate) mod policies;
pub(crate) mod sandbox;
pub mod sandbox_failing;
pub(crate) mod traffic;
pub(crate) mod whereabouts;

use jiff::{SignedDuration, Timestamp};

use crate::check::{Evidence, ObjectRef, Place, Remedy, Text, quote};
use crate::facts::tables::PodRow;
use crate::facts::{Each, Facts, Gap, Log, Settled, both};
use crate::objects::kube::{ContainerStatus, DaemonSet, Pod, Terminated};
use crate::objects::multus::{NetworkAttachment, Selection, selections};
use crate::say;

/// A network that the CephCluster puts its daemons on.
pub(crate) struct StorageNetwork<'s> {
    /// `public` or `cluster`.
    pub role: &'s str,
    pub selection: Selection,
    /// None if it does not exist.
    pub attachment: Option<&'s NetworkAttachment>,
}

impl StorageNetwork<'_> {
    pub fn object(&self) -> ObjectRef {
        ObjectRef::new(crate::facts::kinds::NETWORK_ATTACHMENT, &self.selection.ns, &self.selection.name)
    }

    pub fn place(&self) -> Place {
        Place::Network(self.selection.full_name())
    }
}

/// The networks that the CephCluster's selectors name, `public` before `cluster`; each NAD once, as both
/// selectors may name the same. None unless the provider is Multus.
pub(crate) fn storage_networks<'s>(facts: &Facts<'s>) -> Result<Vec<StorageNetwork<'s>>, Gap> {
    let cluster = facts.ceph_cluster()?;
    if cluster.spec.network.provider != "multus" {
        return Ok(Vec::new());
    }
    let attachments = facts.network_attachments()?;
    let mut networks: Vec<StorageNetwork<'s>> = Vec::new();
    for role in ["public", "cluster"] {
        let Some(text) = cluster.spec.network.selectors.get(role) else { continue };
        // A selector that cannot be read is NET005's to report.
        let selection = selections(text, &cluster.metadata.namespace).ok().and_then(|all| all.into_iter().next());
        let Some(selection) = selection else { continue };
        if networks.iter().all(|network| network.selection != selection) {
            let is_it = |nad: &&NetworkAttachment| nad.full_name() == selection.full_name();
            networks.push(StorageNetwork { role, attachment: attachments.iter().find(is_it), selection });
        }
    }
    Ok(networks)
}

/// Multus comes in many packages: its DaemonSet mounts the CNI configuration and is named after it, or its
/// image is. Whereabouts and the other helpers of such packages carry the name as well, but not the part.
pub(crate) fn multus_daemon_sets<'s>(facts: &Facts<'s>) -> Result<Vec<&'s DaemonSet>, Gap> {
    Ok(facts.daemon_sets()?.iter().filter(|daemon_set| is_multus(daemon_set)).collect())
}

fn is_multus(daemon_set: &DaemonSet) -> bool {
    let (name, spec) = (daemon_set.metadata.name.as_str(), &daemon_set.spec.template.spec);
    let helper = ["whereabouts", "additional-cni", "dhcp", "networkpolicy", "network-policy", "controller"];
    let writes = spec.volumes.iter().filter_map(|volume| volume.host_path.as_ref());
    let mut writes = writes.map(|host| host.path.trim_end_matches('/'));
    let named = |text: &str| text.contains("multus");
    let called = named(name) || spec.containers.iter().any(|c| named(&c.image) || named(&c.name));
    called && !helper.iter().any(|helper| name.contains(helper)) && writes.any(|path| path.ends_with("cni/net.d"))
}

/// The pods of Multus, on every node.
pub(crate) fn multus_pods<'s>(facts: &Facts<'s>) -> Result<Vec<&'s PodRow>, Gap> {
    let mut pods = Vec::new();
    let each = facts.each(multus_daemon_sets(facts)?, |facts, daemon_set| {
        facts.pods_where(&daemon_set.metadata.namespace, &daemon_set.pod_labels())
    })?;
    // Without one of the tables it is not known which nodes have the daemon.
    if let Some(unknown) = each.blind.into_iter().next() {
        return Err(Gap::Unknown(unknown));
    }
    for (daemon_set, rows) in each.seen {
        // A selector may be written in expressions, which the label does not hold; then other pods answer to it.
        pods.extend(rows.iter().filter(|row| row.is_of_daemon_set(&daemon_set.metadata.name)));
    }
    Ok(pods)
}

/// A daemon that was restarted a moment ago is not down yet.
const STARTING: SignedDuration = SignedDuration::from_mins(2);

/// Of these pods the ones that crash or are not Ready for longer than a start takes, in full. A pod that
/// was replaced by a good one on its node (an evicted one) does not count.
pub(crate) fn down<'s>(
    facts: &Facts<'s>,
    rows: impl IntoIterator<Item = &'s PodRow>,
) -> Result<Each<&'s PodRow, &'s Pod>, Gap> {
    let rows: Vec<&PodRow> = rows.into_iter().collect();
    let replaced = |row: &PodRow| rows.iter().any(|other| other.is_well() && other.node == row.node);
    let sick = rows.iter().copied().filter(|row| !row.is_well() && row.status != "Terminating");
    let mut opened = facts.each(sick.filter(|row| !replaced(row)), |facts, row| facts.pod(&row.ns, &row.name))?;
    opened.seen.retain(|(_, pod)| is_down(pod, facts.now()));
    Ok(opened)
}

/// Crashes, or is not Ready for longer than a start takes.
pub(crate) fn is_down(pod: &Pod, now: Timestamp) -> bool {
    let long = pod.unready_since().is_some_and(|since| now.duration_since(since) >= STARTING);
    !pod.is_ready() && pod.metadata.deletion_timestamp.is_none() && (long || crashing(pod).is_some())
}

/// Made or restarted a moment ago, and not Ready yet.
pub(crate) fn is_starting(pod: &Pod, now: Timestamp) -> bool {
    let lately = pod.unready_since().is_some_and(|since| now.duration_since(since) < STARTING);
    !pod.is_ready() && lately && crashing(pod).is_none()
}

/// The container that keeps this pod from running, by its own end and not because it waits for another.
pub(crate) fn crashing(pod: &Pod) -> Option<&ContainerStatus> {
    pod.statuses().find(|status| {
        // The end that a boot leaves is not the container's own.
        let failed = |ended: &Terminated| ended.exit_code != 0 && ended.reason != "Unknown";
        let again = status.restart_count > 0 && status.state.waiting.is_none() && !status.ready;
        status.waiting_reason() == "CrashLoopBackOff" || (again && status.terminated().is_some_and(failed))
    })
}

/// How a pod that is down fails, and the container that shows it.
pub(crate) fn trouble(pod: &Pod) -> (Text, Option<&ContainerStatus>) {
    if let Some(status) = crashing(pod) {
        return (say!("crashes"), Some(status));
    }
    let how = if pod.has_sandbox() { say!("is not Ready") } else { say!("has no network") };
    (how, pod.status.container_statuses.iter().find(|status| !status.ready))
}

/// Whether a new pod would fail as this one does: for its image, its configuration or its memory limit, which all
/// come from its owner.
pub(crate) fn fails_anew(pod: &Pod) -> bool {
    const WAITS: &[&str] =
        &["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"];
    let killed = |status: &ContainerStatus| !status.ready && status.terminated().is_some_and(is_out_of_memory);
    pod.statuses().any(|status| WAITS.contains(&status.waiting_reason()) || killed(status))
}

pub(crate) fn is_out_of_memory(ended: &Terminated) -> bool {
    ended.reason == "OOMKilled"
}

/// A remedy that changes a DaemonSet, so that its pods are replaced one after the other. The controller goes on to
/// the next node only when the new pod of the last one is Ready.
pub(crate) fn node_by_node(remedy: Remedy, ns: &str, daemon_set: &str, change: String) -> Remedy {
    let strategy =
        r#"{"spec":{"updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":0,"maxUnavailable":1}}}}"#;
    remedy
        .command(format!("kubectl -n {ns} patch daemonset {daemon_set} --type merge -p '{strategy}'"))
        .command(change)
        .command(format!("kubectl -n {ns} rollout status daemonset {daemon_set} --timeout=10m"))
}

/// What to say of a change of a DaemonSet that is made with [`node_by_node`].
pub(crate) const NODE_BY_NODE: &str = "its pods are then replaced node by node, and no further than to the first node whose new pod is not Ready: look there, or take the change back with kubectl rollout undo";

/// The last line of a container's logs, of this run or the one before, that holds one of these texts. None
/// if none does, or if the log cannot be read: it is for a fault that is known from elsewhere.
pub(crate) fn last_words(
    facts: &Facts<'_>,
    pod: &Pod,
    container: &str,
    texts: &[&str],
) -> Result<Option<Evidence>, Gap> {
    let (ns, name) = (&pod.metadata.namespace, &pod.metadata.name);
    let now = facts.log(ns, name, container).settled();
    let (now, before) = both(now, facts.previous_log(ns, name, container).settled())?;
    let logs: [Option<&Log>; 2] = [now, before].map(Result::ok);
    Ok(logs.into_iter().flatten().find_map(|log| quote(ns, name, container, log, texts)))
}

/// How a container fails, quoted from its status.
pub(crate) fn status_evidence(pod: &Pod, status: &ContainerStatus) -> Evidence {
    let ended = status.terminated().map_or_else(String::new, |ended| {
        let message = ended.message.trim();
        let message = if message.is_empty() { String::new() } else { format!(": {message}") };
        format!(", last end {} with exit status {}{message}", ended.reason, ended.exit_code)
    });
    let state = if status.waiting_reason().is_empty() { "not ready" } else { status.waiting_reason() };
    let init = pod.status.init_container_statuses.iter().any(|init| init.name == status.name);
    let field = if init { "status.initContainerStatuses" } else { "status.containerStatuses" };
    let excerpt = format!("{state}, {} restarts{ended}", status.restart_count);
    let at = status.terminated().and_then(|ended| ended.finished_at);
    Evidence::field(&ObjectRef::pod(pod), format!("{field}[{}]", status.name), excerpt).at(at)
}

/// The pods of the Ceph daemons that Rook puts on the storage networks.
pub(crate) fn daemon_rows<'s>(facts: &Facts<'s>) -> Result<Vec<&'s PodRow>, Gap> {
    let (mons, mgrs) = (facts.mon_pods(), facts.mgr_pods());
    let (mds, rgw) = (facts.mds_pods(), facts.rgw_pods());
    let (few, osds) = both(both(both(mons, mgrs), both(mds, rgw)), facts.osd_pods())?;
    let ((mons, mgrs), (mds, rgw)) = few;
    Ok([mons, mgrs, mds, rgw, osds].into_iter().flatten().filter(|row| !row.is_done()).collect())
}

/// `osd.3`, by the labels that Rook gives the pod of a daemon.
pub(crate) fn daemon_place(pod: &Pod) -> Option<Place> {
    let label = |key: &str| pod.metadata.labels.get(key);
    Some(Place::daemon(label("ceph_daemon_type")?, label("ceph_daemon_id")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_container_crashes_by_its_own_end() {
        let ended = |code: i32, reason: &str| json!({"terminated": {"exitCode": code, "reason": reason}});
        let running = json!({"running": {}});
        for (restarts, state, last, expected) in [
            (6, json!({"waiting": {"reason": "CrashLoopBackOff"}}), ended(1, "Error"), true),
            (3, running.clone(), ended(255, "Error"), true),
            (3, ended(1, "Error"), json!({}), true),
            (0, ended(1, "Error"), json!({}), false),
            (1, running, ended(255, "Unknown"), false),
            (4, ended(255, "Unknown"), ended(1, "Error"), false),
            (1, json!({"waiting": {"reason": "PodInitializing"}}), ended(1, "Error"), false),
            (0, json!({"waiting": {"reason": "ImagePullBackOff"}}), json!({}), false),
        ] {
            let status: Value = json!({"name": "c", "restartCount": restarts, "state": state, "lastState": last});
            let pod: Pod = serde_json::from_value(json!({"status": {"containerStatuses": [status]}})).unwrap();
            assert_eq!(crashing(&pod).is_some(), expected, "{status}");
        }
    }

    #[test]
    fn a_new_pod_is_no_better_where_its_owner_is_at_fault() {
        let waiting = |reason: &str| json!({"waiting": {"reason": reason}});
        let killed = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
        for (ready, state, last, expected) in [
            (false, waiting("CrashLoopBackOff"), json!({}), false),
            (false, waiting("CrashLoopBackOff"), killed.clone(), true),
            (false, waiting("ErrImageNeverPull"), json!({}), true),
            (false, waiting("CreateContainerConfigError"), json!({}), true),
            (true, json!({"running": {}}), killed, false),
        ] {
            let status: Value = json!({"name": "c", "ready": ready, "state": state, "lastState": last});
            let pod: Pod = serde_json::from_value(json!({"status": {"containerStatuses": [status]}})).unwrap();
            assert_eq!(fails_anew(&pod), expected, "{status}");
        }
    }
}
