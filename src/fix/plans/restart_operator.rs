//! OPR005: the operator that stands still is started anew.
//!
//! Ceph serves without it, and a new operator begins its reconcile from the start. Without a quorum it would only wait
//! again and forget since when monitors are away, so that is refused. A reconcile also prepares disks: those that a
//! new operator may take are told before.

use crate::check::Text;
use crate::checks::opr::do_not_reconcile_left::waits;
use crate::checks::opr::{OPERATOR, operator_pod};
use crate::facts::{Facts, Gap, Settled, both};
use crate::fix::restart::{take_away, wait_for_successor};
use crate::fix::{Case, Condition, Plan, Proposal, Risk};
use crate::lang::listed;
use crate::objects::rook::Storage;
use crate::overview::devices;
use crate::say;

pub fn plan(case: &Case<'_>) -> Result<Proposal, Gap> {
    let facts = case.facts;
    let ns = &facts.cluster()?.operator_ns;
    let (row, (cluster, clusters)) = both(operator_pod(facts), both(facts.ceph_cluster(), facts.ceph_clusters()))?;
    let Some(row) = row else { return Ok(Proposal::Guided(say!("there is no pod of the operator in {}", ns))) };
    let pod = facts.pod(ns, &row.name)?;
    if pod.metadata.labels.get("app").map(String::as_str) != Some(OPERATOR) {
        return Ok(Proposal::Guided(say!(
            "the operator's pod {} is not labelled as Rook's manifests and charts do",
            row.name
        )));
    }
    let (take_away, disks) = both(take_away(facts, pod), disks(facts, &cluster.spec.storage))?;
    let mut plan = Plan::new(say!("start the operator anew and wait until it is Ready"), Risk::Disruptive)
        .interrupts(say!("until then nothing is reconciled or failed over; Ceph itself serves all the while"))
        .warning(say!("its timers begin anew: a monitor that is away is replaced only after the whole timeout (10 min unless it was changed)"))
        .warning(say!("what it waits for may be outside of it: read the last lines of its log first, they are gone with the pod"))
        .guard(Condition::Quorum { without: Vec::new() })
        .step(take_away)
        .step(wait_for_successor(pod, &format!("app={OPERATOR}")))
        .next(say!("if the new operator stops at the same stage, repair what its log waits for: kubectl -n {} logs deploy/{} --tail=40", ns, OPERATOR));
    if clusters.len() > 1 {
        plan = plan.warning(say!("there are {} CephClusters: it may look after others, too", clusters.len()));
    }
    plan.warnings.extend(waits(cluster));
    plan.warnings.extend(disks);
    Ok(Proposal::Plan(plan))
}

/// The disks that a reconcile may turn into OSDs. What is on them then cannot be brought back.
pub fn disks(facts: &Facts<'_>, storage: &Storage) -> Result<Vec<Text>, Gap> {
    let by_filter =
        |all: Option<bool>, filter: &str, paths: &str| all == Some(true) || !filter.is_empty() || !paths.is_empty();
    let takes = by_filter(storage.use_all_devices, &storage.device_filter, &storage.device_path_filter)
        || storage
            .nodes
            .iter()
            .any(|node| by_filter(node.use_all_devices, &node.device_filter, &node.device_path_filter));
    if !takes {
        return Ok(Vec::new());
    }
    let mut warnings = vec![say!(
        "the CephCluster asks for devices by useAllDevices or a filter: a blank disk that was put in since may become an OSD, and not all such can be seen from here"
    )];
    match devices::blank(facts).settled()? {
        Ok((blank, blind)) => {
            if !blank.is_empty() {
                warnings.push(say!("known to be blank: {}", listed(blank)));
            }
            if let Some(unknown) = blind.first() {
                warnings.push(say!(
                    "not all witnesses of blank disks could be read: {}: {}",
                    unknown.fact.text(),
                    unknown.why.text()
                ));
            }
        }
        Err(unknown) => warnings.push(say!(
            "which disks are blank could not be read: {}: {}",
            unknown.fact.text(),
            unknown.why.text()
        )),
    }
    Ok(warnings)
}
