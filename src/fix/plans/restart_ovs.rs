//! OVN007, OVN002: the ovs-ovn pod of one node is made anew.
//!
//! Its containers start again in their old pod after a boot or a crash, with what they kept of the network before;
//! only a new pod starts clean. Every pod of the node is without a network until it does, and was before. A pod that
//! crashes for its image or its memory limit is left alone, and so is one that OVN007 has the word about.

use jiff::SignedDuration;

use crate::check::{Place, Text};
use crate::checks::mon::mons;
use crate::checks::osd::by_osd;
use crate::facts::{Facts, Gap, Select, Settled, both};
use crate::fix::restart::{in_vain, take_away, wait_for_successor};
use crate::fix::{Case, Condition, Plan, Proposal, Risk, Step};
use crate::objects::kube::Pod;
use crate::say;

/// The pods of a node start by themselves, each after the back-off of its container, five minutes at most.
const RECOVERS_WITHIN: u64 = 600;

pub fn plan(case: &Case<'_>) -> Result<Proposal, Gap> {
    let facts = case.facts;
    let stale = case.check.code == "OVN007";
    // A pod that crashes may have a cause outside of it; one that is stale has none but itself.
    if let Some(why) = in_vain(case).filter(|_| !stale) {
        return Ok(Proposal::Guided(why));
    }
    let Some(object) = case.finding.objects.first() else { return Ok(Proposal::Guided(say!("no pod is named"))) };
    let (ns, name) = (&object.namespace, &object.name);
    let Some(pod) = facts.object::<Pod>(ns, name)? else {
        return Ok(Proposal::Guided(say!("{} is gone: diagnose again", object)));
    };
    let node = &pod.spec.node_name;
    let (out, warnings) = both(stays_in(facts, node), warnings(case, node))?;
    let take_away = take_away(facts, pod)?;
    let of_node = |label: &str| Condition::PodWell {
        ns: ns.clone(),
        label: label.to_owned(),
        node: Some(node.clone()),
        instead_of: Vec::new(),
    };
    let mut plan = Plan::new(
        say!("make the ovs-ovn pod of {} anew and wait until the node's network is back", node),
        Risk::Disruptive,
    )
    .guard(Condition::OvnLeads)
    .interrupts(say!(
        "every pod of {} that is not on the host network has no network until ovs-ovn is Ready, a minute as a rule",
        node
    ));
    plan.warnings = warnings;
    let monitors: Vec<String> =
        mons(facts)?.iter().filter(|mon| mon.node == Some(node)).map(|mon| mon.id.to_owned()).collect();
    let mut guards = vec![
        Condition::BootSettled { node: node.clone() },
        Condition::NodeReady { node: node.clone() },
        Condition::SameRevision { ns: ns.clone(), pod: name.clone() },
    ];
    if !stale {
        guards.push(Condition::StillDown { ns: ns.clone(), pod: name.clone() });
        guards.push(Condition::Passes { code: "OVN007".into(), object: Some(object.to_string()) });
    }
    if !monitors.is_empty() {
        guards.push(Condition::Quorum { without: monitors });
    }
    let guarded = |step: Step| guards.iter().cloned().fold(step, Step::guard);
    let plan = plan
        // What keeps the pod from being deleted keeps OSDs from being held in for nothing.
        .steps(out.set.map(guarded))
        .step(guarded(take_away))
        .step(wait_for_successor(pod, "app=ovs"))
        .step(Step::wait(say!("wait until kube-ovn-cni on {} is Ready", node), of_node("app=kube-ovn-cni"), RECOVERS_WITHIN))
        .steps(out.unset)
        .next(say!("if the join gateway still does not answer, kube-ovn-cni says \"network not ready after … ping to gateway\": in the new pod, ovs-vsctl show must list br-int, and ovn-controller.log tell of no error"))
        .next(say!("then delete the kube-ovn-cni pod of {}, and after it the Multus pod; a reboot is the last resort", node));
    Ok(Proposal::Plan(plan))
}

/// Keeps the OSDs of a node in while it is out of reach, and lets go of them when they are up again.
#[derive(Default)]
struct Noout {
    set: Option<Step>,
    unset: Vec<Step>,
}

