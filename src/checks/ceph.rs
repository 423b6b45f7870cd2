//! Data and services.

pub mod bucket_claim_pending;
mod certificate;
pub mod gateway_down;
pub mod health_code;
pub mod insecure_auth;
pub mod mds_down;
mod mds_trouble;
mod meanings;
pub mod mgr_down;
pub mod mgr_module_error;
mod mirror_status;
pub mod mirroring_unhealthy;
pub mod pg_count;
pub mod pgs_damaged;
pub mod pgs_degraded;
pub mod pgs_unavailable;
pub mod pool_application_missing;
pub mod pool_full;
pub mod pool_unplaceable;
pub(crate) mod pool_users;
pub mod recent_crash;
pub mod rgw_certificate_invalid;
pub mod rgw_down;
mod serving;
pub mod warning_muted;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::osd::osd_slow_ops;
use crate::check::{Place, Severity, Text};
use crate::facts::{CephCommand, Cluster, Fact, Facts, Gap, Unknown, Why};
use crate::objects::ceph::{Health, HealthCheck, Pool, Status};
use crate::objects::rook::CephCluster;
use crate::say;

/// The check that reports this health code; none if it is CEPH001's. Only checks that exist may own a code, or
/// it would be lost.
pub(crate) fn owner(code: &str) -> Option<&'static str> {
    Some(match code {
        "MON_DOWN" => "MON002",
        "MON_CLOCK_SKEW" => "NODE004",
        "MON_DISK_LOW" | "MON_DISK_CRIT" | "MON_DISK_BIG" => "MON009",
        "MON_NETSPLIT" => "MON014",
        "MGR_DOWN" => "CEPH009",
        "DAEMON_OLD_VERSION" => "IMG001",
        "OSD_SLOW_PING_TIME_FRONT" | "OSD_SLOW_PING_TIME_BACK" => "OSD009",
        "OSD_FULL" | "OSD_BACKFILLFULL" | "OSD_NEARFULL" => "OSD008",
        "OSDMAP_FLAGS" | "OSD_FLAGS" => "OSD011",
        "OSD_ORPHAN" => "OSD013",
        "PG_AVAILABILITY" => "CEPH003",
        "PG_DEGRADED" => "CEPH004",
        "POOL_APP_NOT_ENABLED" => "CEPH002",
        "PG_DAMAGED" | "OSD_SCRUB_ERRORS" | "OBJECT_UNFOUND" => "CEPH005",
        "TOO_FEW_OSDS" => "CEPH006",
        "POOL_FULL" | "POOL_NEAR_FULL" | "POOL_NEARFULL" | "POOL_BACKFILLFULL" => "CEPH007",
        "MGR_MODULE_ERROR" | "MGR_MODULE_DEPENDENCY" => "CEPH010",
        "RECENT_CRASH" | "RECENT_MGR_MODULE_CRASH" => "CEPH013",
        code if pg_count::is_owned(code) => "CEPH008",
        code if insecure_auth::is_owned(code) => "CEPH014",
        gateway_down::CODE => "CEPH017",
        code if mds_trouble::CODES.contains(&code) => "CEPH011",
        code if osd_slow_ops::owns(code) => "OSD010",
        code if is_osd_down(code) => "OSD007",
        _ => return None,
    })
}

/// OSD_DOWN, and OSD_HOST_DOWN and its like for each CRUSH type.
fn is_osd_down(code: &str) -> bool {
    let kind = code.strip_prefix("OSD").and_then(|rest| rest.strip_suffix("_DOWN"));
    kind.is_some_and(|kind| kind.is_empty() || kind.strip_prefix('_').is_some_and(|kind| !kind.contains('_')))
}

/// A muted code is somebody's decision.
pub(crate) fn is_muted(health: &Health, code: &str) -> bool {
    health.checks.get(code).is_some_and(|check| check.muted)
}

/// Those of these codes that Ceph reports, muted ones too, in the order of the list.
pub(crate) fn raised<'h>(health: &'h Health, codes: &[&'static str]) -> Vec<(&'static str, &'h HealthCheck)> {
    codes.iter().filter_map(|code| Some((*code, health.checks.get(*code)?))).collect()
}

/// The severity of a finding about one code.
pub(crate) fn toned(check: &HealthCheck, severity: Severity) -> Severity {
    if check.muted { Severity::Info } else { severity }
}

/// The daemons that a text of a health code names: `osd.3`, `mon.a`.
pub(crate) fn daemons(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let words = text.split(|c: char| c.is_whitespace() || ",[]()'".contains(c));
    words.filter_map(|word| {
        let (kind, id) = word.split_once('.')?;
        (["osd", "mon", "mgr", "mds"].contains(&kind) && !id.is_empty()).then_some((kind, id))
    })
}

/// The OSDs that a health code names in its summary and details.
pub(crate) fn osds_of(check: &HealthCheck) -> BTreeSet<i64> {
    let texts = check.details().chain([check.summary.message.as_str()]);
    texts.flat_map(daemons).filter(|(kind, _)| *kind == "osd").filter_map(|(_, id)| id.parse().ok()).collect()
}

