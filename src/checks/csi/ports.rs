//! Who wants which port of the nodes: computed from the templates of host-network pods and from where they
//! run, beside the words of those who lost: the scheduler's, and the error of a listener that cannot bind.

use std::collections::BTreeSet;

use super::clash::Clash;
use super::{Plugin, plugins};
use crate::check::{Evidence, ObjectRef, quote};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, Kind, Select, Settled, Unknown, both, kinds};
use crate::objects::kube::{DaemonSet, Deployment, Meta, Pod, Template, condition};

/// Flags of CSI sidecars whose value is, or ends in, a port. Metrics ports are declared nowhere else.
const PORT_FLAGS: &[&str] = &["--controller-port", "--metricsport", "--csi-addons-address"];
const NO_FREE_PORT: &str = "didn't have free ports for the requested pod ports";
/// Pods in these states run nothing, so they hold no port.
const OVER: &[&str] = &["Completed", "Evicted", "NodePorts", "Error", "ContainerStatusUnknown"];

/// A workload that listens on a port of the nodes it runs on.
pub(crate) struct Listener<'s> {
    pub kind: Kind,
    pub metadata: &'s Meta,
    /// None for what serves no CSI driver.
    pub plugin: Option<Plugin<'s>>,
    /// A daemon of this CephCluster.
    is_ceph: bool,
    pub container: &'s str,
    pub port: u16,
    /// What says so: `containerPort 9070`, `--controller-port=9070`.
    pub says: Vec<String>,
    /// The scheduler sees declared ports only.
    declared: bool,
    pods: Vec<&'s PodRow>,
    pub victims: Vec<Victim<'s>>,
}

/// A pod that did not get its port.
pub(crate) struct Victim<'s> {
    pub row: &'s PodRow,
    /// Where it runs, or should; empty where that is open.
    pub node: String,
    pub evidence: Evidence,
}

impl Victim<'_> {
    /// Refused by the scheduler or the kubelet; else it runs, and its listener cannot bind.
    pub fn is_refused(&self) -> bool {
        self.row.node.is_empty() || self.row.status == "NodePorts"
    }
}

/// Every clash that a CSI plugin or a Ceph daemon is part of.
pub(crate) struct Clashes<'s> {
    pub clashes: Vec<Clash<'s>>,
    pub blind: Vec<Unknown>,
    /// Every port that a template was seen to take on the hosts.
    pub taken: BTreeSet<u16>,
}

pub(crate) fn clashes<'s>(facts: &Facts<'s>) -> Result<Clashes<'s>, Gap> {
    let (mut all, foreign, mut blind) = everyone(facts)?;
    let ports: BTreeSet<u16> = all.iter().map(|listener| listener.port).collect();
    let taken = ports.iter().copied().chain(foreign.iter().map(|listener| listener.port)).collect();
    // Where a stranger's pods run matters only once it wants one of these ports.
    let rivals = foreign.into_iter().filter(|listener| ports.contains(&listener.port));
    blind.extend(place(facts, rivals, &mut all)?);
    blind.extend(find_refused(facts, &mut all)?);
    blind.extend(find_unbound(facts, &mut all)?);
    let mut clashes = Vec::new();
    for port in ports {
        let (of_port, rest) = all.into_iter().partition(|listener| listener.port == port);
        all = rest;
        clashes.extend(clash(port, of_port));
    }
    Ok(Clashes { clashes, blind, taken })
}

/// Who has which port of which nodes: the drivers', this cluster's and every DaemonSet's listeners.
pub(crate) fn map<'s>(facts: &Facts<'s>) -> Result<(Vec<Listener<'s>>, Vec<Unknown>), Gap> {
    let (mut all, foreign, mut blind) = everyone(facts)?;
    blind.extend(place(facts, foreign, &mut all)?);
    all.sort_by_key(|listener| (listener.port, listener.full_name()));
    Ok((all, blind))
}

/// A port that a template takes on the hosts where its pods run.
pub(crate) struct Taker {
    pub port: u16,
    /// `DaemonSet rook-ceph/csi-rbdplugin`
    pub who: String,
    /// `containerPort 9070; --controller-port=9070`
    pub says: String,
}

/// Everything that is seen to take a port of a host, wherever it runs: what [`map`] knows, and the Deployments of all
/// namespaces. What runs outside of Kubernetes, or in a pod that no DaemonSet and no Deployment made, is not seen.
pub(crate) fn takers(facts: &Facts<'_>) -> Result<(Vec<Taker>, Vec<Unknown>), Gap> {
    // There may be thousands of OSDs, whose ports are far below those in question here.
    let others = facts.list::<Deployment>(None, Select::label("app!=rook-ceph-osd"));
    let ((known, foreign, blind), others) = both(everyone(facts), others)?;
    let others = others.iter().flat_map(|it| listeners(kinds::DEPLOYMENT, &it.metadata, &it.spec.template));
    let all = known.into_iter().chain(foreign).chain(others);
    let taker = |it: Listener<'_>| Taker { port: it.port, who: it.full_name(), says: it.says.join("; ") };
    Ok((all.map(taker).collect(), blind))
}

