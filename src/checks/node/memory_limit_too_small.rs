use std::collections::BTreeMap;

use serde_json::Value;

use super::quantity::{MIB, bytes, text};
use super::{daemon_of, restarted_lately, rook_pods};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::checks::net::{NODE_BY_NODE, node_by_node};
use crate::facts::tables::PodRow;
use crate::facts::{Cluster, Each, Facts, Gap, Kind, both, kinds};
use crate::objects::kube::{Container, ContainerStatus, DaemonSet, Pod, Terminated};
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// Containers of Rook's pods and of Multus whose last end was OOMKilled, and limits in the CephCluster's
    /// `resources` below what a daemon needs to work at all: mon 1 GiB, mgr 512 MiB, OSD 2 GiB, prepare job
    /// 50 MiB. The 50 MiB that Multus comes with are mentioned as information.
    ///
    /// # Why it matters
    /// A daemon that is killed for memory starts again, fills its caches again and is killed again. OSDs derive
    /// `osd_memory_target` from their limit; below 2 GiB they are killed in recovery, when they are needed most.
    /// Multus is killed in the burst of sandboxes after a boot.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get pod <pod> -o jsonpath='{.status.containerStatuses[*].lastState}'`.
    ///
    /// # Fix
    /// Raise the limit in the resource that Rook makes the pods from: `spec.resources.<daemon>` of the CephCluster,
    /// `spec.metadataServer.resources` of a CephFilesystem, `spec.gateway.resources` of a CephObjectStore; in a
    /// Deployment it would not last. `kubectl rookdoctor fix NODE009` doubles the limit of a mgr, an MDS, an exporter
    /// or the prepare jobs that was proven too small, where every host has room for it. A new limit of the OSDs
    /// restarts every one of them. Multus has its limit in its DaemonSet.
    ///
    /// # References
    /// Rook: CRDs/Cluster/ceph-cluster-crd, "Resource Requirements/Limits"; multus-cni issues 1346 and 1383.
    "NODE009" "memory-limit-too-small" Node,
    needs: [Discovery, CephClusters, DaemonSets, PodTables, MonPods, MgrPods, OsdPods, PreparePods, MdsPods, RgwPods, GatewayPods, CsiPods, Objects],
    fix: raise_memory_limit,
    explained_by: [],
}

/// Keys of `spec.resources` and what Rook's documentation calls their minimum, in MiB.
const MINIMUM: &[(&str, f64)] = &[("mon", 1024.0), ("mgr", 512.0), ("osd", 2048.0), ("prepareosd", 50.0)];
/// The exporters, one on each node with Ceph daemons.
const EXPORTER: &str = "app=rook-ceph-exporter";
/// Documented in units of 1000; a limit of `2G` is not too small for 2 GiB.
const SLACK: f64 = 0.9;

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let exporters = facts.each([()], |facts, ()| facts.pods_where(&facts.cluster()?.ns, EXPORTER));
    let ((pods, multus), exporters) = both(both(rook_pods(facts), multus(facts)), exporters)?;
    let multus_rows = multus.seen.iter().flat_map(|(_, rows)| rows.iter());
    let rows = pods.rows.into_iter().chain(multus_rows).chain(exporters.seen.iter().flat_map(|(_, rows)| rows.iter()));
    let suspects = rows.filter(|row| may_be_killed(row));
    let (killed, cluster) = both(
        facts.each(suspects, |facts, row| facts.pod(&row.ns, &row.name)),
        facts.each([()], |facts, ()| facts.ceph_cluster()),
    )?;
    let resources = cluster.seen.first().map(|(_, cluster)| &cluster.spec.resources);
    let home = facts.cluster()?;
    let setting = |pod: &Pod, container: &str| Setting::of(home, resources, pod, container);
    let mut findings = ooms(killed.seen.iter().flat_map(|(row, pod)| Killed::of(row, pod)), setting);
    findings.extend(cluster.seen.iter().flat_map(|(_, cluster)| too_small(cluster)));
    findings.extend(multus.seen.iter().filter_map(|(set, _)| small_default(set)));
    let blind = [pods.blind, multus.blind, exporters.blind, killed.blind, cluster.blind];
    Ok(Answered::judged(findings).blind(blind.into_iter().flatten()))
}