/// A command for Ceph that can be pasted: through the operator, which needs no toolbox.
pub(crate) fn ceph_command(cluster: &Cluster, words: &str) -> String {
    tool_command(cluster, &format!("ceph {words}"))
}

/// The same for another of Ceph's tools: `rados lspools`.
fn tool_command(cluster: &Cluster, words: &str) -> String {
    let Cluster { ns, operator_ns, external, .. } = cluster;
    if *external {
        return words.to_owned();
    }
    format!("kubectl -n {operator_ns} exec deploy/rook-ceph-operator -- {words} --conf=/var/lib/rook/{ns}/{ns}.config")
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-,/:".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A cluster this young is still being made.
pub(crate) fn is_new(cluster: &CephCluster, now: Timestamp) -> bool {
    let created = cluster.metadata.creation_timestamp;
    created.is_some_and(|created| now.duration_since(created) < SignedDuration::from_mins(15))
}

/// The pools whose placement groups these details name (`pg 2.1f is stuck …`), and how many of each.
fn pools_of<'d, 'p>(details: impl Iterator<Item = &'d str>, pools: &'p [Pool]) -> BTreeMap<&'p str, u32> {
    let mut counts = BTreeMap::new();
    for detail in details {
        let id = detail.strip_prefix("pg ").and_then(|rest| rest.split('.').next()?.parse::<i64>().ok());
        if let Some(pool) = id.and_then(|id| pools.iter().find(|pool| pool.pool == id)) {
            *counts.entry(pool.pool_name.as_str()).or_default() += 1;
        }
    }
    counts
}

/// `replicapool, kube`
fn pool_names(pools: &BTreeMap<&str, u32>) -> Text {
    if pools.is_empty() {
        return say!("pools that Ceph does not name");
    }
    say!("{}", pools.keys().copied().collect::<Vec<_>>().join(", "))
}

fn places(pools: &BTreeMap<&str, u32>) -> Vec<Place> {
    pools.keys().map(|name| Place::Pool((*name).to_owned())).collect()
}

/// Without an active mgr the states of placement groups are those it sent last: old, however green.
fn old_pg_states(facts: &Facts<'_>, status: &Status) -> Result<Option<Unknown>, Gap> {
    if status.mgrmap.available {
        return Ok(None);
    }
    let fact = Fact::Ceph { ns: facts.cluster()?.ns.clone(), command: CephCommand::Status };
    let why = Why::Unreachable("no mgr is active, so the states of placement groups are old".into());
    Ok(Some(Unknown { fact, why }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks;

    #[test]
    fn owners_exist() {
        let codes = [
            "MON_DOWN",
            "MON_CLOCK_SKEW",
            "MON_DISK_CRIT",
            "MON_NETSPLIT",
            "MGR_DOWN",
            "DAEMON_OLD_VERSION",
            "OSD_SLOW_PING_TIME_FRONT",
            "OSDMAP_FLAGS",
            "OSD_FLAGS",
            "OSD_FULL",
            "OSD_ORPHAN",
            "SLOW_OPS",
            "BLUESTORE_SLOW_OP_ALERT",
            "PG_AVAILABILITY",
            "PG_DEGRADED",
            "POOL_APP_NOT_ENABLED",
            "PG_DAMAGED",
            "TOO_FEW_OSDS",
            "POOL_FULL",
            "TOO_MANY_PGS",
            "MGR_MODULE_ERROR",
            "RECENT_CRASH",
            "AUTH_INSECURE_SERVICE_TICKETS",
            "NVMEOF_GATEWAY_DOWN",
            "MDS_ALL_DOWN",
            "OSD_DOWN",
            "OSD_HOST_DOWN",
            "OSD_RACK_DOWN",
        ];
        for code in codes {
            let owner = owner(code);
            assert!(checks::ALL.iter().any(|check| Some(check.code) == owner), "{code} is owned by {owner:?}");
        }
    }

    #[test]
    fn what_nobody_owns_is_left_to_the_general_check() {
        for code in [
            "MON_MSGR2_NOT_ENABLED",
            "OSD_OUT_OF_ORDER_FULL",
            "OSD_NO_DOWN_OUT_INTERVAL",
            "AUTH_INSECURE_SOMETHING_NEW",
            "NEW_CODE",
        ] {
            assert_eq!(owner(code), None, "{code}");
        }
    }

    #[test]
    fn texts_name_daemons() {
        let found: Vec<_> = daemons("12 slow ops, daemons [osd.2,osd.3] have slow ops; see mon.a, osd.").collect();
        assert_eq!(found, [("osd", "2"), ("osd", "3"), ("mon", "a")]);
    }

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(quoted("kube-rbd.1"), "kube-rbd.1");
        assert_eq!(quoted("a b'; rm"), r"'a b'\''; rm'");
    }
}
