//! What must hold: before a step (a guard), or at its end (a wait). One vocabulary for both, asked of fresh facts
//! each time.

pub mod ceph;
pub mod csi;
pub mod kube;
pub mod memory;
mod mounts;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::Text;
use crate::checks::ceph::{ceph_command, quoted};
use crate::checks::csi::list_processes;
use crate::facts::{Cluster, Facts, Gap};
use crate::say;

/// Something that holds or does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "condition", rename_all = "camelCase")]
pub enum Condition {
    /// Nobody works on the cluster: no `*-maintenance` Deployment, no deletion, no cleanup policy, no monitor or OSD
    /// that was scaled down.
    NoMaintenance,
    /// The monitors keep their quorum without these.
    Quorum { without: Vec<String> },
    /// This monitor is in quorum.
    MonIn { mon: String },
    /// Ceph says that these OSDs may stop together.
    OkToStop { osds: Vec<i64> },
    /// These OSDs are up; all, if none is named.
    OsdsUp { osds: Vec<i64> },
    /// Every PG is active and clean.
    PgsClean,
    /// A mgr is active: without one, commands that it answers hang for ever.
    MgrActive,
    /// A mgr stands by, to take over.
    StandbyMgr,
    /// The pool has no application but this one.
    PoolApplication { pool: String, only: String },
    /// A pod of this label (and on this node, if one is named) is well, and none of these old ones is left.
    #[serde(rename_all = "camelCase")]
    PodWell { ns: String, label: String, node: Option<String>, instead_of: Vec<String> },
    /// A pod that is deleted comes back as it was: its DaemonSet does not wait for that to change it.
    SameRevision { ns: String, pod: String },
    /// The kubelet of the node answers: a pod that is deleted there goes, and its successor starts.
    NodeReady { node: String },
    /// This pod is not Ready still, or gone: the fault has not passed by itself.
    StillDown { ns: String, pod: String },
    /// Nobody renews the Lease: whoever should lead does not.
    LeaseStale { ns: String, name: String },
    /// No mount of this driver on this node would end with the pod of its node plugin there.
    MountsOutlive { ns: String, pod: String, node: String, driver: String },
    /// ovn-central has one Ready leader for each of its databases and for northd.
    OvnLeads,
    /// The node has not booted in the last five minutes.
    BootSettled { node: String },
    /// There is no such namespace.
    NamespaceGone { namespace: String },
    /// The operator of the cluster runs, so that what is changed in its resources comes about.
    OperatorRuns,
    /// No template that is seen takes this port of any host, but for this one workload.
    PortFree { port: u16, beside: String },
    /// A Deployment listens on this port of the hosts, and all its pods are of that mind and Ready.
    ListensOn { ns: String, deployment: String, port: u16 },
    /// The configuration that the CSI drivers mount has an entry for each of these clusterIDs.
    CsiEntries { ns: String, config: String, key: String, ids: Vec<String> },
    /// Every node where a pod of this label runs has room for so much more beside what others there asked for.
    MemoryRoom { ns: String, label: String, bytes: u64 },
    /// Every pod of this label has this memory limit on this container, and is Ready or has ended well.
    MemoryLimit { ns: String, label: String, container: String, limit: String },
    /// These allocations of whereabouts are still proven to be leaked.
    Leaked { sights: Vec<String> },
    /// A check has an answer and finds nothing; with an object, nothing about it.
    Passes { code: String, object: Option<String> },
    /// No OSD, no pool and no volume exists: no data that could be lost or out of reach.
    HoldsNothing,
    /// The node is ready and takes pods: what is taken away there can come back.
    TakesPods { node: String },
    /// So many pods of this label are well, and none of these old ones is left.
    #[serde(rename_all = "camelCase")]
    PodsWell { ns: String, label: String, at_least: usize, instead_of: Vec<String> },
    /// This monitor is in quorum, by an election that it took part in after it started.
    MonRejoined { mon: String },
    /// Each rank of this filesystem has an active MDS.
    FilesystemServes { name: String },
}

/// Whether a condition holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    Yes,
    /// What was seen instead.
    No(Text),
}

impl Held {
    /// Holds, or what was seen instead.
    pub fn when(holds: bool, seen: impl FnOnce() -> Text) -> Self {
        if holds { Self::Yes } else { Self::No(seen()) }
    }
}

