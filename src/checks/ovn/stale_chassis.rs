use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::{leader_log, namespace};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy};
use crate::checks::opr::older;
use crate::facts::{Facts, Gap, LogLine, Settled, both};
use crate::objects::kube::Node;
use crate::say;

check! {
    /// # What it looks at
    /// What the leading kube-ovn-controller says of a node's chassis, its entry in the southbound database: several
    /// for one node, none for the node's annotation `ovn.kubernetes.io/chassis`, or one of a living node that is
    /// collected as garbage. It must have been said over five minutes at least, the last half hour: a node that boots
    /// or joins is without a chassis for a moment.
    ///
    /// # Why it matters
    /// The other nodes build their tunnels by that entry. With two for one host they lead to either, in turns; with
    /// none, pods of that node reach no pod on another. It happens when `/etc/origin/openvswitch` is lost and OVS
    /// takes a new system-id, or when two machines were cloned with the same one.
    ///
    /// # Confirm by hand
    /// In an ovn-central pod `ovn-sbctl --columns=name,hostname list chassis`, on the node
    /// `ovs-vsctl get open . external-ids:system-id`, and the annotation of the Node.
    ///
    /// # Fix
    /// Only the entry that carries the node's real system-id may stay. Delete the ovs-ovn pod of that node, and then
    /// its kube-ovn-cni pod, which writes the annotation anew; the controller deletes what is left over.
    ///
    /// # References
    /// Kube-OVN: pkg/controller/node.go, gc.go (gcChassis), cmd/daemon (initChassisAnno); kube-ovn #745.
    "OVN013" "stale-chassis" Ovn,
    needs: [Discovery, DaemonSets, PodTables, Objects, Logs, Nodes],
    explained_by: [
        (node::node_not_ready, Node), (node::node_rebooted, Node), (ovn::ovn_central_down, Cluster),
        (ovn::ovs_ovn_unhealthy, Node), (ovn::stale_after_reboot, Node),
    ],
}

/// The controller tries again ever more seldom, up to a quarter of an hour apart.
const FRESH: SignedDuration = SignedDuration::from_mins(30);
/// Longer than a boot or a join takes.
const LASTING: SignedDuration = SignedDuration::from_mins(5);

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ns = namespace(facts)?;
    let (leader, nodes) = both(leader_log(facts, ns), facts.nodes())?;
    let Some((pod, log)) = leader else { return Ok(Answered::NotApplicable("no kube-ovn-controller leads")) };
    let mut said: BTreeMap<&str, Vec<&LogLine>> = BTreeMap::new();
    for line in log.lines.iter().filter(|line| line.at.is_some() && !older(facts, line.at, FRESH)) {
        let node = about(&line.text).and_then(|node| nodes.iter().find(|row| row.name == node));
        if let Some(node) = node {
            said.entry(&node.name).or_default().push(line);
        }
    }
    said.retain(|_, lines| lasts(lines));
    let opened = facts.each(said, |facts, (node, _)| facts.object::<Node>("", node).settled())?;
    let findings = opened.seen.into_iter().map(|((node, lines), object)| {
        // The annotation only shows which one is right.
        let annotated = object.ok().flatten().and_then(|it| it.metadata.annotations.get("ovn.kubernetes.io/chassis"));
        finding(ns, pod, node, &lines, annotated)
    });
    Ok(Answered::judged(findings.collect()))
}

fn lasts(lines: &[&LogLine]) -> bool {
    let times = || lines.iter().filter_map(|line| line.at);
    match (times().min(), times().max()) {
        (Some(first), Some(last)) => last.duration_since(first) >= LASTING,
        _ => false,
    }
}

/// The node whose chassis a line of the controller is about, in the words of its releases.
fn about(text: &str) -> Option<&str> {
    let after = |mark: &str| text.split_once(mark).map(|(_, rest)| rest);
    if let Some((before, _)) = text.split_once(" has multiple chassis") {
        return before.rsplit_once("node ").map(|(_, node)| node);
    }
    let collected = after("gc node ").filter(|rest| rest.contains(" chassis "));
    let missing = || after(" not registered for node ").or_else(|| after(" not found for node "));
    let rest = collected
        .or_else(|| missing().filter(|_| text.contains("chassis ")))
        .or_else(|| after("chassis reset, reboot ovs-ovn on this node: "))?;
    rest.split([',', ' ', ':']).next()
}

fn finding(ns: &str, pod: &str, node: &str, lines: &[&LogLine], annotated: Option<&String>) -> Finding {
    let object = ObjectRef::node(node);
    let summary = say!(
        "the chassis of {} in OVN's southbound database is not the node's own, or not the only one: its tunnels to other nodes come and go",
        node
    );
    let on_node = format!("-o wide --field-selector spec.nodeName={node}");
    let remedy = Remedy::guided(say!("compare the chassis of {} with its system-id and its annotation; with ovn-central well, delete the ovs-ovn pod of that node, wait until it is Ready, then its kube-ovn-cni pod; one node at a time", node))
        .command(format!("kubectl -n {ns} exec deploy/ovn-central -- ovn-sbctl --no-leader-only --columns=name,hostname list chassis"))
        .command(format!("kubectl -n {ns} get pods -l app=ovs {on_node}"))
        .command(format!("kubectl -n {ns} get pods -l app=kube-ovn-cni {on_node}"));
    let annotation =
        annotated.map(|id| Evidence::field(&object, "metadata.annotations[ovn.kubernetes.io/chassis]", id));
    let quoted = [lines.first(), lines.last()].into_iter().flatten();
    let quoted: Vec<Evidence> = quoted.map(|line| Evidence::log(ns, pod, "kube-ovn-controller", line)).collect();
    Finding::warning(object, summary, remedy)
        .at([Place::node(node)])
        .since(lines.first().and_then(|line| line.at))
        .evidence(quoted)
        .evidence(annotation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_about_the_node_that_they_name() {
        for (text, node) in [
            ("W0217 13:01:02.000000       1 node.go:640] node elm-02 has multiple chassis", Some("elm-02")),
            (
                "E0217 13:01:02.000000       1 node.go:88] chassis not registered for node elm-02, will try again later",
                Some("elm-02"),
            ),
            (
                "I0217 13:01:02.000000       1 node.go:88] chassis \"a7f1\" not registered for node elm-02, do chassis gc once",
                Some("elm-02"),
            ),
            ("E0217 13:01:02.000000       1 node.go:88] chassis a7f1 not found for node elm-02", Some("elm-02")),
            (
                "E0217 13:01:02.000000       1 node.go:88] error syncing 'elm-02': chassis reset, reboot ovs-ovn on this node: elm-02, requeuing",
                Some("elm-02"),
            ),
            ("I0217 13:01:02.000000       1 gc.go:400] gc node elm-02 chassis 0d1e", Some("elm-02")),
            ("I0217 13:01:02.000000       1 gc.go:200] gc node elm-09", None),
            ("I0217 13:01:02.000000       1 gc.go:155] start to gc logical switch", None),
        ] {
            assert_eq!(about(text), node, "{text}");
        }
    }
}
