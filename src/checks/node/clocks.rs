//! Whose clock is wrong: monitors against their leader, nodes against each other.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::facts::tables::NodeRow;
use crate::objects::ceph::{Health, HealthCheck, TimeSkew, TimeSync};
use crate::objects::kube::Lease;

/// `mon_clock_drift_allowed`
const DRIFT: f64 = 0.05;
/// A Lease is renewed every ten seconds, and `now` was noted some seconds before it was read.
const FUTURE: f64 = 10.0;
/// A Ready node renews within 40 s; one whose Lease looks older has a slow clock.
const PAST: f64 = -60.0;

/// A monitor whose clock is wrong, as far as the others tell.
pub(super) struct Wrong<'t> {
    pub mon: &'t str,
    pub skew: f64,
    pub latency: f64,
    /// The rows that prove it.
    pub proof: Vec<(&'t str, &'t TimeSkew)>,
    pub is_leader: bool,
}

/// The leader compares its clock with the others', so its own row is 0; if all others are off alike, it is wrong.
pub(super) fn wrong_mons(sync: &TimeSync) -> Vec<Wrong<'_>> {
    let rows: Vec<(&str, &TimeSkew)> = sync.time_skew_status.iter().map(|(mon, row)| (mon.as_str(), row)).collect();
    let leader = rows.iter().find(|(_, row)| row.skew == 0.0 && row.latency == 0.0).map(|(mon, _)| *mon);
    let others: Vec<_> = rows.into_iter().filter(|(mon, _)| Some(*mon) != leader).collect();
    let skewed: Vec<_> = others.iter().copied().filter(|(_, row)| row.skew.abs() > DRIFT).collect();
    let Some((_, first)) = skewed.first() else { return Vec::new() };
    let alike = skewed.iter().all(|(_, row)| (row.skew - first.skew).abs() <= DRIFT.max(first.skew.abs() / 5.0));
    match leader {
        Some(mon) if others.len() > 1 && skewed.len() == others.len() && alike => {
            let latency = skewed.iter().map(|(_, row)| row.latency).fold(0.0, f64::max);
            vec![Wrong { mon, skew: -first.skew, latency, proof: skewed, is_leader: true }]
        }
        _ => {
            let wrong = skewed.into_iter().map(|(mon, row)| {
                let (skew, latency) = (row.skew, row.latency);
                Wrong { mon, skew, latency, proof: vec![(mon, row)], is_leader: false }
            });
            wrong.collect()
        }
    }
}

/// What Ceph itself says of clocks: the code, and each monitor's detail with how far it is off, without a sign.
pub(super) fn raised(health: &Health) -> Option<&HealthCheck> {
    health.checks.get("MON_CLOCK_SKEW")
}

/// `mon.c clock skew 6.4012s > max 0.05s (latency 0.0009s)`
pub(super) fn said_of(detail: &str) -> Option<(&str, f64)> {
    let (mon, rest) = detail.strip_prefix("mon.")?.split_once(" clock skew ")?;
    Some((mon, rest.split_once('s')?.0.parse().ok()?))
}

/// How far in the future each Ready node's Lease was renewed. If most are off, it is this run's clock that is
/// wrong, and nodes are compared with the middle one.
pub(super) fn offsets(leases: &[Lease], nodes: &[NodeRow], now: Timestamp) -> BTreeMap<String, f64> {
    let ready = |name: &str| nodes.iter().any(|node| node.name == name && node.is_ready());
    let offset = |lease: &Lease| Some(lease.spec.renew_time?.duration_since(now).as_secs_f64());
    let leases = leases.iter().filter(|lease| ready(&lease.metadata.name));
    let mut all: BTreeMap<String, f64> =
        leases.filter_map(|lease| Some((lease.metadata.name.clone(), offset(lease)?))).collect();
    let mut sorted: Vec<f64> = all.values().copied().collect();
    sorted.sort_by(f64::total_cmp);
    // Of two nodes nobody can say which is wrong.
    let Some(middle) = sorted.get(sorted.len() / 2).copied().filter(|_| sorted.len() > 2) else {
        return BTreeMap::new();
    };
    if is_off(middle) {
        all.values_mut().for_each(|offset| *offset -= middle);
    }
    all
}

/// Whether a Lease was renewed when no right clock would have.
pub(super) fn is_off(offset: f64) -> bool {
    !(PAST..=FUTURE).contains(&offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sync(rows: &[(&str, f64, f64)]) -> TimeSync {
        let row = |skew: f64, latency: f64| TimeSkew { skew, latency, health: String::new() };
        TimeSync { time_skew_status: rows.iter().map(|(mon, s, l)| ((*mon).to_owned(), row(*s, *l))).collect() }
    }

    #[test]
    fn the_leader_is_wrong_when_all_others_differ_alike() {
        let wrong = |rows: &[(&str, f64, f64)]| -> Vec<String> {
            wrong_mons(&sync(rows)).iter().map(|wrong| format!("{} {:+.1}", wrong.mon, wrong.skew)).collect()
        };
        let leader = ("a", 0.0, 0.0);
        assert_eq!(wrong(&[leader, ("b", 0.0, 0.001), ("c", 1.5, 0.001)]), ["c +1.5"]);
        assert_eq!(wrong(&[leader, ("b", 1.5, 0.001), ("c", 1.49, 0.001)]), ["a -1.5"]);
        assert_eq!(wrong(&[leader, ("b", 1.5, 0.001), ("c", -0.4, 0.001)]), ["b +1.5", "c -0.4"]);
        assert_eq!(wrong(&[leader, ("b", 1.5, 0.001)]), ["b +1.5"]);
        assert!(wrong(&[leader, ("b", 0.04, 0.001), ("c", -0.05, 0.001)]).is_empty());
    }

    #[test]
    fn a_detail_tells_the_monitor_and_how_far_it_is_off() {
        let detail = "mon.c clock skew 6.4012s > max 0.05s (latency 0.0009s)";
        assert_eq!(said_of(detail), Some(("c", 6.4012)));
        assert_eq!(said_of("something new"), None);
    }
}