/// Ports from 9071 on that nothing seen takes, and that Ceph, CSI and their neighbours do not use.
pub(crate) fn free(taken: &BTreeSet<u16>) -> impl Iterator<Item = u16> {
    const KNOWN: &[u16] = &[9080, 9081, 9090, 9091, 9099, 9100, 9153, 9283, 9926];
    (9071..=u16::MAX).filter(|port| !taken.contains(port) && !KNOWN.contains(port))
}

/// The ports of the host that pods of this Deployment take.
pub(crate) fn host_ports(deployment: &Deployment) -> BTreeSet<u16> {
    let all = listeners(kinds::DEPLOYMENT, &deployment.metadata, &deployment.spec.template);
    all.into_iter().map(|listener| listener.port).collect()
}

/// The listeners of CSI and of Ceph with their pods, those of others without, and what was not seen.
type Everyone<'s> = (Vec<Listener<'s>>, Vec<Listener<'s>>, Vec<Unknown>);

fn everyone<'s>(facts: &Facts<'s>) -> Result<Everyone<'s>, Gap> {
    let ((plugins, rows), daemons) = both(both(plugins(facts), facts.csi_pods()), of_daemons(facts).settled())?;
    let mut all: Vec<Listener<'s>> = plugins.iter().flat_map(|plugin| of_plugin(*plugin, rows)).collect();
    let blind = match daemons {
        Ok(daemons) => {
            all.extend(daemons);
            None
        }
        Err(unknown) => Some(unknown),
    };
    Ok((all, foreign(facts, &plugins)?, blind.into_iter().collect()))
}

/// Finds the pods of these listeners and adds them to the others.
fn place<'s>(
    facts: &Facts<'s>,
    rivals: impl IntoIterator<Item = Listener<'s>>,
    all: &mut Vec<Listener<'s>>,
) -> Result<Vec<Unknown>, Gap> {
    let rivals = facts.each(rivals, |facts, rival| rival.rows(facts))?;
    for (mut rival, rows) in rivals.seen {
        rival.pods = rows;
        all.push(rival);
    }
    Ok(rivals.blind)
}

/// Those of monitors, mgr and gateways, where the cluster is on the host network. OSDs and MDS take any free port.
fn of_daemons<'s>(facts: &Facts<'s>) -> Result<Vec<Listener<'s>>, Gap> {
    let cluster = facts.cluster()?;
    let on_host = facts.ceph_cluster()?.spec.network.is_host();
    if cluster.external || !on_host {
        return Ok(Vec::new());
    }
    let few = facts.list::<Deployment>(Some(&cluster.ns), Select::label("app in (rook-ceph-mgr,rook-ceph-rgw)"));
    let rows = both(both(facts.mon_pods(), facts.mgr_pods()), facts.rgw_pods());
    let ((mons, few), ((mon_rows, mgr_rows), rgw_rows)) = both(both(facts.mon_deployments(), few), rows)?;
    let rows: Vec<&PodRow> = [mon_rows, mgr_rows, rgw_rows].into_iter().flatten().collect();
    let of = |deployment: &'s Deployment| {
        let pods = rows.iter().copied().filter(|row| row.is_of_deployment(&deployment.metadata.name));
        let pods: Vec<&PodRow> = pods.collect();
        let listeners = listeners(kinds::DEPLOYMENT, &deployment.metadata, &deployment.spec.template);
        listeners.into_iter().map(move |listener| Listener { is_ceph: true, pods: pods.clone(), ..listener })
    };
    Ok(mons.iter().chain(few).flat_map(of).collect())
}

fn of_plugin<'s>(plugin: Plugin<'s>, rows: &'s [PodRow]) -> Vec<Listener<'s>> {
    let pods: Vec<&PodRow> = rows.iter().filter(|row| plugin.owns(row)).collect();
    let mut listeners = listeners(plugin.kind, plugin.metadata, plugin.template);
    for listener in &mut listeners {
        listener.plugin = Some(plugin);
        listener.pods.clone_from(&pods);
    }
    listeners
}

