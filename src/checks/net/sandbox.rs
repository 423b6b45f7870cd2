//! What the kubelet says when it cannot make a pod's sandbox, and whose fault that is.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{STARTING, daemon_place};
use crate::check::{Evidence, Finding, ObjectRef, Place, Remedy, Severity, Text};
use crate::facts::{Cluster, Facts, Gap, OPEN_AT_MOST, Unknown, kinds};
use crate::objects::kube::{Event, Pod, condition};
use crate::objects::multus::{NetworkAttachment, wanted_networks};
use crate::say;

/// The kubelet's own events stop when the sandbox is made, and its spam filter holds them back for minutes.
const FRESH: SignedDuration = SignedDuration::from_mins(15);
/// What Multus says when the API server refuses its token. Other plugins that ask the API server have other words.
const UNAUTHORIZED: &[&str] = &["error waiting for pod: Unauthorized", "error getting pod: Unauthorized"];
/// What Multus says while the file that its readiness indicator names is absent; the path follows.
pub(crate) const WAITING: &str = "still waiting for readinessindicatorfile @ ";
/// A plugin error is quoted up to here.
const QUOTED: usize = 240;

/// What whereabouts says; a range of host-local is each node's own.
pub(crate) const WHEREABOUTS_FULL: &str = "Could not allocate IP in range";
/// macvlan, ipvlan and vlan name the interface after it.
pub(crate) const NO_MASTER: &str = "failed to lookup master ";
pub(crate) const NO_PLUGIN: &str = "failed to find plugin ";

/// Whom a plugin's error belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Blame {
    /// The plugin of Multus is absent, or does not reach its daemon: NET002, NET003.
    Multus,
    /// The API server refuses the token of Multus: NET004.
    MultusToken,
    /// Multus waits for the file that says that the default network is ready: NET022.
    DefaultNetwork,
    /// The plugin does not reach kube-ovn-cni: OVN003.
    KubeOvnSocket,
    /// A NetworkAttachmentDefinition does not exist: NET005.
    NadMissing,
    /// host-local or whereabouts has no address left: NET009.
    RangeExhausted,
    /// The node has no interface of the master's name: NET013.
    MasterMissing,
    /// The node has no binary of the plugin: NET014.
    PluginMissing,
    /// No other check knows it.
    Nobody,
}

/// Sandboxes that fail on one node with one error.
pub(crate) struct Failure<'s> {
    pub node: String,
    /// The innermost plugin's words, without what differs from pod to pod.
    pub error: String,
    pub blame: Blame,
    /// One of each pod, the newest first.
    pub events: Vec<&'s Event>,
    /// The pods that were looked at and are still stuck.
    pub pods: Vec<&'s Pod>,
}

impl Failure<'_> {
    /// How many of the pods are Rook's.
    pub fn of_rook(&self, cluster: &Cluster) -> usize {
        let ours = |ns: &String| *ns == cluster.ns || *ns == cluster.operator_ns;
        self.events.iter().filter(|event| ours(&event.involved_object.namespace)).count()
    }

    /// `3 pods (1 of Rook)`
    pub fn victims(&self, cluster: &Cluster) -> Text {
        let (pods, rooks) = (self.events.len(), self.of_rook(cluster));
        match pods {
            1 => say!("1 pod ({} of Rook)", rooks),
            pods => say!("{} pods ({} of Rook)", pods, rooks),
        }
    }

    pub fn node_name(&self) -> Text {
        if self.node.is_empty() { say!("a node") } else { say!("{}", self.node) }
    }

    /// The node, or a pod where no event names one.
    pub fn object(&self) -> ObjectRef {
        let about = self.events.first().map(|event| &event.involved_object);
        match about.filter(|_| self.node.is_empty()) {
            Some(about) => ObjectRef::new(kinds::POD, &about.namespace, &about.name),
            None => ObjectRef::node(&self.node),
        }
    }

    /// A finding about the node, with the pods that it hurts.
    pub fn finding(&self, cluster: &Cluster, object: ObjectRef, summary: Text, remedy: Remedy) -> Finding {
        let severity = if self.of_rook(cluster) > 0 { Severity::Critical } else { Severity::Warning };
        Finding::new(severity, object, summary, remedy)
            .at(Some(&self.node).filter(|node| !node.is_empty()).map(Place::node))
            .at(self.pods.iter().filter_map(|pod| daemon_place(pod)))
            .since(self.events.iter().filter_map(|event| event.first_seen()).min())
            .evidence(self.events.iter().take(2).map(|event| Evidence::event(event)))
    }

    /// The NAD that Multus was adding when it failed, of those that the pod asked for.
    pub fn network<'n>(&self, attachments: &'n [NetworkAttachment]) -> Option<&'n NetworkAttachment> {
        let message = &self.events.first()?.message;
        let name = quoted_after(message, "error adding container to network ")?;
        let pod = self.pods.first()?;
        let wanted = wanted_networks(pod).unwrap_or_default();
        let asked = |nad: &&NetworkAttachment| wanted.iter().any(|wanted| wanted.full_name() == nad.full_name());
        attachments.iter().filter(asked).find(|nad| nad.cni_name() == name)
    }
}

