//! Kube-OVN.

pub mod kube_ovn_cni_unhealthy;
pub mod kube_ovn_controller_unhealthy;
pub mod not_hardened;
pub mod ovn_central_down;
pub mod ovn_database_broken;
pub mod ovs_ovn_unhealthy;
pub mod pinger_failing;
pub mod provider_network_not_ready;
pub mod stale_after_reboot;
pub mod stale_chassis;
pub mod subnet_conflict;
pub mod subnet_exhausted;
pub mod vpc_nat_gateway_failing;

use std::collections::BTreeMap;

use crate::check::{Evidence, Place};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, Log, LogLine, Select, Settled, both, kinds};
use crate::objects::kube::{Lease, Pod};

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

/// The pods of Kube-OVN's agents and of its controller, without ovn-central, as one table.
pub(crate) const AGENTS: &str = "app in (kube-ovn-cni,kube-ovn-controller,kube-ovn-pinger,ovs)";

/// Those of one of them, by what their names begin with: `kube-ovn-cni-`, `ovs-ovn-`.
fn pods<'s>(facts: &Facts<'s>, ns: &str, prefix: &str) -> Result<&'s [PodRow], Gap> {
    Ok(PodRow::named(facts.pods_where(ns, AGENTS)?, prefix))
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

/// The pods of ovn-central: a few, whole, as a row does not show labels.
pub(crate) fn central<'s>(facts: &Facts<'s>, ns: &str) -> Result<&'s [Pod], Gap> {
    facts.list::<Pod>(Some(ns), Select::label("app=ovn-central"))
}

/// The log of the kube-ovn-controller that leads, with its pod's name. None if none leads that is well, which
/// OVN004 reports.
pub(crate) fn leader_log<'s>(facts: &Facts<'s>, ns: &str) -> Result<Option<(&'s str, &'s Log)>, Gap> {
    let lease = facts.object::<Lease>(ns, "kube-ovn-controller");
    let (rows, lease) = both(pods(facts, ns, "kube-ovn-controller-"), lease)?;
    let holder = lease.map_or("", |lease| lease.spec.holder_identity.as_str());
    match rows.iter().find(|row| row.name == holder && row.is_well()) {
        Some(row) => Ok(Some((&row.name, facts.log(ns, &row.name, "kube-ovn-controller")?))),
        None => Ok(None),
    }
}

/// A container's log: of this run, or of the one before.
struct LogOf<'n> {
    pod: &'n str,
    container: &'n str,
    previous: bool,
}

/// The last such line of the first log that has one. A log that is missing leaves it open only if no other has it.
fn proof(
    facts: &Facts<'_>,
    ns: &str,
    logs: &[LogOf<'_>],
    is_it: impl Fn(&LogLine) -> bool,
) -> Result<Option<Evidence>, Gap> {
    let read = facts.each(logs, |facts, LogOf { pod, container, previous }| {
        let log = if *previous { facts.previous_log(ns, pod, container) } else { facts.log(ns, pod, container) };
        log.settled()
    })?;
    let mut unread = None;
    for (of, log) in read.seen {
        match log {
            Ok(log) => match log.lines.iter().rev().find(|line| is_it(line)) {
                Some(line) => return Ok(Some(Evidence::log(ns, of.pod, of.container, line))),
                None => continue,
            },
            Err(unknown) => unread = Some(unknown),
        }
    }
    unread.map_or(Ok(None), |unknown| Err(Gap::Unknown(unknown)))
}

/// The network of a provider, as Subnets and errors name it: the default one, or that of a NAD.
pub(crate) fn network(provider: &str) -> Place {
    let nad = provider.strip_suffix(".ovn").unwrap_or(provider);
    Place::Network(nad.rsplit_once('.').map_or_else(|| "ovn".to_owned(), |(name, ns)| format!("{ns}/{name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_names_its_network() {
        for (provider, name) in
            [("ovn", "ovn"), ("", "ovn"), ("fast.storage.ovn", "storage/fast"), ("fast.storage", "storage/fast")]
        {
            assert_eq!(network(provider), Place::Network(name.into()), "{provider}");
        }
    }
}
