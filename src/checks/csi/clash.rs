//! What it means that two workloads want one port of a node.

use std::collections::BTreeSet;

use super::Plugin;
use super::csi_addons_port_conflict::port_key;
use super::ports::{Listener, Victim};
use crate::check::{Evidence, Finding, ObjectRef, Place, Remedy, Severity, Text};
use crate::facts::{Facts, Gap, Select, Settled};
use crate::lang::{Listed, listed};
use crate::objects::kube::{Node, Taint, condition};
use crate::say;

/// At most this many pods or nodes of a workload are named.
const SHOWN: usize = 4;

/// Workloads that want one port of the same nodes.
pub(crate) struct Clash<'s> {
    pub port: u16,
    /// DaemonSets first, never empty. A single one lost its port to something that no template shows.
    pub listeners: Vec<Listener<'s>>,
}

/// What a clash takes away, the worst first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Loss {
    Mounts,
    Volumes,
    Pods,
    Sidecars,
    Nothing,
}

impl Clash<'_> {
    /// Whether either side is a CSI-Addons sidecar.
    pub fn is_csi_addons(&self) -> bool {
        self.listeners.iter().any(Listener::is_csi_addons)
    }

    pub fn is_of_csi_operator(&self) -> bool {
        self.plugins().any(|plugin| plugin.is_of_csi_operator())
    }

    /// Whether either side serves metrics, which can be switched off.
    pub fn has_metrics(&self) -> bool {
        self.listeners.iter().any(|listener| listener.container == "liveness-prometheus")
    }

    /// Whether something else than the drivers' workloads is part of it.
    pub fn is_foreign(&self) -> bool {
        self.listeners.len() == 1 || self.listeners.iter().any(|listener| listener.plugin.is_none())
    }

    pub fn plugins(&self) -> impl Iterator<Item = Plugin<'_>> {
        self.listeners.iter().filter_map(|listener| listener.plugin)
    }

    /// The provisioners whose CSI-Addons sidecars are part of it, and can be given other ports in the classic layout.
    pub fn provisioners(&self) -> impl Iterator<Item = Plugin<'_>> {
        let movable = |plugin: &Plugin<'_>| port_key(plugin).is_some();
        let sidecars = self.listeners.iter().filter(|listener| listener.is_csi_addons());
        sidecars.filter_map(|listener| listener.plugin).filter(movable)
    }

    /// Whether nobody is in anybody's way once the provisioners have moved.
    pub fn ends_without_provisioners(&self) -> bool {
        let stays = |listener: &&Listener<'_>| {
            !(listener.is_csi_addons() && listener.plugin.as_ref().is_some_and(|plugin| port_key(plugin).is_some()))
        };
        let stay: Vec<&Listener<'_>> = self.listeners.iter().filter(stays).collect();
        match stay.as_slice() {
            _ if stay.len() == self.listeners.len() => false,
            // Whoever stays alone and lost the port, lost it to one that moves, or to what no template shows.
            [] | [_] => true,
            [..] => false,
        }
    }

    /// `DaemonSet rook-ceph/csi-rbdplugin and Deployment rook-ceph/csi-rbdplugin-provisioner`
    pub fn names(&self) -> Listed {
        let mut names: Vec<Text> = self.listeners.iter().map(|listener| say!("{}", listener.object())).collect();
        if names.len() == 1 {
            names.push(say!("something that no DaemonSet and no CSI Deployment shows"));
        }
        listed(names)
    }

    /// Whether fewer pods would end it: where only controllers are part of it, each may have a node of its own. None
    /// where a DaemonSet is, which has a pod on every node, or where there are not enough nodes.
    pub fn room_apart(&self, facts: &Facts<'_>) -> Result<Option<Text>, Gap> {
        let controllers: Vec<Plugin<'_>> = self.plugins().filter(Plugin::is_controller).collect();
        if controllers.len() < 2 || controllers.len() != self.listeners.len() {
            return Ok(None);
        }
        let Ok(nodes) = facts.list::<Node>(None, Select::all()).settled()? else { return Ok(None) };
        let fit = nodes.iter().filter(|node| controllers.iter().all(|it| takes(node, it))).count();
        let pods: usize = controllers.iter().map(|it| usize::try_from(it.wanted).unwrap_or_default()).sum();
        let least = controllers.len();
        Ok((least <= fit).then(|| {
            say!(
                "{} pods want port {}, {} nodes can take them, and no node can take two: with controllerPlugin.replicas: 1 in the Drivers there would be {}, which is enough room, but no second one that takes over",
                pods,
                self.port,
                fit,
                least
            )
        }))
    }

    pub fn finding(&self, remedy: Remedy) -> Option<Finding> {
        let loss = self.listeners.iter().map(loss).min().unwrap_or(Loss::Nothing);
        let severity = match loss {
            Loss::Mounts | Loss::Volumes => Severity::Critical,
            // Listeners that all run have different addresses, or do not open what they declare.
            Loss::Nothing if self.listeners.iter().all(Listener::is_well) => Severity::Info,
            _ => Severity::Warning,
        };
        let objects: Vec<ObjectRef> = self.listeners.iter().map(Listener::object).collect();
        let (first, rest) = objects.split_first()?;
        let pods = self.victims().map(|(listener, victim)| listener.pod_object(victim.row));
        let finding = Finding::new(severity, first.clone(), self.summary(loss), remedy)
            .also(rest.iter().cloned())
            .also(pods)
            .detail(self.port.to_string())
            .at(self.nodes().into_iter().map(Place::node))
            // One pod of each speaks for its siblings.
            .evidence(self.listeners.iter().filter_map(|listener| Some(listener.victims.first()?.evidence.clone())))
            .evidence(self.listeners.iter().map(template));
        Some(finding)
    }

    fn victims(&self) -> impl Iterator<Item = (&Listener<'_>, &Victim<'_>)> {
        self.listeners.iter().flat_map(|listener| listener.victims.iter().map(move |victim| (listener, victim)))
    }

    /// Where a pod is without its port; where nobody lost it yet, where they meet.
    pub fn nodes(&self) -> BTreeSet<String> {
        if self.victims().next().is_some() {
            let nodes = self.victims().map(|(_, victim)| victim.node.clone());
            return nodes.filter(|node| !node.is_empty()).collect();
        }
        let mut met = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for node in self.listeners.iter().flat_map(Listener::nodes) {
            if !seen.insert(node) {
                met.insert(node.to_owned());
            }
        }
        met
    }

    /// Names of the drivers whose listeners suffer this loss.
    fn drivers(&self, wanted: Loss) -> Listed {
        let losers = self.listeners.iter().filter(|listener| loss(listener) == wanted);
        let drivers: BTreeSet<&str> =
            losers.filter_map(|listener| listener.plugin.as_ref().map(Plugin::driver)).collect();
        listed(drivers)
    }

    fn summary(&self, worst: Loss) -> Text {
        let (port, names) = (self.port, self.names());
        let nodes = self.nodes();
        let nodes = if nodes.is_empty() { listed([say!("some nodes")]) } else { listed(nodes) };
        match worst {
            Loss::Mounts => say!(
                "port {} of the host is wanted by {}: the node plugin cannot start on {}, where no volume of {} can be mounted",
                port,
                names,
                nodes,
                self.drivers(worst)
            ),
            Loss::Volumes => say!(
                "port {} of the host is wanted by {}: no volume of {} can be created, deleted, resized or attached",
                port,
                names,
                self.drivers(worst)
            ),
            Loss::Pods => say!("port {} of the host is wanted by {}: some of their pods cannot start", port, names),
            Loss::Sidecars => say!(
                "port {} of the host is wanted by {}: container {} cannot bind on {}; volumes still work",
                port,
                names,
                self.crashing(),
                nodes
            ),
            Loss::Nothing => say!(
                "port {} of the host is wanted by {}, which share {}: the one that starts second cannot bind",
                port,
                names,
                nodes
            ),
        }
    }

    fn crashing(&self) -> Listed {
        let containers: BTreeSet<&str> = self.victims().map(|(listener, _)| listener.container).collect();
        listed(containers)
    }
}

