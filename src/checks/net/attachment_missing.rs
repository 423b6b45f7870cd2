use super::nad_host_local_shared::is_shared;
use super::{daemon_place, daemon_rows, storage_networks};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::checks::ceph::ceph_command;
use crate::facts::tables::PodRow;
use crate::facts::{Cluster, Facts, Gap, both};
use crate::objects::kube::Pod;
use crate::objects::multus::{NETWORK_STATUS, NETWORKS, Selection, interfaces, wanted_networks};
use crate::say;

check! {
    /// # What it looks at
    /// Running pods of Ceph daemons that asked for a network (annotation `k8s.v1.cni.cncf.io/networks`) and
    /// have no such interface in `k8s.v1.cni.cncf.io/network-status`. OSDs and MDS that run well are left out:
    /// without the interface they find no address in Ceph's networks and do not start.
    ///
    /// # Why it matters
    /// The pod was made while Multus was not in charge on its node, after a reboot or before the plugin was
    /// installed. The kubelet does not make its sandbox again, so it stays without its network until it is
    /// deleted.
    ///
    /// # Confirm by hand
    /// `kubectl -n rook-ceph get pod <pod> -o jsonpath='{.metadata.annotations}'`; in the pod, `ip addr`.
    ///
    /// # Fix
    /// See that Multus is Ready on the node, then delete the pod; one at a time, monitors first and OSDs last.
    /// `fix` does so, and refuses while NET012 stands on one of the pod's networks: with host-local each restart
    /// takes the next address of the node, which a pod of another node may have.
    ///
    /// # References
    /// multus-cni #1387, #1312.
    "NET016" "attachment-missing" Net,
    needs: [Discovery, CephClusters, Nodes, NetworkAttachments, MonPods, MgrPods, MdsPods, RgwPods, OsdPods, Objects],
    fix: attachment_missing,
    explained_by: [(net::multus_missing, Node), (net::multus_init_crash, Node), (net::multus_daemon_down, Node)],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (networks, (rows, nodes)) = both(storage_networks(facts), both(daemon_rows(facts), facts.nodes()))?;
    if networks.is_empty() {
        return Ok(Answered::NotApplicable("the cluster's network provider is not Multus"));
    }
    // What a lost node last said of its pods is old; they start anew when it is back.
    let is_lost = |row: &PodRow| nodes.iter().any(|node| node.name == row.node && !node.is_ready());
    let shared: Vec<Selection> =
        networks.iter().filter(|it| is_shared(it, &rows)).map(|it| it.selection.clone()).collect();
    let suspects = rows.into_iter().filter(|row| is_suspect(row) && !is_lost(row));
    let opened = facts.each(suspects, |facts, row| facts.pod(&row.ns, &row.name))?;
    let cluster = facts.cluster()?;
    let findings =
        opened.seen.iter().filter_map(|(_, pod)| Some(finding(cluster, pod, &lacking(pod)?, &shared))).collect();
    Ok(Answered::judged(findings).blind(opened.blind))
}

/// OSDs and MDS look for their address in Ceph's networks and end without one, so those that run have it.
fn is_suspect(row: &PodRow) -> bool {
    let checked_by_ceph = ["rook-ceph-osd-", "rook-ceph-mds-"].iter().any(|prefix| row.name.starts_with(prefix));
    let lately = row.restarts > 0 && !row.restarted.contains(['d', 'y']);
    !row.ip.is_empty() && (!checked_by_ceph || !row.is_well() || lately)
}