/// The DaemonSets of Multus with their pods.
fn multus<'s>(facts: &Facts<'s>) -> Result<Each<&'s DaemonSet, &'s [PodRow]>, Gap> {
    let sets = facts.each([()], |facts, ()| facts.daemon_sets())?;
    let all = sets.seen.iter().flat_map(|(_, all)| all.iter());
    let multus = all.filter(|set| set.metadata.name.contains("multus") && set.metadata.namespace != "openshift-multus");
    let mut pods = facts.each(multus, |facts, set| facts.pods_where(&set.metadata.namespace, &set.pod_labels()))?;
    pods.blind.extend(sets.blind);
    Ok(pods)
}

/// Whether its last end is young enough to matter.
fn may_be_killed(row: &PodRow) -> bool {
    restarted_lately(row) || row.status.ends_with("OOMKilled")
}

/// A container that was killed for memory.
struct Killed<'s> {
    row: &'s PodRow,
    pod: &'s Pod,
    container: &'s Container,
    status: &'s ContainerStatus,
    end: &'s Terminated,
}

impl<'s> Killed<'s> {
    fn of(row: &'s PodRow, pod: &'s Pod) -> impl Iterator<Item = Self> {
        pod.containers().filter_map(move |(container, status)| {
            let status = status?;
            let end = status.terminated().filter(|end| end.reason == "OOMKilled")?;
            Some(Self { row, pod, container, status, end })
        })
    }

    fn limit(&self) -> String {
        self.container.resources.limits.get("memory").map_or_else(String::new, text)
    }

    /// Containers that share it have their limit from one place: the daemons of a kind (of one filesystem or object
    /// store) from their resource, others from their owner.
    fn setting(&self) -> (&'s str, String, &'s str, String) {
        let labels = &self.pod.metadata.labels;
        let of = ["ceph_daemon_type", "rook_file_system", "rook_object_store"];
        let daemon: Vec<&str> = of.iter().filter_map(|key| labels.get(*key)).map(String::as_str).collect();
        let stable = self.pod.stable_name();
        let owner = stable.split('@').next().unwrap_or_default();
        let who = if daemon.is_empty() { owner.to_owned() } else { daemon.join(" ") };
        (&self.pod.metadata.namespace, who, &self.container.name, self.limit())
    }

    fn places(&self) -> impl Iterator<Item = Place> {
        let node = (!self.row.node.is_empty()).then(|| Place::node(&self.row.node));
        node.into_iter().chain(daemon_of(self.row))
    }

    fn evidence(&self) -> Evidence {
        let field = format!("last state of container {}", self.container.name);
        Evidence::field(&ObjectRef::pod(self.pod), field, "OOMKilled").at(self.end.finished_at)
    }
}

fn ooms<'s>(
    killed: impl IntoIterator<Item = Killed<'s>>,
    setting: impl Fn(&Pod, &str) -> Option<Setting>,
) -> Vec<Finding> {
    let mut settings: BTreeMap<_, Vec<Killed<'s>>> = BTreeMap::new();
    for killed in killed {
        settings.entry(killed.setting()).or_default().push(killed);
    }
    settings.values().filter_map(|killed| oom(killed, &setting)).collect()
}