fn stays_in(facts: &Facts<'_>, node: &str) -> Result<Noout, Gap> {
    let (pods, dump) = both(facts.osd_pods().settled(), facts.osd_dump().settled())?;
    // Monitors that do not answer mark no OSD out either, and a flag that is set is somebody else's.
    let (Ok(pods), Ok(dump)) = (pods, dump) else { return Ok(Noout::default()) };
    let here: Vec<i64> = by_osd(pods).values().filter(|osd| osd.node() == Some(node)).map(|osd| osd.id).collect();
    if here.is_empty() || dump.flags_set.iter().any(|flag| flag == "noout") {
        return Ok(Noout::default());
    }
    let names: Vec<String> = here.iter().map(|osd| format!("osd.{osd}")).collect();
    let words = |verb: &'static str| -> Vec<&str> {
        ["osd", verb, "noout"].into_iter().chain(names.iter().map(String::as_str)).collect()
    };
    let (set, unset) = (words("set-group"), words("unset-group"));
    let who = names.join(", ");
    let up = Condition::OsdsUp { osds: here };
    Ok(Noout {
        set: Some(Step::ceph(say!("keep {} in meanwhile (noout for them alone)", who), &set, Some(&unset))),
        unset: vec![
            Step::wait(say!("wait until {} are up", who), up.clone(), RECOVERS_WITHIN),
            // Taken away while one is down, it would be marked out, and its data moved.
            Step::ceph(say!("let go of {} again", who), &unset, Some(&set)).guard(up),
        ],
    })
}

fn warnings(case: &Case<'_>, node: &str) -> Result<Vec<Text>, Gap> {
    let facts = case.facts;
    let here = |label: &str| Select { label: label.to_owned(), field: format!("spec.nodeName={node}") };
    let machines = facts.list::<Pod>(None, here("kubevirt.io=virt-launcher")).settled();
    let gateways = facts.list::<Pod>(None, here("app in (vpc-nat-gw,vpc-egress-gateway)")).settled();
    let (providers, (machines, gateways)) = both(facts.provider_networks().settled(), both(machines, gateways))?;
    let mut warnings: Vec<Text> = failover(case, node)?.into_iter().collect();
    if providers.is_ok_and(|all| !all.is_empty()) {
        warnings.push(say!("there are underlay networks (ProviderNetwork): {} loses those too while ovs-ovn starts, and with them what its host has behind them", node));
    }
    match machines {
        Ok([]) => {}
        Ok(pods) => {
            warnings.push(say!("{} virtual machines run on {}: they lose their network meanwhile", pods.len(), node))
        }
        Err(unknown) => {
            warnings.push(say!("whether virtual machines run on {} could not be seen: {}", node, unknown.why.text()))
        }
    }
    match gateways {
        Ok([]) => {}
        Ok(pods) => {
            warnings.push(say!("{} VPC gateways run on {}: they lose their network meanwhile", pods.len(), node))
        }
        Err(unknown) => {
            warnings.push(say!("whether VPC gateways run on {} could not be seen: {}", node, unknown.why.text()))
        }
    }
    Ok(warnings)
}

/// Rook replaces a monitor that is away for too long; how much of that is over.
fn failover(case: &Case<'_>, node: &str) -> Result<Option<Text>, Gap> {
    let now = case.facts.now();
    let out = case.findings.iter().find(|placed| {
        placed.check.code == "MON002"
            && placed.causes.iter().any(|(at, _)| case.findings[*at].finding.at.contains(&Place::node(node)))
    });
    let Some(out) = out else { return Ok(None) };
    let timeout = &case.facts.ceph_cluster()?.spec.health_check.daemon_health.mon.timeout;
    let timeout = if timeout.is_empty() { "10m" } else { timeout };
    let since = out.finding.since.map_or(SignedDuration::ZERO, |since| now.duration_since(since));
    Ok(Some(say!(
        "{}; Rook replaces a monitor that is away for {}, and {} min are over",
        out.finding.summary,
        timeout,
        since.as_mins()
    )))
}