/// Every NAD; none where Multus is not installed, as sandboxes fail there too.
pub(crate) fn attachments<'s>(facts: &Facts<'s>) -> Result<&'s [NetworkAttachment], Gap> {
    if facts.installed(kinds::NETWORK_ATTACHMENT)? { facts.network_attachments() } else { Ok(&[]) }
}

/// The word in quotation marks right after this text.
pub(crate) fn quoted_after<'t>(text: &'t str, before: &str) -> Option<&'t str> {
    let rest = text.split_once(before)?.1.trim_start_matches('\\').strip_prefix('"')?;
    Some(rest.split(['"', '\\']).next().unwrap_or_default()).filter(|word| !word.is_empty())
}

/// The groups of sandbox failures that go on now, and the pods that could not be looked at to tell.
pub(crate) struct Failures<'s> {
    pub groups: Vec<Failure<'s>>,
    pub blind: Vec<Unknown>,
}

impl<'s> Failures<'s> {
    pub fn blamed_on(self, blame: Blame) -> impl Iterator<Item = Failure<'s>> {
        self.groups.into_iter().filter(move |failure| failure.blame == blame)
    }
}

/// Whether the daemon that an error blames had time to serve. Until then the errors are from before its start,
/// and the kubelet tries again by itself.
pub(crate) fn is_settled(daemon: &Pod, now: Timestamp) -> bool {
    let changed = condition(&daemon.status.conditions, "Ready").and_then(|ready| ready.last_transition_time);
    changed.is_none_or(|changed| now.duration_since(changed) >= STARTING)
}

/// Sandbox failures of the last minutes, by node and innermost error. An event is old news once the pod has
/// its sandbox, so a few pods of each group are opened.
pub(crate) fn failures<'s>(facts: &Facts<'s>) -> Result<Failures<'s>, Gap> {
    let groups = group(facts.sandbox_events()?, facts.now());
    // The first pod of every group comes before the second of any, as only so many are opened.
    let suspects: Vec<(usize, &Event)> = (0..3)
        .flat_map(|nth| groups.iter().enumerate().filter_map(move |(at, group)| Some((at, *group.events.get(nth)?))))
        .take(OPEN_AT_MOST.max(groups.len()))
        .collect();
    let opened = facts.each(suspects, |facts, (_, event)| {
        let about = &event.involved_object;
        facts.object::<Pod>(&about.namespace, &about.name)
    })?;
    let stuck = |at: usize| -> Vec<&Pod> {
        let of_it = opened.seen.iter().filter(|((of, _), _)| *of == at);
        of_it.filter_map(|((_, event), pod)| pod.filter(|pod| is_stuck(event, pod, facts.now()))).collect()
    };
    let stuck: Vec<Vec<&Pod>> = (0..groups.len()).map(stuck).collect();
    let groups = groups.into_iter().zip(stuck).map(|(group, pods)| Failure { pods, ..group });
    Ok(Failures { groups: groups.filter(|group| !group.pods.is_empty()).collect(), blind: opened.blind })
}

/// A pod of the same name made since (of a StatefulSet) is another pod.
/// A failure that a second try mends is not one.
fn is_stuck(event: &Event, pod: &Pod, now: Timestamp) -> bool {
    let uid = &event.involved_object.uid;
    pod.unready_since().is_none_or(|since| now.duration_since(since) >= STARTING)
        && (uid.is_empty() || pod.metadata.uid == *uid)
        && pod.metadata.deletion_timestamp.is_none()
        && !pod.is_ready()
        && !pod.has_sandbox()
}

fn group(events: &[Event], now: Timestamp) -> Vec<Failure<'_>> {
    let fresh = |event: &&Event| event.last_seen().is_some_and(|seen| now.duration_since(seen) <= FRESH);
    let mut events: Vec<&Event> = events.iter().filter(fresh).collect();
    events.sort_by_key(|event| std::cmp::Reverse(event.last_seen()));
    let mut groups: BTreeMap<(String, String), Failure<'_>> = BTreeMap::new();
    for event in events {
        let (error, blame) = decode(event);
        let key = (event.node().to_owned(), error.clone());
        let new = Failure { node: event.node().to_owned(), error, blame, events: Vec::new(), pods: Vec::new() };
        let group = groups.entry(key).or_insert(new);
        if group.events.iter().all(|other| !same_pod(other, event)) {
            group.events.push(event);
        }
    }
    groups.into_values().collect()
}

