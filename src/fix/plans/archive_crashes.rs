//! CEPH013: the crash reports of one daemon are archived.
//!
//! Archiving ends a reminder; the report stays readable. It is done when the last crash is a day old, or an hour and
//! the daemon is well: what may happen still is for a person to read first.

use jiff::{SignedDuration, Timestamp};

use crate::checks::ceph::recent_crash::{FRESH, MODULES, SETTLED, UNIDENTIFIED};
use crate::facts::{Cluster, Gap};
use crate::fix::{Case, Condition, Plan, Proposal, Risk, Step};
use crate::objects::ceph::Crash;
use crate::say;

/// More reports are a fault that a person should look into.
const MANY: usize = 32;

pub fn plan(case: &Case<'_>) -> Result<Proposal, Gap> {
    let (facts, cluster) = (case.facts, case.facts.cluster()?);
    if cluster.external {
        return Ok(Proposal::Guided(say!("this Ceph is managed elsewhere, and the user here may not ask its mgr")));
    }
    let Some((code, daemon)) = case.finding.detail.as_deref().and_then(|detail| detail.split_once(' ')) else {
        return Ok(Proposal::Guided(say!("Ceph does not tell whose reports these are")));
    };
    let crashes: Vec<&Crash> = facts.crashes()?.iter().filter(|crash| is_of(crash, code, daemon)).collect();
    if crashes.is_empty() {
        return Ok(Proposal::Guided(say!(
            "Ceph lists no report of {} that is not archived: the warning goes by itself",
            daemon
        )));
    }
    if crashes.len() > MANY {
        return Ok(Proposal::Guided(say!("{} reports of one daemon: read some of them first", crashes.len())));
    }
    let well = match age(&crashes, facts.now()) {
        Some(age) if age > FRESH => None,
        Some(age) if age > SETTLED => match is_well(cluster, daemon) {
            None => {
                return Ok(Proposal::Guided(say!(
                    "{} crashed within the last day, and whether it is well now cannot be asked",
                    daemon
                )));
            }
            well => well,
        },
        _ => {
            return Ok(Proposal::Guided(say!(
                "{} crashed within the last hour, or nobody knows when: it may crash again",
                daemon
            )));
        }
    };
    let does = match crashes.len() {
        1 => say!("archive the crash report of {}", daemon),
        count => say!("archive the {} crash reports of {}", count, daemon),
    };
    let mut plan = Plan::new(does, Risk::Safe)
        .warning(say!("an archived report cannot be made new again; `ceph crash info` shows it for a year"))
        .warning(say!("read it first: its backtrace may be all that tells what happened"))
        .guard(Condition::MgrActive);
    plan.guards.extend(well);
    let archive = |crash: &&Crash| {
        Step::ceph(say!("archive the report of {}", crash.timestamp), &["crash", "archive", &crash.crash_id], None)
    };
    let plan = plan
        .steps(crashes.iter().map(archive))
        .next(say!("if it crashes again, search Ceph's tracker for the assertion in `ceph crash info`"));
    Ok(Proposal::Plan(plan))
}

/// A report that counts for this finding and whose id is one.
fn is_of(crash: &Crash, code: &str, daemon: &str) -> bool {
    let whose = if crash.entity_name.is_empty() { UNIDENTIFIED } else { &crash.entity_name };
    let is_id = crash.crash_id.starts_with(|c: char| c.is_ascii_digit())
        && crash.crash_id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:".contains(c));
    whose == daemon && crash.archived.is_empty() && crash.mgr_module.is_empty() != (code == MODULES) && is_id
}

/// How long ago the last of these crashes was; none if one has no time.
fn age(crashes: &[&Crash], now: Timestamp) -> Option<SignedDuration> {
    let times: Option<Vec<Timestamp>> = crashes.iter().map(|crash| crash.timestamp.parse().ok()).collect();
    Some(now.duration_since(times?.into_iter().max()?))
}

/// What must hold for a daemon to be well, where that can be asked.
fn is_well(cluster: &Cluster, daemon: &str) -> Option<Condition> {
    let (kind, id) = daemon.split_once('.')?;
    match kind {
        "osd" => Some(Condition::OsdsUp { osds: vec![id.parse().ok()?] }),
        "mon" => Some(Condition::MonIn { mon: id.to_owned() }),
        "mgr" | "mds" => Some(Condition::PodWell {
            ns: cluster.ns.clone(),
            label: format!("ceph_daemon_type={kind},ceph_daemon_id={id}"),
            node: None,
            instead_of: Vec::new(),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crash(id: &str, at: &str, module: &str) -> Crash {
        let (crash_id, timestamp, mgr_module) = (id.to_owned(), at.to_owned(), module.to_owned());
        Crash { crash_id, timestamp, mgr_module, entity_name: "mgr.a".into(), archived: String::new() }
    }

    #[test]
    fn only_reports_of_the_finding_count() {
        let plain = crash("2024-07-09T05:12:44.120331Z_5a0e", "2024-07-09T05:12:44.120331Z", "");
        let module = Crash { mgr_module: "volumes".into(), ..plain.clone() };
        let archived = Crash { archived: "2024-07-09 06:00:00.000000".into(), ..plain.clone() };
        let hostile = Crash { crash_id: "--all".into(), ..plain.clone() };
        let nameless = Crash { entity_name: String::new(), ..plain.clone() };
        assert!(is_of(&plain, "RECENT_CRASH", "mgr.a") && !is_of(&plain, MODULES, "mgr.a"));
        assert!(is_of(&module, MODULES, "mgr.a") && !is_of(&module, "RECENT_CRASH", "mgr.a"));
        assert!(is_of(&nameless, "RECENT_CRASH", UNIDENTIFIED) && !is_of(&plain, "RECENT_CRASH", "osd.1"));
        assert!(!is_of(&archived, "RECENT_CRASH", "mgr.a") && !is_of(&hostile, "RECENT_CRASH", "mgr.a"));
    }

    #[test]
    fn the_last_crash_counts_and_one_without_a_time_is_news() {
        let now = "2024-07-09T08:00:00Z".parse().unwrap();
        let (old, new) = (crash("1", "2024-07-01T08:00:00Z", ""), crash("2", "2024-07-09T06:00:00Z", ""));
        assert_eq!(age(&[&old, &new], now), Some(SignedDuration::from_hours(2)));
        assert_eq!(age(&[&old, &crash("3", "unknown time", "")], now), None);
    }
}
