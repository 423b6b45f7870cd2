use std::collections::BTreeSet;

use super::{ceph_command, places, pool_names, pools_of, raised, toned, tool_command};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity, Text};
use crate::facts::{Cluster, Facts, Gap, Settled, Unknown, known};
use crate::lang::{Listed, clauses};
use crate::objects::ceph::{Health, HealthCheck, OsdTree};
use crate::say;

check! {
    /// # What it looks at
    /// The health codes PG_DAMAGED and OSD_SCRUB_ERRORS (copies of an object differ or cannot be read) and
    /// OBJECT_UNFOUND (no OSD that is there has the newest copy), by placement group and pool.
    ///
    /// # Why it matters
    /// This is the data itself. A copy that differs is usually a failing disk, and `pg repair` does not ask which
    /// copy is right: it takes the authoritative one, after which nobody can tell any more. Reads and writes of an
    /// unfound object hang; it is mostly on an OSD that is down, and comes back with it.
    ///
    /// # Confirm by hand
    /// `ceph health detail`; `rados list-inconsistent-obj <pg> --format=json-pretty`; `ceph pg <pg> list_unfound`.
    /// Not observable from the API: on the host of each OSD of the acting set run `dmesg` and `smartctl -a`.
    ///
    /// # Fix
    /// Differing copies: find the OSD that reports the read error, look at its disk, then `ceph pg repair <pg>`. An
    /// unfound object: bring back every OSD that may have it. `mark_unfound_lost` gives data up; this tool never
    /// proposes it as a command.
    ///
    /// # References
    /// Ceph: health codes PG_DAMAGED, OBJECT_UNFOUND; "Repairing PG Inconsistencies", "Troubleshooting PGs".
    "CEPH005" "pgs-damaged" Ceph,
    needs: [CephHealth, Pools, OsdTree],
    explained_by: [(osd::osd_down, Daemon)],
}

/// PG_DAMAGED names both kinds; the states in its details tell them apart.
const CODES: &[&str] = &["PG_DAMAGED", "OSD_SCRUB_ERRORS", "OBJECT_UNFOUND"];
const UNFOUND: &str = "unfound";

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let health = facts.ceph_health()?;
    let codes = raised(health, CODES);
    let groups = |unfound: bool| -> BTreeSet<&str> {
        let details = codes.iter().flat_map(|(_, code)| code.details());
        details.filter(|text| text.contains(UNFOUND) == unfound).filter_map(group).collect()
    };
    let (differing, unfound) = (groups(false), groups(true));
    let is_raised = |code: &str| health.checks.contains_key(code);
    let is_unfound = !unfound.is_empty() || is_raised("OBJECT_UNFOUND");
    let mut findings = Vec::new();
    let mut blind = Vec::new();
    // Damage of which no details are told is one of both, and the code stands.
    if !differing.is_empty() || is_raised("OSD_SCRUB_ERRORS") || is_raised("PG_DAMAGED") && !is_unfound {
        findings.push(inconsistent(facts, health, &differing, &mut blind)?);
    }
    if is_unfound {
        findings.push(not_found(facts, health, &unfound, &mut blind)?);
    }
    Ok(Answered::judged(findings).blind(blind))
}

/// `2.1f` of `pg 2.1f is active+clean+inconsistent, acting [0,5,4]`
fn group(detail: &str) -> Option<&str> {
    let id = detail.strip_prefix("pg ")?.split_whitespace().next()?;
    id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'.').then_some(id)
}