fn foreign<'s>(facts: &Facts<'s>, plugins: &[Plugin<'_>]) -> Result<Vec<Listener<'s>>, Gap> {
    let is_plugin = |set: &DaemonSet| plugins.iter().any(|plugin| plugin.metadata.uid == set.metadata.uid);
    let foreign = facts.daemon_sets()?.iter().filter(|set| !is_plugin(set));
    Ok(foreign.flat_map(|set| listeners(kinds::DAEMON_SET, &set.metadata, &set.spec.template)).collect())
}

/// The TCP ports of the host that pods of this template take, each once.
fn listeners<'s>(kind: Kind, metadata: &'s Meta, template: &'s Template) -> Vec<Listener<'s>> {
    let on_host = template.spec.host_network;
    let mut listeners: Vec<Listener<'s>> = Vec::new();
    let mut add = |container: &'s str, port: u16, says: String, declared: bool| match listeners
        .iter_mut()
        .find(|listener| listener.port == port)
    {
        Some(known) => {
            known.says.push(says);
            known.declared |= declared;
        }
        None => {
            let (plugin, is_ceph, pods, victims, says) = (None, false, Vec::new(), Vec::new(), vec![says]);
            listeners.push(Listener {
                kind,
                metadata,
                plugin,
                is_ceph,
                container,
                port,
                says,
                declared,
                pods,
                victims,
            });
        }
    };
    for container in &template.spec.containers {
        for port in container.ports.iter().filter(|port| matches!(port.protocol.as_str(), "" | "TCP")) {
            match if on_host { port.container_port } else { port.host_port } {
                0 => {}
                number => add(&container.name, number, format!("containerPort {number}"), true),
            }
        }
        for flag in PORT_FLAGS.iter().filter(|_| on_host) {
            let number = container.flag(flag).and_then(|value| value.rsplit(':').next()?.parse().ok());
            if let Some(number) = number {
                add(&container.name, number, format!("{flag}={number}"), false);
            }
        }
    }
    listeners
}

/// Finds pods that the scheduler, or the kubelet, refused for the port.
fn find_refused(facts: &Facts<'_>, all: &mut [Listener<'_>]) -> Result<Vec<Unknown>, Gap> {
    let mut suspects = Vec::new();
    for (at, listener) in all.iter().enumerate().filter(|(_, listener)| listener.declared) {
        let refused = |row: &&&PodRow| row.status == "NodePorts" || (row.is_pending() && row.node.is_empty());
        suspects.extend(listener.pods.iter().filter(refused).map(|row| (at, *row)));
    }
    let pods = facts.each(suspects, |facts, (at, row)| facts.pod(&all[*at].metadata.namespace, &row.name))?;
    for ((at, row), pod) in pods.seen {
        if let Some(evidence) = refusal(pod) {
            let node = meant_for(pod).unwrap_or(&row.node).to_owned();
            all[at].victims.push(Victim { row, node, evidence });
        }
    }
    Ok(pods.blind)
}

/// The scheduler's words on the pod itself, which are always the newest; or the kubelet's.
fn refusal(pod: &Pod) -> Option<Evidence> {
    let object = ObjectRef::pod(pod);
    let scheduled = condition(&pod.status.conditions, "PodScheduled").filter(|it| it.message.contains(NO_FREE_PORT));
    if let Some(scheduled) = scheduled {
        let evidence = Evidence::field(&object, "status.conditions[PodScheduled]", &scheduled.message);
        return Some(evidence.at(scheduled.last_transition_time));
    }
    (pod.status.reason == "NodePorts").then(|| Evidence::field(&object, "status.message", &pod.status.message))
}

/// The node that the DaemonSet controller made this pod for.
pub(super) fn meant_for(pod: &Pod) -> Option<&str> {
    let terms = "/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    let fields = pod.spec.affinity.pointer(terms)?.as_array()?.iter();
    let mut names = fields.filter_map(|term| term.pointer("/matchFields/0/values/0")?.as_str());
    names.next()
}

/// Finds listeners that say in their log that they cannot bind.
fn find_unbound(facts: &Facts<'_>, all: &mut [Listener<'_>]) -> Result<Vec<Unknown>, Gap> {
    let mut suspects = Vec::new();
    for (at, listener) in all.iter().enumerate().filter(|(_, listener)| listener.plugin.is_some()) {
        let crashing = |row: &&&PodRow| !row.is_well() && !row.node.is_empty() && row.status != "Terminating";
        suspects.extend(listener.pods.iter().filter(crashing).map(|row| (at, *row)));
    }
    let logs = facts.each(suspects, |facts, (at, row)| bind_error(facts, &all[*at], row))?;
    for ((at, row), error) in logs.seen {
        if let Some(evidence) = error {
            all[at].victims.push(Victim { row, node: row.node.clone(), evidence });
        }
    }
    Ok(logs.blind)
}