impl Condition {
    pub fn judge(&self, facts: &Facts<'_>) -> Result<Held, Gap> {
        match self {
            Self::NoMaintenance => kube::no_maintenance(facts),
            Self::Quorum { without } => ceph::quorum(facts, without),
            Self::MonIn { mon } => ceph::mon_in(facts, mon),
            Self::OkToStop { osds } => ceph::ok_to_stop(facts, osds),
            Self::OsdsUp { osds } => ceph::osds_up(facts, osds),
            Self::PgsClean => ceph::pgs_clean(facts),
            Self::MgrActive => ceph::mgr_active(facts),
            Self::StandbyMgr => ceph::standby_mgr(facts),
            Self::PoolApplication { pool, only } => ceph::pool_application(facts, pool, only),
            Self::PodWell { ns, label, node, instead_of } => {
                kube::pod_well(facts, ns, label, node.as_deref(), instead_of)
            }
            Self::SameRevision { ns, pod } => kube::same_revision(facts, ns, pod),
            Self::NodeReady { node } => kube::node_ready(facts, node),
            Self::StillDown { ns, pod } => kube::still_down(facts, ns, pod),
            Self::LeaseStale { ns, name } => kube::lease_stale(facts, ns, name),
            Self::MountsOutlive { ns, pod, node, driver } => mounts::outlive(facts, ns, pod, node, driver),
            Self::OvnLeads => kube::ovn_leads(facts),
            Self::BootSettled { node } => kube::boot_settled(facts, node),
            Self::NamespaceGone { namespace } => kube::namespace_gone(facts, namespace),
            Self::OperatorRuns => kube::operator_runs(facts),
            Self::PortFree { port, beside } => csi::port_free(facts, *port, beside),
            Self::ListensOn { ns, deployment, port } => csi::listens_on(facts, ns, deployment, *port),
            Self::CsiEntries { ns, config, key, ids } => csi::entries(facts, ns, config, key, ids),
            Self::MemoryRoom { ns, label, bytes } => memory::room(facts, ns, label, *bytes),
            Self::MemoryLimit { ns, label, container, limit } => memory::limit(facts, ns, label, container, limit),
            Self::Leaked { sights } => kube::leaked(facts, sights),
            Self::Passes { code, object } => kube::passes(facts, code, object.as_deref()),
            Self::HoldsNothing => ceph::nothing_held(facts),
            Self::TakesPods { node } => kube::takes_pods(facts, node),
            Self::PodsWell { ns, label, at_least, instead_of } => {
                kube::pods_well(facts, ns, label, *at_least, instead_of)
            }
            Self::MonRejoined { mon } => ceph::mon_rejoined(facts, mon),
            Self::FilesystemServes { name } => ceph::filesystem_serves(facts, name),
        }
    }