/// Whether a node is ready for pods of this plugin, by its taints and its labels; affinities are not looked at.
fn takes(node: &Node, plugin: &Plugin<'_>) -> bool {
    let spec = &plugin.template.spec;
    let ready = condition(&node.status.conditions, "Ready").is_some_and(|ready| ready.status == "True");
    let selected = spec.node_selector.iter().all(|(key, value)| node.metadata.labels.get(key) == Some(value));
    let tolerated = |taint: &Taint| {
        spec.tolerations.iter().any(|it| {
            let key = it.key.is_empty() || it.key == taint.key;
            let value = it.operator == "Exists" || it.value == taint.value;
            key && value && (it.effect.is_empty() || it.effect == taint.effect)
        })
    };
    let open = node.spec.taints.iter().all(|taint| taint.effect == "PreferNoSchedule" || tolerated(taint));
    ready && !node.spec.unschedulable && selected && open
}

fn loss(listener: &Listener<'_>) -> Loss {
    match listener.plugin {
        _ if listener.victims.is_empty() => Loss::Nothing,
        _ if !listener.is_refused() => Loss::Sidecars,
        None => Loss::Pods,
        Some(plugin) if !plugin.is_controller() => Loss::Mounts,
        Some(_) if listener.nodes().is_empty() => Loss::Volumes,
        Some(_) => Loss::Pods,
    }
}

/// What the template asks for, and how its pods fare.
fn template(listener: &Listener<'_>) -> Evidence {
    let mut words = listener.says.clone();
    let lost: Vec<&str> = listener.victims.iter().map(|victim| victim.row.name.as_str()).collect();
    let nodes: Vec<&str> = listener.nodes().into_iter().collect();
    for (what, names) in [("runs on", nodes), ("without it", lost)] {
        if !names.is_empty() {
            let more = if names.len() > SHOWN { ", …" } else { "" };
            words.push(format!("{what}: {}{more}", names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ")));
        }
    }
    Evidence::field(&listener.object(), format!("host port of container {}", listener.container), words.join("; "))
}
