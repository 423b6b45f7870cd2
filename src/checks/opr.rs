//! The Rook operator.

pub mod do_not_reconcile_left;
pub mod operator_cannot_reach_mons;
pub mod operator_down;
pub mod reconcile_failing;
pub mod reconcile_stalled;

use jiff::{SignedDuration, Timestamp};

use crate::check::ObjectRef;
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, Log, kinds};
use crate::objects::kube::Deployment;

/// The name of the operator's Deployment and of its container.
pub(crate) const OPERATOR: &str = "rook-ceph-operator";

/// This label on a Deployment (or on the CephCluster) keeps the operator's hands off it.
pub(crate) const DO_NOT_RECONCILE: &str = "ceph.rook.io/do-not-reconcile";

/// The operator of this cluster; none if its namespace holds none.
pub(crate) fn operator<'s>(facts: &Facts<'s>) -> Result<Option<&'s Deployment>, Gap> {
    let ns = &facts.cluster()?.operator_ns;
    Ok(facts.operators()?.iter().find(|operator| operator.metadata.namespace == *ns))
}

pub(crate) fn operator_object(facts: &Facts<'_>) -> Result<ObjectRef, Gap> {
    Ok(ObjectRef::new(kinds::DEPLOYMENT, &facts.cluster()?.operator_ns, OPERATOR))
}

/// The operator's pod that counts: not one that was replaced, if there is another.
pub(crate) fn operator_pod<'s>(facts: &Facts<'s>) -> Result<Option<&'s PodRow>, Gap> {
    let pods = facts.operator_pods()?;
    Ok(pods.iter().find(|pod| !pod.is_replaced()).or(pods.first()))
}

/// The operator's log and the pod that writes it.
pub(crate) fn operator_log<'s>(facts: &Facts<'s>) -> Result<Option<(&'s PodRow, &'s Log)>, Gap> {
    let ns = &facts.cluster()?.operator_ns;
    let Some(pod) = operator_pod(facts)? else { return Ok(None) };
    Ok(Some((pod, facts.log(ns, &pod.name, OPERATOR)?)))
}

/// Whether this moment is known and at least so long ago.
pub(crate) fn older(facts: &Facts<'_>, at: Option<Timestamp>, than: SignedDuration) -> bool {
    at.is_some_and(|at| facts.now().duration_since(at) >= than)
}

/// `3 d`, `2 h`, `40 min`: an age that a person can take in.
pub(crate) fn ago(facts: &Facts<'_>, at: Timestamp) -> String {
    let minutes = facts.now().duration_since(at).as_mins().max(0);
    match minutes {
        ..120 => format!("{minutes} min"),
        120..2880 => format!("{} h", minutes / 60),
        _ => format!("{} d", minutes / 1440),
    }
}