fn oom(killed: &[Killed<'_>], setting: impl Fn(&Pod, &str) -> Option<Setting>) -> Option<Finding> {
    let (first, others) = killed.split_first()?;
    let Killed { row, pod, container, .. } = first;
    let limit = first.limit();
    let (name, pod_name) = (&container.name, &row.name);
    let limit_said = if limit.is_empty() { say!("none") } else { say!("{}", limit) };
    let summary = match others.len() {
        0 => say!("container {} of pod {} was killed for memory (limit {})", name, pod_name, limit_said),
        more => say!(
            "container {} of pod {} and {} more of its kind was killed for memory (limit {})",
            name,
            pod_name,
            more,
            limit_said
        ),
    };
    let remedy = if row.name.contains("multus") {
        more_memory(pod, &container.name)
    } else {
        let by_hand = || {
            Remedy::guided(say!("raise its memory limit, in the CephCluster's resources for a Ceph daemon; without a limit the node itself is short of memory"))
                .command(format!("kubectl -n {} describe pod {}", row.ns, row.name))
        };
        let raised = bytes(&limit).map(|limit| raised(&container.name, limit));
        let setting = setting(pod, &container.name).zip(raised);
        setting.map_or_else(by_hand, |(setting, raised)| setting.remedy(&raised))
    };
    let serves = killed.iter().all(|killed| killed.status.ready);
    let severity = if serves { Severity::Warning } else { Severity::Critical };
    let finding = Finding::new(severity, ObjectRef::pod(pod), summary, remedy)
        .also(others.iter().map(|other| ObjectRef::pod(other.pod)))
        .detail(&container.name)
        .at(killed.iter().flat_map(Killed::places))
        .since(killed.iter().filter_map(|killed| killed.end.finished_at).min())
        .evidence(killed.iter().map(Killed::evidence));
    Some(finding)
}

/// Where the resources of a daemon are set: in the resource that Rook makes its pods from.
pub(crate) struct Setting {
    pub kind: Kind,
    pub ns: String,
    pub name: String,
    /// The keys below `spec` that lead to its limits and requests.
    pub path: Vec<String>,
    /// Every pod that has its resources from there.
    pub label: String,
    /// A new limit restarts daemons that the cluster can do without for a moment.
    pub is_mild: bool,
}

impl Setting {
    /// None for what is not made from a resource of Rook's, and for containers that are not the daemon itself.
    pub fn of(
        cluster: &Cluster,
        resources: Option<&BTreeMap<String, Value>>,
        pod: &Pod,
        container: &str,
    ) -> Option<Self> {
        let label = |key: &str| pod.metadata.labels.get(key).map_or("", String::as_str);
        let app = label("app");
        let of_cluster = |key: &str, is_mild: bool| Self {
            kind: kinds::CEPH_CLUSTER,
            ns: cluster.ns.clone(),
            name: cluster.name.clone(),
            path: vec!["resources".to_owned(), key.to_owned()],
            label: format!("app={app}"),
            is_mild,
        };
        let of_resource = |kind: Kind, key: &str, below: &str, is_mild: bool| {
            let (ns, name, path) = (cluster.ns.clone(), label(key).to_owned(), [below, "resources"]);
            let path = path.map(str::to_owned).to_vec();
            (!name.is_empty()).then(|| Self { kind, ns, label: format!("app={app},{key}={name}"), name, path, is_mild })
        };
        match (app, container) {
            ("rook-ceph-mon", "mon") => Some(of_cluster("mon", false)),
            ("rook-ceph-mgr", "mgr") => Some(of_cluster("mgr", true)),
            ("rook-ceph-exporter", "ceph-exporter") => Some(of_cluster("exporter", true)),
            // Rook gives all containers of the job the same.
            ("rook-ceph-osd-prepare", _) => Some(of_cluster("prepareosd", true)),
            ("rook-ceph-osd", "osd") => {
                let of_class = format!("osd-{}", label("device-class"));
                let is_set = resources.is_some_and(|resources| resources.contains_key(&of_class));
                Some(of_cluster(if is_set { &of_class } else { "osd" }, false))
            }
            ("rook-ceph-mds", "mds") => of_resource(kinds::FILESYSTEM, "rook_file_system", "metadataServer", true),
            ("rook-ceph-rgw", "rgw") => of_resource(kinds::OBJECT_STORE, "rook_object_store", "gateway", false),
            _ => None,
        }
    }

    /// `spec.resources.mgr.limits.memory`
    pub fn field(&self) -> String {
        format!("spec.{}.limits.memory", self.path.join("."))
    }

    fn remedy(&self, limit: &str) -> Remedy {
        let object = ObjectRef::new(self.kind, &self.ns, &self.name);
        let remedy = if self.path.iter().any(|key| key.starts_with("osd")) {
            Remedy::guided(say!(
                "raise {} in {}, to {} for example, if every host has room for it: Rook then restarts all these OSDs, one by one",
                self.field(),
                object,
                limit
            ))
        } else {
            Remedy::guided(say!(
                "raise {} in {}, to {} for example, if its hosts have room for it: Rook then restarts these daemons, one by one",
                self.field(),
                object,
                limit
            ))
        };
        let inner = format!(r#"{{"limits":{{"memory":"{limit}"}}}}"#);
        let patch = self.path.iter().rev().fold(inner, |inner, key| format!(r#"{{"{key}":{inner}}}"#));
        let remedy = remedy
            .command(format!(
                "kubectl -n {} patch {} {} --type merge -p '{{\"spec\":{patch}}}'",
                self.ns,
                self.kind.kind.to_lowercase(),
                self.name
            ))
            .command(format!("kubectl -n {} get pods -l {} -o wide", self.ns, self.label));
        if self.is_mild { remedy.auto() } else { remedy }
    }
}

/// Twice the limit that was too small, and no less than what the daemon needs to work at all.
pub(crate) fn raised(container: &str, limit: f64) -> String {
    let key = if container == "provision" { "prepareosd" } else { container };
    let least = MINIMUM.iter().find(|(daemon, _)| *daemon == key).map_or(0.0, |(_, least)| *least);
    format!("{}Mi", (2.0 * limit / MIB).max(least).ceil() as u64)
}

/// Gives a container of a DaemonSet more memory, node by node.
pub(crate) fn more_memory(pod: &Pod, name: &str) -> Remedy {
    let owner = pod.metadata.controller().map_or("kube-multus-ds", |owner| owner.name.as_str());
    let remedy = Remedy::guided(say!("give {} more memory; {}", name, NODE_BY_NODE()));
    node_by_node(remedy, &pod.metadata.namespace, owner, set_memory(pod, "daemonset", owner, name))
}

/// The command that gives a container twice the limit that was too small, and no less than what the issues of
/// Multus found to do.
pub(crate) fn set_memory(pod: &Pod, kind: &str, owner: &str, name: &str) -> String {
    const LEAST: u64 = 256;
    let container = pod.spec.containers.iter().find(|container| container.name == name);
    let limit = container.and_then(|it| bytes(&text(it.resources.limits.get("memory")?)));
    let limit = limit.map_or(LEAST, |limit| (2.0 * limit / MIB) as u64).max(LEAST);
    format!("kubectl -n {} set resources {kind} {owner} -c {name} --limits=memory={limit}Mi", pod.metadata.namespace)
}

fn too_small(cluster: &CephCluster) -> impl Iterator<Item = Finding> {
    cluster.spec.resources.iter().filter_map(|(daemon, resources)| {
        // OSDs may have limits by device class, as `osd-nvme`.
        let is_it = |(name, _): &&(&str, f64)| name == daemon || (*name == "osd" && daemon.starts_with("osd-"));
        let (_, minimum) = MINIMUM.iter().find(is_it)?;
        let limit = resources.pointer("/limits/memory")?;
        if bytes(&text(limit))? >= minimum * MIB * SLACK {
            return None;
        }
        let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
        let (ns, name) = (&cluster.metadata.namespace, &cluster.metadata.name);
        let summary =
            say!("memory limit of {} is {}, below the {} MiB that it needs to work", daemon, text(limit), minimum);
        let remedy = Remedy::guided(say!(
            "raise spec.resources.{}.limits.memory; Rook then restarts these daemons one by one",
            daemon
        ))
        .command(format!("kubectl -n {ns} edit cephcluster {name}"));
        let evidence = Evidence::field(&object, format!("spec.resources.{daemon}.limits.memory"), text(limit));
        Some(Finding::warning(object, summary, remedy).detail(daemon).evidence([evidence]))
    })
}

/// What Multus comes with: it works, until many pods start at once.
fn small_default(set: &DaemonSet) -> Option<Finding> {
    let containers = set.spec.template.spec.containers.iter();
    let limit = containers.filter_map(|container| container.resources.limits.get("memory")).map(text).next()?;
    if bytes(&limit)? > 50.0 * MIB {
        return None;
    }
    let object = ObjectRef::of::<DaemonSet>(&set.metadata);
    let (ns, name) = (&set.metadata.namespace, &set.metadata.name);
    let summary = say!(
        "memory limit of DaemonSet {} is Multus' default of {}, which a burst of pods after a boot can exceed",
        name,
        limit
    );
    let remedy = Remedy::advice(say!("raise it before it bites: 256Mi or more"))
        .command(format!("kubectl -n {ns} edit daemonset {name}"));
    let evidence = Evidence::field(&object, "spec.template.spec.containers[].resources.limits.memory", &limit);
    Some(Finding::info(object, summary, remedy).evidence([evidence]))
}
