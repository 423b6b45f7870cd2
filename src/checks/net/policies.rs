//! What NetworkPolicies let pass between two pods, as the API defines it: a pod that no policy selects is open; one
//! that some select takes what any of them admits. Where something is not known, a policy admits.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use crate::objects::kube::{IpBlock, LabelSelector, NetworkPolicy, Pod, PolicyPeer, PolicyPort, PolicyRule};

/// Every namespace carries its own name in this label.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Ingress,
    Egress,
}

impl Direction {
    pub fn word(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    pub fn rules(self, policy: &NetworkPolicy) -> &[PolicyRule] {
        match self {
            Self::Ingress => &policy.spec.ingress,
            Self::Egress => &policy.spec.egress,
        }
    }

    /// Whether the policy has a say in this direction. Without `policyTypes` it always has for ingress, and for
    /// egress if it has such rules.
    fn is_governed_by(self, policy: &NetworkPolicy) -> bool {
        let types = &policy.spec.policy_types;
        match self {
            Self::Ingress => types.is_empty() || types.iter().any(|it| it == "Ingress"),
            Self::Egress if types.is_empty() => !policy.spec.egress.is_empty(),
            Self::Egress => types.iter().any(|it| it == "Egress"),
        }
    }
}

/// A connection that some pod needs to open.
#[derive(Clone, Copy)]
pub(crate) struct Leg<'p> {
    pub from: &'p Pod,
    pub to: &'p Pod,
    /// One port of these is enough.
    pub ports: &'p [RangeInclusive<u16>],
}

/// The policies that together keep a connection from being made, and on which side; none if it may be.
pub(crate) fn blockers<'p>(
    policies: &[&'p NetworkPolicy],
    leg: Leg<'_>,
) -> Option<(Direction, Vec<&'p NetworkPolicy>)> {
    // The network of its host is beyond any policy, and what comes from there or goes there is matched by address.
    if leg.from.spec.host_network || leg.to.spec.host_network {
        return None;
    }
    [(Direction::Egress, leg.from, leg.to), (Direction::Ingress, leg.to, leg.from)].into_iter().find_map(
        |(direction, own, other)| {
            let isolating: Vec<&NetworkPolicy> =
                policies.iter().copied().filter(|it| direction.is_governed_by(it) && selects(it, own)).collect();
            let admits = |policy: &&NetworkPolicy| {
                direction.rules(policy).iter().any(|rule| {
                    admits_peer(rule, &policy.metadata.namespace, other) && admits_port(rule, leg.to, leg.ports)
                })
            };
            let blocked = !isolating.is_empty() && !isolating.iter().any(admits);
            blocked.then_some((direction, isolating))
        },
    )
}

fn selects(policy: &NetworkPolicy, pod: &Pod) -> bool {
    policy.metadata.namespace == pod.metadata.namespace && policy.spec.pod_selector.matches(&pod.metadata.labels)
}

fn admits_peer(rule: &PolicyRule, ns: &str, pod: &Pod) -> bool {
    rule.peers.is_empty() || rule.peers.iter().any(|peer| is_peer(peer, ns, pod))
}

fn is_peer(peer: &PolicyPeer, ns: &str, pod: &Pod) -> bool {
    if let Some(block) = &peer.ip_block {
        return is_within(block, &pod.status.pod_ip);
    }
    let there = &pod.metadata.namespace;
    let namespace = peer.namespace_selector.as_ref().map_or(there == ns, |selector| may_select(selector, there));
    namespace && peer.pod_selector.as_ref().is_none_or(|selector| selector.matches(&pod.metadata.labels))
}

/// Whether a selector may mean the namespace of this name. Its other labels are not read.
fn may_select(selector: &LabelSelector, ns: &str) -> bool {
    let labels = [(NAMESPACE_NAME.to_owned(), ns.to_owned())].into();
    let mut known = selector.clone();
    known.match_labels.retain(|key, _| key == NAMESPACE_NAME);
    known.match_expressions.retain(|requirement| requirement.key == NAMESPACE_NAME);
    known.matches(&labels)
}

fn is_within(block: &IpBlock, ip: &str) -> bool {
    let (Ok(ip), Ok(cidr)) = (ip.parse::<IpAddr>(), block.cidr.parse::<IpNet>()) else { return true };
    let is_excepted = |it: &String| it.parse::<IpNet>().is_ok_and(|except| except.contains(&ip));
    cidr.contains(&ip) && !block.except.iter().any(is_excepted)
}

fn admits_port(rule: &PolicyRule, server: &Pod, wanted: &[RangeInclusive<u16>]) -> bool {
    rule.ports.is_empty() || rule.ports.iter().any(|port| is_port(port, server, wanted))
}