fn same_pod(a: &Event, b: &Event) -> bool {
    let (a, b) = (&a.involved_object, &b.involved_object);
    (&a.namespace, &a.name) == (&b.namespace, &b.name)
}

/// The innermost error of an event, and whose it is.
fn decode(event: &Event) -> (String, Blame) {
    let about = &event.involved_object;
    let inner = innermost(&event.message);
    let error = inner.replace(&format!("{}/{}", about.namespace, about.name), "<pod>").replace(&about.name, "<pod>");
    let refused = UNAUTHORIZED.iter().any(|sign| inner.contains(sign));
    let multus = ["multus.sock", "Daemon not reachable over socketfile", "failed to find plugin \"multus"];
    let blame = if refused || (missing_nad(inner).is_some() && inner.contains("): Unauthorized")) {
        Blame::MultusToken
    } else if inner.contains(WAITING) {
        Blame::DefaultNetwork
    } else if multus.iter().any(|sign| inner.contains(sign)) {
        Blame::Multus
    } else if inner.contains("kube-ovn-daemon.sock") {
        Blame::KubeOvnSocket
    } else if missing_nad(inner).is_some() {
        Blame::NadMissing
    } else if inner.contains("no IP addresses available in range set") || inner.contains(WHEREABOUTS_FULL) {
        Blame::RangeExhausted
    } else if inner.contains(NO_MASTER) && inner.contains("not found") {
        Blame::MasterMissing
    } else if inner.contains(NO_PLUGIN) {
        Blame::PluginMissing
    } else {
        Blame::Nobody
    };
    (error.chars().take(QUOTED).collect(), blame)
}

/// What the last plugin of the chain said: kubelet, runtime, Multus and its shim each wrap the error once more.
fn innermost(message: &str) -> &str {
    let mut inner = message;
    for wrapper in ["failed (add): ", "CNI request failed with status 400: '", "CmdAdd (shim): ", "networking: "] {
        inner = inner.rsplit_once(wrapper).map_or(inner, |(_, inner)| inner);
    }
    if inner.len() == message.len() {
        inner = inner.split_once("failed to setup network for sandbox ").map_or(inner, |(_, inner)| inner);
        inner = inner.split_once("\": ").map_or(inner, |(_, inner)| inner);
    }
    // The daemon quotes its own configuration after the error.
    inner = inner.split("': StdinData:").next().unwrap_or(inner).trim();
    inner = inner.strip_prefix("Multus: ").unwrap_or(inner);
    // `[namespace/pod/uid]: ` names the pod, which the event does already.
    if let Some((_, rest)) = inner.split_once("]: ").filter(|_| inner.starts_with('[')) {
        inner = rest;
    }
    inner.trim().trim_end_matches('\'').trim()
}

/// The provider of Kube-OVN whose Subnets gave a pod no address.
pub(crate) fn without_address(error: &str) -> Option<&str> {
    let rest = error.split_once("no address allocated to pod ")?.1.split_once(" provider ")?.1;
    rest.split([',', ' ']).next()
}