/// The networks that this running pod asked for and did not get; none if it lacks nothing.
pub(crate) fn lacking(pod: &Pod) -> Option<Vec<Selection>> {
    let runs = pod.status.phase == "Running" && pod.has_sandbox() && !pod.spec.host_network;
    // An annotation that cannot be read is NET005's to report.
    let wanted = wanted_networks(pod).ok().filter(|_| runs)?;
    let got = interfaces(pod).ok()?.unwrap_or_default();
    // Multus before 3.5 wrote the bare name.
    let is_it = |name: &str, selection: &Selection| name == selection.full_name() || name == selection.name;
    let has = |selection: &Selection| got.iter().any(|interface| is_it(&interface.name, selection));
    let lacking: Vec<Selection> = wanted.into_iter().filter(|selection| !has(selection)).collect();
    (!lacking.is_empty()).then_some(lacking)
}

fn finding(cluster: &Cluster, pod: &Pod, lacking: &[Selection], shared: &[Selection]) -> Finding {
    let (ns, name, node) = (&pod.metadata.namespace, &pod.metadata.name, &pod.spec.node_name);
    let list = lacking.iter().map(Selection::full_name).collect::<Vec<_>>().join(", ");
    let severity = if pod.is_ready() { Severity::Warning } else { Severity::Critical };
    let summary = say!(
        "pod {} on {} asked for {} and runs without it: it started while Multus was not in charge there",
        name,
        node,
        list
    );
    // A new pod gets a new address in each of its networks.
    let may_double = wanted_networks(pod).unwrap_or_default().iter().any(|network| shared.contains(network));
    let remedy = match may_double {
        true => say!(
            "mend NET012 first, as the new pod may take an address that another has; then see that Multus is Ready on {}, then delete the pod; one at a time: a monitor only while the others hold the quorum, an OSD only when ceph osd ok-to-stop agrees",
            node
        ),
        false => say!(
            "see that Multus is Ready on {}, then delete the pod; one at a time: a monitor only while the others hold the quorum, an OSD only when ceph osd ok-to-stop agrees",
            node
        ),
    };
    let remedy = Remedy::guided(remedy);
    let remedy = if may_double { remedy.command("kubectl rookdoctor explain NET012") } else { remedy.auto() };
    let ask = daemon_place(pod).and_then(|place| match place {
        Place::Daemon(name) => {
            name.strip_prefix("osd.").map(|id| ceph_command(cluster, &format!("osd ok-to-stop {id}")))
        }
        _ => None,
    });
    let remedy = ask.into_iter().fold(remedy, Remedy::command).command(format!("kubectl -n {ns} delete pod {name}"));
    let object = ObjectRef::pod(pod);
    let annotation = |key: &str| pod.metadata.annotations.get(key).map_or("absent", String::as_str).to_owned();
    Finding::new(severity, object.clone(), summary, remedy)
        .at([Place::node(node)])
        .at(daemon_place(pod))
        .since(pod.status.start_time)
        .evidence([
            Evidence::field(&object, NETWORKS, annotation(NETWORKS)),
            Evidence::field(&object, NETWORK_STATUS, annotation(NETWORK_STATUS)),
        ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_lacks_what_its_status_does_not_list() {
        let pod = |status: Option<&str>, phase: &str| -> Pod {
            let mut annotations = serde_json::json!({NETWORKS: r#"[{"name":"public","namespace":"rook-ceph"}]"#});
            if let Some(status) = status {
                annotations[NETWORK_STATUS] = status.into();
            }
            serde_json::from_value(serde_json::json!({
                "metadata": {"namespace": "rook-ceph", "annotations": annotations},
                "status": {"phase": phase, "podIP": "10.0.0.1"},
            }))
            .unwrap()
        };
        let without = Some(r#"[{"name":"kube-ovn","ips":["10.0.0.1"]}]"#);
        let with = Some(r#"[{"name":"kube-ovn"},{"name":"rook-ceph/public","ips":["10.9.0.1"]}]"#);
        assert!(lacking(&pod(without, "Running")).is_some());
        assert!(lacking(&pod(None, "Running")).is_some(), "no Multus at all wrote a status");
        assert!(lacking(&pod(with, "Running")).is_none());
        assert!(lacking(&pod(without, "Pending")).is_none(), "it may still get it");
    }
}
