//! NET002, NET003, NET004: the Multus pod of one node is made anew.
//!
//! A new pod starts at once where the old one waits for its back-off, binds its socket again, and has a new token.
//! Pods that run do not notice: Multus is asked only when a pod starts or stops. Where the image, the arguments, the
//! memory limit or the node's disk are at fault a new pod fails like the old one, and nothing is done.

use crate::check::Text;
use crate::facts::Gap;
use crate::fix::restart::{in_vain, of_daemon_set};
use crate::fix::{Case, Condition, Plan, Proposal, Risk};
use crate::objects::kube::Pod;
use crate::say;

pub fn plan(case: &Case<'_>) -> Result<Proposal, Gap> {
    if let Some(why) = in_vain(case) {
        return Ok(Proposal::Guided(why));
    }
    let Some(object) = case.finding.objects.first() else { return Ok(Proposal::Guided(say!("no pod is named"))) };
    let Some(pod) = case.facts.object::<Pod>(&object.namespace, &object.name)? else {
        return Ok(Proposal::Guided(say!("{} is gone: diagnose again", object)));
    };
    let Some([delete, wait]) = of_daemon_set(case.facts, pod)? else {
        return Ok(Proposal::Guided(say!("{} is not of a DaemonSet, and may not come back", object)));
    };
    let node = &pod.spec.node_name;
    // One that was not Ready may be by now; one that was Ready all the time is refused or not reached.
    let delete = if pod.is_ready() {
        delete
    } else {
        delete.guard(Condition::StillDown { ns: object.namespace.clone(), pod: object.name.clone() })
    };
    let does = say!("make the Multus pod of {} anew and wait until it is Ready", node);
    let mut plan = Plan::new(does, Risk::Disruptive)
        .interrupts(say!(
            "pods of {} that start or stop meanwhile wait for the new Multus pod, a minute as a rule; those that run go on running",
            node
        ))
        .step(delete)
        .step(wait);
    plan.next = next(case.check.code, pod);
    Ok(Proposal::Plan(plan))
}

fn next(code: &str, pod: &Pod) -> Vec<Text> {
    let node = &pod.spec.node_name;
    match code {
        "NET004" => vec![
            say!(
                "if the new token is refused as well, compare the clock of {} with that of the control plane (timedatectl)",
                node
            ),
            say!("if it is refused again after some hours, upgrade Multus to a release that renews its token"),
        ],
        "NET002" => vec![say!(
            "if the new pod crashes as well, read the log of its init container and that of the container runtime on {}",
            node
        )],
        _ => vec![
            say!("if the new pod crashes as well, its log says why; if it is killed for memory, raise its limit"),
            say!(
                "if it is Ready and its socket stays away, compare socketDir of the daemon with that of /etc/cni/net.d/00-multus.conf on {}",
                node
            ),
        ],
    }
}