fn is_port(port: &PolicyPort, server: &Pod, wanted: &[RangeInclusive<u16>]) -> bool {
    let is_tcp = |protocol: &str| protocol.is_empty() || protocol == "TCP";
    let overlaps = |first: u16, last: u16| wanted.iter().any(|it| first <= *it.end() && *it.start() <= last);
    if !is_tcp(&port.protocol) {
        return false;
    }
    if let Some(name) = port.port.as_str() {
        let ports = server.spec.containers.iter().flat_map(|container| &container.ports);
        let mut named = ports.filter(|it| it.name == name && is_tcp(&it.protocol));
        return named.any(|it| overlaps(it.container_port, it.container_port));
    }
    match port.port.as_u64().map(u16::try_from) {
        Some(Ok(first)) => overlaps(first, port.end_port.unwrap_or(first)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(ns: &str, app: &str, ip: &str) -> Pod {
        let ports = json!([{"name": "tcp-msgr2", "containerPort": 3300, "protocol": "TCP"}]);
        serde_json::from_value(json!({
            "metadata": {"name": app, "namespace": ns, "labels": {"app": app}},
            "spec": {"containers": [{"name": "c", "ports": ports}]},
            "status": {"podIP": ip},
        }))
        .unwrap()
    }

    fn side(specs: &[Value]) -> Option<Direction> {
        let policies: Vec<NetworkPolicy> = specs
            .iter()
            .map(|spec| {
                serde_json::from_value(json!({"metadata": {"namespace": "rook-ceph", "name": "p"}, "spec": spec}))
                    .unwrap()
            })
            .collect();
        let all: Vec<&NetworkPolicy> = policies.iter().collect();
        let (from, to) = (pod("rook-ceph", "osd", "10.1.0.5"), pod("rook-ceph", "mon", "10.1.0.6"));
        let leg = Leg { from: &from, to: &to, ports: &[3300..=3300, 6789..=6789] };
        blockers(&all, leg).map(|(direction, _)| direction)
    }

    #[test]
    fn rules_admit_as_the_api_says() {
        let mon = json!({"matchLabels": {"app": "mon"}});
        let from = |rule: Value| json!({"podSelector": mon, "policyTypes": ["Ingress"], "ingress": [rule]});
        let peer = |peer: Value| from(json!({"from": [peer]}));
        let port = |port: Value| from(json!({"ports": [port]}));
        let (ingress, open) = (Some(Direction::Ingress), None);
        for (spec, expected) in [
            (json!({"podSelector": {}}), ingress),
            (json!({"podSelector": {}, "policyTypes": ["Egress"]}), Some(Direction::Egress)),
            (json!({"podSelector": {"matchLabels": {"app": "web"}}}), open),
            (
                json!({"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["mon"]}]}}),
                ingress,
            ),
            (
                json!({"podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["mon"]}]}, "policyTypes": ["Ingress"]}),
                open,
            ),
            (json!({"podSelector": mon, "egress": [{"ports": [{"port": 53}]}], "ingress": [{}]}), open),
            (
                json!({"podSelector": {"matchLabels": {"app": "osd"}}, "ingress": [{}], "egress": [{"ports": [{"port": 53, "protocol": "UDP"}]}]}),
                Some(Direction::Egress),
            ),
            (peer(json!({"podSelector": {}})), open),
            (peer(json!({"podSelector": {"matchLabels": {"app": "web"}}})), ingress),
            (peer(json!({"namespaceSelector": {"matchLabels": {NAMESPACE_NAME: "apps"}}})), ingress),
            (peer(json!({"namespaceSelector": {"matchLabels": {"team": "storage"}}})), open),
            (peer(json!({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "osd"}}})), open),
            (
                peer(
                    json!({"namespaceSelector": {"matchExpressions": [{"key": NAMESPACE_NAME, "operator": "Exists"}]}}),
                ),
                open,
            ),
            (peer(json!({"ipBlock": {"cidr": "10.1.0.0/16"}})), open),
            (peer(json!({"ipBlock": {"cidr": "10.1.0.0/16", "except": ["10.1.0.0/24"]}})), ingress),
            (port(json!({"port": 3300})), open),
            (port(json!({"port": 3300, "protocol": "UDP"})), ingress),
            (port(json!({"port": 6000, "endPort": 7000})), open),
            (port(json!({"port": 9283})), ingress),
            (port(json!({"port": "tcp-msgr2"})), open),
            (port(json!({"port": "tcp-msgr1"})), ingress),
            (port(json!({"protocol": "TCP"})), open),
        ] {
            assert_eq!(side(std::slice::from_ref(&spec)), expected, "{spec}");
        }
        // Policies add up.
        assert_eq!(
            side(&[json!({"podSelector": {}, "policyTypes": ["Ingress"]}), peer(json!({"podSelector": {}}))]),
            None
        );
    }
}