fn bind_error(facts: &Facts<'_>, listener: &Listener<'_>, row: &PodRow) -> Result<Option<Evidence>, Gap> {
    let words = format!(":{}: bind: address already in use", listener.port);
    let ns = &listener.metadata.namespace;
    let now = quote(ns, &row.name, listener.container, facts.log(ns, &row.name, listener.container)?, &[&words]);
    if now.is_some() || row.restarts == 0 {
        return Ok(now);
    }
    let before = facts.previous_log(ns, &row.name, listener.container)?;
    Ok(quote(ns, &row.name, listener.container, before, &[&words]))
}

/// The listeners of one port that stand in each other's way; none if they never meet on a node.
fn clash(port: u16, listeners: Vec<Listener<'_>>) -> Option<Clash<'_>> {
    let nodes: Vec<BTreeSet<&str>> = listeners.iter().map(Listener::nodes).collect();
    let refused: Vec<bool> = listeners.iter().map(Listener::is_refused).collect();
    let meets = |at: usize| {
        (0..nodes.len()).any(|other| {
            other != at && (!nodes[at].is_disjoint(&nodes[other]) || (refused[other] && !nodes[at].is_empty()))
        })
    };
    let keep: Vec<bool> = (0..nodes.len()).map(|at| !listeners[at].victims.is_empty() || meets(at)).collect();
    let kept = listeners.into_iter().zip(keep).filter_map(|(listener, keep)| keep.then_some(listener));
    let mut listeners: Vec<_> = kept.collect();
    listeners.sort_by_key(|listener| (listener.kind != kinds::DAEMON_SET, listener.full_name()));
    // Daemons of one cluster that keep each other off a node are the scheduler's matter: MON006, NODE008.
    let among_themselves = listeners.iter().all(|listener| listener.is_ceph);
    (!listeners.is_empty() && !among_themselves).then_some(Clash { port, listeners })
}

impl<'s> Listener<'s> {
    fn rows(&self, facts: &Facts<'s>) -> Result<Vec<&'s PodRow>, Gap> {
        let Some(set) = facts.daemon_sets()?.iter().find(|set| set.metadata.uid == self.metadata.uid) else {
            return Ok(Vec::new());
        };
        let rows = facts.pods_where(&self.metadata.namespace, &set.pod_labels())?;
        Ok(rows.iter().filter(|row| row.is_of_daemon_set(&self.metadata.name)).collect())
    }

    /// The nodes on which its pods hold the port, or try to.
    pub fn nodes(&self) -> BTreeSet<&'s str> {
        let holding = self.pods.iter().filter(|row| !row.node.is_empty() && !OVER.contains(&row.status.as_str()));
        holding.map(|row| row.node.as_str()).collect()
    }

    /// The pods that want the port and have no node, or did not get it there.
    pub fn without(&self) -> impl Iterator<Item = &'s PodRow> {
        self.pods.iter().copied().filter(|row| row.node.is_empty() || row.status == "NodePorts")
    }

    pub fn is_refused(&self) -> bool {
        self.victims.iter().any(Victim::is_refused)
    }

    /// Whether all its pods that hold the port are Ready.
    pub fn is_well(&self) -> bool {
        self.pods.iter().all(|row| row.is_well() || row.node.is_empty())
    }

    pub fn is_csi_addons(&self) -> bool {
        self.container == "csi-addons"
    }

    /// One of its pods, named so that the name lasts.
    pub fn pod_object(&self, row: &PodRow) -> ObjectRef {
        let named = || ObjectRef::pod_row(row, &self.metadata.namespace, self.metadata.name.clone());
        self.plugin.map_or_else(named, |plugin| plugin.pod_object(row))
    }

    pub fn full_name(&self) -> String {
        format!("{} {}/{}", self.kind.kind, self.metadata.namespace, self.metadata.name)
    }

    pub fn object(&self) -> ObjectRef {
        ObjectRef::new(self.kind, &self.metadata.namespace, &self.metadata.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_template_tells_its_host_ports() {
        let container = json!({
            "name": "csi-addons",
            "args": ["--controller-port=9070", "--metricsport", "9080", "--csi-addons-address=$(CSIADDONS_ENDPOINT)"],
            "ports": [{"containerPort": 9070}, {"containerPort": 53, "protocol": "UDP"}, {"containerPort": 80, "hostPort": 8080}],
        });
        let metadata = Meta::default();
        let of = |on_host: bool| {
            let spec = json!({"spec": {"hostNetwork": on_host, "containers": [container]}});
            let template: Template = serde_json::from_value(spec).unwrap();
            let found = listeners(kinds::DAEMON_SET, &metadata, &template);
            found.iter().map(|listener| (listener.port, listener.declared, listener.says.len())).collect::<Vec<_>>()
        };
        assert_eq!(of(true), [(9070, true, 2), (80, true, 1), (9080, false, 1)]);
        assert_eq!(of(false), [(8080, true, 1)]);
    }
}