/// The namespace and the name of a NetworkAttachmentDefinition that Multus did not find.
pub(crate) fn missing_nad(error: &str) -> Option<(&str, &str)> {
    let rest = error.split_once("cannot find a network-attachment-definition (")?.1;
    let (name, rest) = rest.split_once(')')?;
    let rest = rest.split_once("namespace (")?.1;
    Some((rest.split_once(')')?.0, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(message: &str) -> Event {
        let mut event = Event { message: message.into(), ..Event::default() };
        event.involved_object.namespace = "apps".into();
        event.involved_object.name = "web-0".into();
        event
    }

    #[test]
    fn the_innermost_error_is_found_and_blamed() {
        for (message, error, blame) in [
            (
                r#"Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox "3eb2": plugin type="multus-shim" name="multus-cni-network" failed (add): CmdAdd (shim): failed to send CNI request: Post "http://dummy/cni": dial unix /run/multus/multus.sock: connect: no such file or directory"#,
                r#"failed to send CNI request: Post "http://dummy/cni": dial unix /run/multus/multus.sock: connect: no such file or directory"#,
                Blame::Multus,
            ),
            (
                r#"Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox "3eb2": plugin type="multus" name="multus-cni-network" failed (add): [apps/web-0/60ea:kube-ovn]: error adding container to network "kube-ovn": plugin type="kube-ovn" failed (add): RPC failed; Post "http://dummy/api/v1/add": dial unix /run/openvswitch/kube-ovn-daemon.sock: connect: connection refused"#,
                r#"RPC failed; Post "http://dummy/api/v1/add": dial unix /run/openvswitch/kube-ovn-daemon.sock: connect: connection refused"#,
                Blame::KubeOvnSocket,
            ),
            (
                r#"failed to setup network for sandbox "3eb2": plugin type="multus-shim" name="multus-cni-network" failed (add): CmdAdd (shim): CNI request failed with status 400: 'ContainerID:"3eb2" Netns:"x" [apps/web-0/60ea:storage]: error adding container to network "storage": plugin type="macvlan" failed (add): failed to lookup master "eth1": Link not found'"#,
                r#"failed to lookup master "eth1": Link not found"#,
                Blame::MasterMissing,
            ),
            (
                r#"failed to setup network for sandbox "3eb2": plugin type="multus" name="multus-cni-network" failed (add): Multus: [apps/web-0/60ea]: error loading k8s delegates k8s args: TryLoadPodDelegates: error in getting k8s network for pod: GetNetworkDelegates: failed getting the delegate: getKubernetesDelegate: cannot find a network-attachment-definition (public) in namespace (apps): network-attachment-definitions.k8s.cni.cncf.io "public" not found"#,
                r#"error loading k8s delegates k8s args: TryLoadPodDelegates: error in getting k8s network for pod: GetNetworkDelegates: failed getting the delegate: getKubernetesDelegate: cannot find a network-attachment-definition (public) in namespace (apps): network-attachment-definitions.k8s.cni.cncf.io "public" not found"#,
                Blame::NadMissing,
            ),
            (
                r#"failed to setup network for sandbox "3eb2": plugin type="multus" name="multus-cni-network" failed (add): Multus: [apps/web-0/60ea]: error waiting for pod: Unauthorized"#,
                "error waiting for pod: Unauthorized",
                Blame::MultusToken,
            ),
            (
                r#"failed to setup network for sandbox "3eb2": plugin type="multus-shim" name="multus-cni-network" failed (add): CmdAdd (shim): CNI request failed with status 400: 'ContainerID:"3eb2" Netns:"x" Path:"" ERRORED: error configuring pod [apps/web-0] networking: Multus: [apps/web-0/60ea]: error getting pod: Unauthorized
': StdinData: {"clusterNetwork":"x"}"#,
                "error getting pod: Unauthorized",
                Blame::MultusToken,
            ),
            (
                r#"failed to setup network for sandbox "3eb2": plugin type="calico" failed (add): error getting ClusterInformation: connection is unauthorized: Unauthorized"#,
                "error getting ClusterInformation: connection is unauthorized: Unauthorized",
                Blame::Nobody,
            ),
            (
                r#"failed to setup network for sandbox "3eb2": plugin type="multus" name="multus-cni-network" failed (add): Multus: [apps/web-0/60ea]: have you checked that your default network is ready? still waiting for readinessindicatorfile @ /host/run/flannel/subnet.env. pollimmediate error: timed out waiting for the condition"#,
                "have you checked that your default network is ready? still waiting for readinessindicatorfile @ /host/run/flannel/subnet.env. pollimmediate error: timed out waiting for the condition",
                Blame::DefaultNetwork,
            ),
            (
                r#"failed to setup network for sandbox "3eb2": plugin type="multus" name="multus-cni-network" failed (add): [apps/web-0/60ea:storage]: error adding container to network "storage": plugin type="macvlan" failed (add): error at storage engine: Could not allocate IP in range: ip: 10.0.0.1 / - 10.0.0.6 / range: 10.0.0.0/29 / excludeRanges: []"#,
                "error at storage engine: Could not allocate IP in range: ip: 10.0.0.1 / - 10.0.0.6 / range: 10.0.0.0/29 / excludeRanges: []",
                Blame::RangeExhausted,
            ),
            (
                r#"failed to setup network for sandbox "3eb2": plugin type="bridge" name="cbr0" failed (add): failed to allocate for range 0: no IP addresses available in range set: 10.244.1.1-10.244.1.254"#,
                "failed to allocate for range 0: no IP addresses available in range set: 10.244.1.1-10.244.1.254",
                Blame::RangeExhausted,
            ),
            (
                r#"failed to setup network for sandbox "3eb2": failed to find plugin "bridge" in path [/opt/cni/bin]"#,
                r#"failed to find plugin "bridge" in path [/opt/cni/bin]"#,
                Blame::PluginMissing,
            ),
            (
                r#"failed to setup network for sandbox "3eb2": plugin type="kube-ovn" failed (add): RPC failed; request ip return 500 no address allocated to pod apps/web-0 provider ovn"#,
                "RPC failed; request ip return 500 no address allocated to pod <pod> provider ovn",
                Blame::Nobody,
            ),
        ] {
            let (found, whose) = decode(&event(message));
            assert_eq!((found.as_str(), whose), (&error[..error.len().min(QUOTED)], blame));
        }
        assert_eq!(
            missing_nad("cannot find a network-attachment-definition (public) in namespace (apps): x"),
            Some(("apps", "public"))
        );
    }
}