    /// How a person asks the same, for scripts; none where only this tool can.
    pub fn command(&self, cluster: &Cluster) -> Option<String> {
        let ids = |osds: &[i64]| osds.iter().map(i64::to_string).collect::<Vec<_>>().join(" ");
        let ceph = |words: &str| ceph_command(cluster, words);
        // On one line without blanks, however Ceph lays it out.
        let json = |words: &str, filter: &str| match filter {
            "" => ceph(&format!("{words} --format json")),
            filter => format!("{} | tr -d ' \\n' | {filter}", ceph(&format!("{words} --format json"))),
        };
        let ns = &cluster.ns;
        Some(match self {
            Self::NoMaintenance => no_maintenance(cluster),
            // Where nothing is held there may never have been a quorum.
            Self::Quorum { without } => {
                format!("{{ {}; }} || {{ {}; }}", holds_nothing(ns), quorum(&json("quorum_status", ""), without))
            }
            Self::MonIn { mon } | Self::MonRejoined { mon } => {
                json("quorum_status", &format!(r#"grep -q '"quorum_names":\[[^]]*"{mon}"'"#))
            }
            Self::OkToStop { osds } => ceph(&format!("osd ok-to-stop {}", ids(osds))),
            Self::OsdsUp { osds } if osds.is_empty() => json("osd dump", r#"grep -vq '"up":0'"#),
            Self::OsdsUp { osds } => {
                // One OSD a line, then its own.
                let up = |osd: &i64| {
                    json("osd dump", &format!(r#"sed 's/"osd":/\n&/g' | grep '^"osd":{osd},' | grep -q '"up":1'"#))
                };
                osds.iter().map(up).collect::<Vec<_>>().join(" && ")
            }
            Self::PgsClean => {
                json("status", r#"sed 's/"state_name":"active+clean[^"]*"//g' | grep -vq '"state_name"'"#)
            }
            Self::MgrActive => json("mgr stat", r#"grep -q '"available":true'"#),
            Self::StandbyMgr => json("mgr stat", r#"grep -q '"num_standby":[1-9]'"#),
            Self::PoolApplication { pool, only } => {
                let one = quoted(&format!(r#"{{"{only}":{{}}}}"#));
                json(&format!("osd pool application get {}", quoted(pool)), &format!("grep -qxF -e '{{}}' -e {one}"))
            }
            Self::NamespaceGone { namespace } => {
                format!("kubectl get namespaces -o name | tr '\\n' ' ' | grep -vq -e 'namespace/{namespace} '")
            }
            Self::PodWell { ns, label, node, .. } => {
                let node =
                    node.as_ref().map(|node| format!(" --field-selector spec.nodeName={node}")).unwrap_or_default();
                format!("kubectl -n {ns} wait pod -l '{label}'{node} --for=condition=Ready --timeout=10m")
            }
            Self::NodeReady { node } => format!("kubectl wait node/{node} --for=condition=Ready --timeout=0s"),
            Self::StillDown { ns, pod } => {
                let ready = r#"{.status.conditions[?(@.type=="Ready")].status}"#;
                format!("kubectl -n {ns} get pod {pod} -o jsonpath='{ready}' | grep -qv True")
            }
            Self::PodsWell { ns, label, at_least, .. } => {
                let ready = r#"{range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}"#;
                format!(
                    "test $(kubectl -n {ns} get pods -l '{label}' -o jsonpath='{ready}' | grep -c True) -ge {at_least}"
                )
            }
            Self::MountsOutlive { ns, pod, driver, .. } => {
                format!("{} | tr '\\n' ' ' | grep -vq -e ceph-fuse -e rbd-nbd", list_processes(ns, pod, driver))
            }
            Self::Passes { code, .. } => format!("kubectl rookdoctor diagnose -n {ns} --only {code} -q"),
            Self::HoldsNothing => holds_nothing(ns),
            Self::TakesPods { node } => {
                format!("kubectl get node {node} --no-headers | grep -w Ready | grep -v SchedulingDisabled")
            }
            Self::FilesystemServes { .. } => {
                format!("{} | tr '\\n' ' ' | grep -vq -e FS_DEGRADED -e MDS_ALL_DOWN", ceph("health detail"))
            }
            Self::OperatorRuns => {
                format!(
                    "kubectl -n {} wait pod -l app=rook-ceph-operator --for=condition=Ready --timeout=1m",
                    cluster.operator_ns
                )
            }
            Self::ListensOn { ns, deployment, port } => format!(
                "kubectl -n {ns} get deployment {deployment} -o yaml | grep -q -e '--controller-port={port}' && kubectl -n {ns} rollout status deployment {deployment} --timeout=5m"
            ),
            Self::CsiEntries { ns, config, key, ids } => csi::entries_command(ns, config, key, ids),
            Self::SameRevision { .. }
            | Self::LeaseStale { .. }
            | Self::Leaked { .. }
            | Self::OvnLeads
            | Self::BootSettled { .. }
            | Self::PortFree { .. }
            | Self::MemoryRoom { .. }
            | Self::MemoryLimit { .. } => return None,
        })
    }
}

fn no_maintenance(cluster: &Cluster) -> String {
    let Cluster { ns, name, .. } = cluster;
    let ends = "{.metadata.deletionTimestamp}{.spec.cleanupPolicy.confirmation}";
    let replicas = r#"{range .items[*]}{.metadata.name}={.spec.replicas} {end}{"\n"}"#;
    format!(
        "ends=$(kubectl -n {ns} get cephcluster {name} -o jsonpath='{ends}') && test -z \"$ends\" && kubectl -n {ns} get deployments -l 'app in (rook-ceph-mon,rook-ceph-osd)' -o jsonpath='{replicas}' | grep -vq -e '-maintenance=' -e '=0 '"
    )
}

/// Counts the monitors that are in quorum beside these, against those of the map.
fn quorum(status: &str, without: &[String]) -> String {
    let without: String = without.iter().map(|mon| format!(" -e '\"{mon}\"'")).collect();
    let count = if without.is_empty() { "grep -c .".to_owned() } else { format!("grep -vxc{without}") };
    format!(
        r#"quorum=$({status} | tr -d ' \n') && left=$(echo "$quorum" | sed 's/.*"quorum_names":\[\([^]]*\)\].*/\1/' | tr ',' '\n' | {count}) && all=$(echo "$quorum" | grep -o '"public_addrs"' | wc -l) && test "$left" -gt $((all / 2))"#
    )
}

fn holds_nothing(ns: &str) -> String {
    let asked = [
        format!("osds=$(kubectl -n {ns} get deployments -l app=rook-ceph-osd -o name)"),
        format!(
            "pools=$(kubectl -n {ns} get cephblockpools,cephfilesystems,cephobjectstores -o jsonpath='{{.items[*].status.phase}}')"
        ),
        "drivers=$(kubectl get pv -o jsonpath='{.items[*].spec.csi.driver}')".to_owned(),
    ];
    let empty = r#"test -z "$osds" && echo "$pools" | grep -vqw Ready && echo "$drivers" | grep -vq ceph"#;
    format!("{} && {empty}", asked.join(" && "))
}

impl Condition {
    /// In words.
    pub fn text(&self) -> Text {
        let ids = |osds: &[i64]| osds.iter().map(|osd| format!("osd.{osd}")).collect::<Vec<_>>().join(", ");
        match self {
            Self::NoMaintenance => say!("no maintenance and no deletion is going on"),
            Self::Quorum { without } if without.is_empty() => say!("the monitors have quorum"),
            Self::Quorum { without } => {
                let mons: Vec<String> = without.iter().map(|mon| format!("mon.{mon}")).collect();
                say!("the monitors keep their quorum without {}", mons.join(", "))
            }
            Self::MonIn { mon } => say!("mon.{} is in quorum", mon),
            Self::OkToStop { osds } => say!("Ceph says that {} may stop", ids(osds)),
            Self::OsdsUp { osds } if osds.is_empty() => say!("all OSDs are up"),
            Self::OsdsUp { osds } => say!("{} up", ids(osds)),
            Self::PgsClean => say!("all PGs are active and clean"),
            Self::MgrActive => say!("a mgr is active"),
            Self::StandbyMgr => say!("a mgr stands by"),
            Self::PoolApplication { pool, only } => say!("pool {} has no application but {}", pool, only),
            Self::NamespaceGone { namespace } => say!("the namespace {} does not exist", namespace),
            Self::PodWell { ns, label, node: Some(node), .. } => {
                say!("the pod of {} in {} on {} is Ready", label, ns, node)
            }
            Self::PodWell { ns, label, .. } => say!("a pod of {} in {} is Ready", label, ns),
            Self::SameRevision { ns, pod } => say!("{}/{} would come back unchanged", ns, pod),
            Self::NodeReady { node } => say!("{} is Ready", node),
            Self::StillDown { ns, pod } => say!("{}/{} is still not Ready", ns, pod),
            Self::LeaseStale { ns, name } => say!("nobody renews the Lease {}/{}", ns, name),
            Self::MountsOutlive { node, driver, .. } => {
                say!("no mount of {} on {} is made by ceph-fuse or rbd-nbd, which would end with the pod", driver, node)
            }
            Self::OvnLeads => say!("ovn-central has its leaders"),
            Self::BootSettled { node } => say!("{} has been up for five minutes", node),
            Self::OperatorRuns => say!("Rook's operator runs"),
            Self::PortFree { port, beside } => {
                say!("nothing that is seen takes port {} of any node, but for {}", port, beside)
            }
            Self::ListensOn { ns, deployment, port } => {
                say!("Deployment {}/{} listens on port {}, and all its pods are Ready", ns, deployment, port)
            }
            Self::CsiEntries { ns, config, ids, .. } => {
                say!("ConfigMap {}/{} has an entry for {}", ns, config, ids.join(", "))
            }
            Self::MemoryRoom { ns, label, bytes } => say!(
                "every node with a pod of {} in {} has {} of memory that no other pod asked for",
                label,
                ns,
                memory::shown(*bytes)
            ),
            Self::MemoryLimit { ns, label, container, limit } => {
                say!(
                    "container {} of every pod of {} in {} has the limit {}, and the pods are well",
                    container,
                    label,
                    ns,
                    limit
                )
            }
            Self::Leaked { .. } => say!("NET015 still finds the same allocations leaked"),
            Self::Passes { code, object: None } => say!("{} finds nothing", code),
            Self::Passes { code, object: Some(object) } => say!("{} finds nothing about {}", code, object),
            Self::HoldsNothing => say!("no OSD, pool or volume of the cluster exists"),
            Self::TakesPods { node } => say!("{} is ready and takes pods", node),
            Self::PodsWell { ns, label, at_least: 1, .. } => say!("a pod of {} in {} is Ready", label, ns),
            Self::PodsWell { ns, label, at_least, .. } => say!("{} pods of {} in {} are Ready", at_least, label, ns),
            Self::MonRejoined { mon } => say!("mon.{} is in quorum again", mon),
            Self::FilesystemServes { name } => say!("each rank of the filesystem {} has an active MDS", name),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text().english())
    }
}
