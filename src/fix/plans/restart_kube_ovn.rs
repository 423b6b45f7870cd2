//! OVN003, OVN004: one pod of Kube-OVN that does not serve is made anew: kube-ovn-cni of one node, or one replica of
//! kube-ovn-controller.
//!
//! Neither carries traffic. Pods that run keep their network; only those that start or stop wait. Both are lost
//! without the databases of ovn-central, and kube-ovn-cni without ovs-ovn, so those must be well.

use crate::check::Text;
use crate::checks::ovn::kube_ovn_controller_unhealthy::CONTROLLER;
use crate::facts::{Facts, Gap, both};
use crate::fix::restart::{READY_WITHIN, in_vain, of_daemon_set, take_away};
use crate::fix::{Case, Condition, Plan, Proposal, Risk, Step};
use crate::objects::kube::{Lease, Pod};
use crate::say;

/// The pods of the controller.
const LABEL: &str = "app=kube-ovn-controller";

pub fn plan(case: &Case<'_>) -> Result<Proposal, Gap> {
    if let Some(why) = in_vain(case) {
        return Ok(Proposal::Guided(why));
    }
    let Some(object) = case.finding.objects.first() else { return Ok(Proposal::Guided(say!("no pod is named"))) };
    if object.kind == "Lease" {
        return leaderless(case.facts, &object.namespace);
    }
    let Some(pod) = case.facts.object::<Pod>(&object.namespace, &object.name)? else {
        return Ok(Proposal::Guided(say!("{} is gone: diagnose again", object)));
    };
    match case.check.code {
        "OVN003" => cni(case.facts, pod),
        _ => replica(case.facts, pod),
    }
}

fn still_down(pod: &Pod) -> Condition {
    Condition::StillDown { ns: pod.metadata.namespace.clone(), pod: pod.metadata.name.clone() }
}

fn cni(facts: &Facts<'_>, pod: &Pod) -> Result<Proposal, Gap> {
    let (ns, node) = (&pod.metadata.namespace, &pod.spec.node_name);
    let Some([delete, wait]) = of_daemon_set(facts, pod)? else {
        return Ok(Proposal::Guided(say!("pod {} is not of a DaemonSet, and may not come back", pod.metadata.name)));
    };
    let ovs = Condition::PodWell {
        ns: ns.clone(),
        label: "app=ovs".into(),
        node: Some(node.clone()),
        instead_of: Vec::new(),
    };
    let mut delete = delete.guard(ovs);
    // One that is Ready and not reached does not become so by itself.
    if !pod.is_ready() {
        delete = delete.guard(still_down(pod));
    }
    let does = say!("make the kube-ovn-cni pod of {} anew and wait until it is Ready", node);
    let plan = Plan::new(does, Risk::Disruptive)
        .guard(Condition::OvnLeads)
        .interrupts(say!(
            "pods of {} that start or stop meanwhile wait for kube-ovn-cni, a minute as a rule; those that run keep their network",
            node
        ))
        .step(delete)
        .step(wait)
        .next(say!("if its log then says \"waiting for ovs ready\" or \"network not ready after … ping to gateway\", the fault is below it: delete the ovs-ovn pod of {}, and of no other node", node));
    Ok(Proposal::Plan(plan))
}

fn replica(facts: &Facts<'_>, pod: &Pod) -> Result<Proposal, Gap> {
    let (well, delete) = both(well(facts, &pod.metadata.namespace), take_away(facts, pod))?;
    let does = say!("make pod {} anew and wait until its successor is Ready", pod.metadata.name);
    Ok(Proposal::Plan(controller(does, pod, delete.guard(still_down(pod)), well + 1)))
}

/// All are Ready and none leads. Who holds the Lease and does not renew it hangs; a new pod takes it over.
fn leaderless(facts: &Facts<'_>, ns: &str) -> Result<Proposal, Gap> {
    let (lease, well) = both(facts.object::<Lease>(ns, CONTROLLER), well(facts, ns))?;
    let holder = lease.map_or("", |lease| lease.spec.holder_identity.as_str());
    let pod = if holder.is_empty() { None } else { facts.object::<Pod>(ns, holder)? };
    let Some(pod) = pod else {
        return Ok(Proposal::Guided(say!("the pod that holds the Lease is gone: diagnose again")));
    };
    let stale = Condition::LeaseStale { ns: ns.to_owned(), name: CONTROLLER.to_owned() };
    let delete = take_away(facts, pod)?.guard(stale);
    let does = say!("make pod {} anew, which holds the Lease and does not renew it", pod.metadata.name);
    let plan = controller(does, pod, delete, well).next(say!(
        "if nobody leads then, see in the logs of the others why they do not take the Lease over, and restart them all: kubectl -n {} rollout restart deployment {}",
        ns,
        CONTROLLER
    ));
    Ok(Proposal::Plan(plan))
}

/// How many replicas of the controller are well.
fn well(facts: &Facts<'_>, ns: &str) -> Result<usize, Gap> {
    Ok(facts.pods_where(ns, LABEL)?.iter().filter(|row| row.is_well()).count())
}

fn controller(does: Text, pod: &Pod, delete: Step, well: usize) -> Plan {
    let (ns, node) = (&pod.metadata.namespace, &pod.spec.node_name);
    let delete = if node.is_empty() { delete } else { delete.guard(Condition::NodeReady { node: node.clone() }) };
    let until = Condition::PodsWell {
        ns: ns.clone(),
        label: LABEL.to_owned(),
        at_least: well,
        instead_of: vec![pod.metadata.name.clone()],
    };
    Plan::new(does, Risk::Disruptive)
        .guard(Condition::OvnLeads)
        .interrupts(say!(
            "if this pod leads, new pods wait for their address until another has taken over, half a minute as a rule; those that run keep theirs"
        ))
        .step(delete)
        .step(Step::wait(say!("wait until its successor is Ready"), until, READY_WITHIN))
        .next(say!(
            "if the new pod fails as well, its log says why: kubectl -n {} logs deployment/{} --tail=50",
            ns,
            CONTROLLER
        ))
}