fn inconsistent(
    facts: &Facts<'_>,
    health: &Health,
    groups: &BTreeSet<&str>,
    blind: &mut Vec<Unknown>,
) -> Result<Finding, Gap> {
    let cluster = facts.cluster()?;
    let remedy = Remedy::guided(match groups.first() {
        Some(group) => say!(
            "find the disk with the bad copy first (the OSD whose shard the list gives errors for; its host's kernel log and SMART); only when one OSD alone has the bad copy, repair with ceph pg repair {}",
            group
        ),
        None => say!(
            "find the disk with the bad copy first (the OSD whose shard the list gives errors for; its host's kernel log and SMART); only when one OSD alone has the bad copy, repair with ceph pg repair and the group's id"
        ),
    });
    let list = |group| format!("rados list-inconsistent-obj {group} --format=json-pretty");
    let remedy = remedy.command(ceph_command(cluster, "health detail"));
    let lists = groups.iter().take(3).map(|group| tool_command(cluster, &list(group)));
    let remedy = lists.fold(remedy, Remedy::command);
    let codes = raised(health, &["PG_DAMAGED", "OSD_SCRUB_ERRORS"]);
    let (pools, names) = pools(facts, &codes, groups, blind)?;
    let summary = say!("copies of objects in {} differ or cannot be read: {}", names, told(&codes));
    Ok(finding(cluster, "inconsistent", summary, remedy, &codes).at(pools))
}

fn not_found(
    facts: &Facts<'_>,
    health: &Health,
    groups: &BTreeSet<&str>,
    blind: &mut Vec<Unknown>,
) -> Result<Finding, Gap> {
    let cluster = facts.cluster()?;
    // The objects are most likely on OSDs that are down: that is where the damage is.
    let tree = known(facts.osd_tree().settled()?, blind);
    let down = tree.into_iter().flat_map(OsdTree::osds).filter(|osd| osd.is_down());
    let down = down.map(|osd| Place::daemon("osd", osd.id));
    let remedy = Remedy::guided(say!(
        "bring back every OSD that may have the newest copy, those that are down or were taken out lately first; never mark objects as lost before all were tried"
    ))
    .command(ceph_command(cluster, "osd tree down"));
    let lists = groups.iter().take(3).map(|group| ceph_command(cluster, &format!("pg {group} list_unfound")));
    let remedy = lists.fold(remedy, Remedy::command);
    let codes = raised(health, &["OBJECT_UNFOUND", "PG_DAMAGED"]);
    let (pools, names) = pools(facts, &codes, groups, blind)?;
    let summary = say!("no OSD that is there has the newest copy of objects in {}: {}", names, told(&codes));
    Ok(finding(cluster, UNFOUND, summary, remedy, &codes).at(pools).at(down))
}

fn pools(
    facts: &Facts<'_>,
    codes: &[(&str, &HealthCheck)],
    groups: &BTreeSet<&str>,
    blind: &mut Vec<Unknown>,
) -> Result<(Vec<Place>, Text), Gap> {
    let pools = known(facts.pools().settled()?, blind).map(Vec::as_slice).unwrap_or_default();
    let details = codes.iter().flat_map(|(_, code)| code.details());
    let named = pools_of(details.filter(|text| group(text).is_some_and(|group| groups.contains(group))), pools);
    Ok((places(&named), pool_names(&named)))
}

fn told(codes: &[(&str, &HealthCheck)]) -> Listed {
    clauses(codes.iter().map(|(_, code)| &code.summary.message))
}

fn finding(cluster: &Cluster, detail: &str, summary: Text, remedy: Remedy, codes: &[(&str, &HealthCheck)]) -> Finding {
    let severity = codes.iter().map(|(_, code)| toned(code, Severity::Critical)).max().unwrap_or(Severity::Critical);
    let details = codes.iter().flat_map(|(_, code)| code.details()).take(4);
    Finding::new(severity, ObjectRef::cluster(cluster), summary, remedy)
        .detail(detail)
        .evidence(codes.iter().map(|(_, code)| Evidence::ceph("health detail", &code.summary.message)))
        .evidence(details.map(|detail| Evidence::ceph("health detail", detail)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_named_as_a_command_takes_them() {
        assert_eq!(group("pg 1.1d is active+clean+inconsistent, acting [0,5,4]"), Some("1.1d"));
        assert_eq!(group("pg 1;reboot is active"), None);
        assert_eq!(group("2 scrub errors"), None);
    }
}
