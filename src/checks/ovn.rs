//! Kube-OVN.

pub mod kube_ovn_cni_unhealthy;
pub mod kube_ovn_controller_unhealthy;
pub mod ovn_central_down;
pub mod ovs_ovn_unhealthy;
pub mod pinger_failing;
pub mod stale_after_reboot;
pub mod vpc_nat_gateway_failing;

use std::collections::BTreeMap;

use crate::facts::{Facts, Gap, kinds};

/// The namespace that Kube-OVN runs in: its manifest says `kube-system`, other packages differ.
pub(crate) fn namespace<'s>(facts: &Facts<'s>) -> Result<&'s str, Gap> {
    if !facts.installed(kinds::SUBNET)? {
        return Err(Gap::NotInstalled(kinds::SUBNET));
    }
    let label = |labels: &BTreeMap<String, String>, app: &str| labels.get("app").is_some_and(|value| value == app);
    let is_it = |app: &'static str| {
        let mut all = facts.daemon_sets()?.iter();
        Ok(all.find(|set| label(&set.spec.selector.match_labels, app)).map(|set| set.metadata.namespace.as_str()))
    };
    let found: Option<&'s str> = match is_it("kube-ovn-cni")? {
        Some(ns) => Some(ns),
        None => is_it("ovs")?,
    };
    found.ok_or_else(|| Gap::NotOffered("the CRDs of Kube-OVN are there, and none of its DaemonSets is".into()))
}

/// What a node says when its OVS or its ovn-controller does not work.
const OVS_FAULTS: &[&str] = &[
    "network not ready after",
    "no packets received from gateway",
    "node nic ovn0 is down",
    "br-int.mgmt: connection failed",
    "db.sock: database connection failed",
];

/// Errors in the log of a Kube-OVN component: klog writes the letter, then month and day.
const LOG_ERRORS: &[&str] = &["E0", "E1", "F0", "F1", "panic"];
