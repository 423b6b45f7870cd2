//! The Rook operator.

pub mod deletion_blocked;
pub mod detect_version_failing;
pub mod do_not_reconcile_left;
pub mod namespace_not_watched;
pub mod operator_cannot_reach_mons;
pub mod operator_config_ignored;
pub mod operator_crashing;
pub mod operator_down;
pub mod operator_rights_or_crds_stale;
pub mod reconcile_failing;
pub mod reconcile_stalled;
pub mod two_operators;
pub mod version_unsupported;

use jiff::{SignedDuration, Timestamp};

use crate::check::ObjectRef;
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, Log, kinds};
use crate::objects::kube::{ConfigMap, Deployment};

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

/// The ConfigMap of the operator's settings; what it holds goes before the environment.
pub(crate) const OPERATOR_CONFIG: &str = "rook-ceph-operator-config";

/// Keeps an operator to its own namespace. Rook's code takes "true" where nothing is set.
pub(crate) const OWN_NAMESPACE_ONLY: &str = "ROOK_CURRENT_NAMESPACE_ONLY";

/// Whether an operator looks after the CephClusters of a namespace; none if its setting comes from a place
/// that is not read, such as a ConfigMap of somebody else.
pub(crate) fn watches(facts: &Facts<'_>, operator: &Deployment, ns: &str) -> Result<Option<bool>, Gap> {
    let home = &operator.metadata.namespace;
    if home == ns {
        return Ok(Some(true));
    }
    let config = facts.object::<ConfigMap>(home, OPERATOR_CONFIG)?;
    if let Some(setting) = config.and_then(|config| config.data.get(OWN_NAMESPACE_ONLY)) {
        return Ok(Some(setting != "true"));
    }
    let mut variables = operator.spec.template.spec.containers.iter().flat_map(|container| &container.env);
    Ok(match variables.find(|variable| variable.name == OWN_NAMESPACE_ONLY) {
        Some(variable) if variable.value.is_empty() => None,
        Some(variable) => Some(variable.value != "true"),
        None => Some(false),
    })
}

/// The first two numbers of `v1.13.9` or `18.2.2-0`.
pub(crate) fn minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.trim_start_matches('v').split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
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
