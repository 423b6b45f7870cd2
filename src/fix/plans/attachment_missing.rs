//! NET016: a pod that started without Multus is made anew.
//!
//! The kubelet does not make a sandbox again, so the pod stays without its network until it goes. Its successor gets
//! the interface if Multus is well on its node, which is asked before. One pod a time, and with the care that its
//! daemon needs: a monitor only while the others hold the quorum, an OSD only when Ceph lets it go. Where host-local
//! hands out one range on several nodes (NET012), a new pod may take an address that another has, so nothing is done.

use crate::check::ObjectRef;
use crate::checks::net::attachment_missing::lacking;
use crate::checks::net::multus_daemon_sets;
use crate::facts::{Facts, Gap, both, kinds};
use crate::fix::condition::Held;
use crate::fix::restart::in_order;
use crate::fix::{Case, Condition, Plan, Proposal, Risk};
use crate::objects::kube::Pod;
use crate::objects::multus::wanted_networks;
use crate::say;

pub fn plan(case: &Case<'_>) -> Result<Proposal, Gap> {
    let facts = case.facts;
    let Some(object) = case.finding.objects.first() else { return Ok(Proposal::Guided(say!("no pod is named"))) };
    let Some(pod) = facts.object::<Pod>(&object.namespace, &object.name)? else {
        return Ok(Proposal::Guided(say!("{} is gone: diagnose again", object)));
    };
    let Some(lacking) = lacking(pod) else {
        return Ok(Proposal::Guided(say!("{} has its networks now: diagnose again", object)));
    };
    let node = &pod.spec.node_name;
    // All of its networks give it a new address, not only the one that it lacks.
    let networks = wanted_networks(pod).unwrap_or_default();
    let shared: Vec<Condition> = networks
        .iter()
        .map(|network| not_shared(&ObjectRef::new(kinds::NETWORK_ATTACHMENT, &network.ns, &network.name)))
        .collect();
    let judged = facts.each(shared.iter(), |facts, condition| condition.judge(facts))?;
    if let Some(unknown) = judged.blind.into_iter().next() {
        return Err(Gap::Unknown(unknown));
    }
    for (_, held) in judged.seen {
        if let Held::No(seen) = held {
            return Ok(Proposal::Guided(say!(
                "a new pod takes the next address of its node, which a pod of another node may have: mend that first ({})",
                seen
            )));
        }
    }
    let (multus, restarts) = both(multus_on(facts, node), in_order(facts, &[pod]))?;
    let Some(multus) = multus else {
        return Ok(Proposal::Guided(say!(
            "no pod of Multus is found on {}, and without it the next pod would lack its network as well",
            node
        )));
    };
    let list = lacking.iter().map(|network| network.full_name()).collect::<Vec<_>>().join(", ");
    let (risk, works) = if pod.is_ready() { (Risk::Disruptive, true) } else { (Risk::Safe, false) };
    let mut plan =
        Plan::new(say!("make {} on {} anew, so that Multus gives it {}", pod.metadata.name, node, list), risk)
            .guard(multus);
    plan.guards.extend(shared);
    if works {
        plan = plan.interrupts(say!("{} for the time of its restart, a minute as a rule", pod.metadata.name));
    }
    let plan = plan
        .steps(restarts.steps())
        .next(say!("if the new pod lacks {} as well, its event AddedInterface is missing, and the log of Multus on {} says why", list, node))
        .next(say!("if it hangs in ContainerCreating, kubectl -n {} describe pod tells what the network plugin says", pod.metadata.namespace));
    Ok(Proposal::Plan(plan))
}

/// The NAD hands no address out twice; what NET012 cannot see does not count as that.
pub(super) fn not_shared(nad: &ObjectRef) -> Condition {
    Condition::Passes { code: "NET012".to_owned(), object: Some(nad.to_string()) }
}

/// The pod of Multus on this node is well; none if there is none.
pub(super) fn multus_on(facts: &Facts<'_>, node: &str) -> Result<Option<Condition>, Gap> {
    let all = facts.each(multus_daemon_sets(facts)?, |facts, set| {
        let (ns, label) = (set.metadata.namespace.clone(), set.pod_labels());
        let here = facts.pods_where(&ns, &label)?.iter().any(|row| row.node == node);
        Ok(here.then(|| Condition::PodWell { ns, label, node: Some(node.to_owned()), instead_of: Vec::new() }))
    })?;
    match all.blind.into_iter().next() {
        Some(unknown) => Err(Gap::Unknown(unknown)),
        None => Ok(all.seen.into_iter().find_map(|(_, condition)| condition)),
    }
}
