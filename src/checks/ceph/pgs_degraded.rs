use std::collections::BTreeSet;

use super::{ceph_command, old_pg_states, places, pool_names, pools_of, toned};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity};
use crate::checks::node::maintenance::in_maintenance;
use crate::checks::osd::crush_name;
use crate::facts::{Facts, Gap, Settled, both, known};
use crate::objects::ceph::Status;
use crate::say;

check! {
    /// # What it looks at
    /// The health code PG_DEGRADED: placement groups with fewer copies than their pool wants, by pool, and
    /// whether Ceph is recovering them.
    ///
    /// # Why it matters
    /// The data can be read and written, but the next failure may make it unreachable. While groups recover,
    /// waiting is the remedy. Groups that stay undersized without any OSD down have too few failure domains
    /// for the size of their pool.
    ///
    /// # Confirm by hand
    /// `ceph -s`, `ceph pg dump_stuck undersized degraded`.
    ///
    /// # Fix
    /// Bring the OSDs back, or wait for recovery. While a node is drained for maintenance it is information. Do nothing that takes more OSDs down until the groups are
    /// clean.
    ///
    /// # References
    /// Ceph: health code PG_DEGRADED, "Monitoring OSDs and PGs".
    "CEPH004" "pgs-degraded" Ceph,
    needs: [CephHealth, CephStatus, Pools, Nodes, OsdTree, Objects],
    explained_by: [
        (ceph::pool_unplaceable, Pool),
        (osd::osd_missing, Cluster),
        (osd::osd_down, Cluster),
        (osd::osd_flags_left, Cluster),
        (osd::osd_capacity, Pool),
    ],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (health, status) = both(facts.ceph_health(), facts.ceph_status())?;
    let Some(code) = health.checks.get("PG_DEGRADED") else {
        return Ok(Answered::passed().blind(old_pg_states(facts, status)?));
    };
    let cluster = facts.cluster()?;
    let mut blind = Vec::new();
    let pools = known(facts.pools().settled()?, &mut blind);
    let pools = pools.map(|pools| pools_of(code.details(), pools)).unwrap_or_default();
    let which = pool_names(&pools);
    let recovers = status.pgmap.pgs_by_state.iter().any(|state| is_recovering(&state.state_name));
    let summary = if recovers {
        say!("data of {} has fewer copies than wanted and is recovering: {}", which, code.summary.message)
    } else {
        say!("data of {} has fewer copies than wanted: {}", which, code.summary.message)
    };
    let remedy = if recovers {
        Remedy::advice(say!("wait for recovery, and take no more OSDs down until the placement groups are clean"))
    } else {
        Remedy::advice(say!(
            "bring the OSDs back that are down, and take no more down until the placement groups are clean"
        ))
    };
    let remedy = remedy.command(ceph_command(cluster, "status"));
    let severity = if is_planned(facts, status)? { Severity::Info } else { Severity::Warning };
    let finding = Finding::new(toned(code, severity), ObjectRef::cluster(cluster), summary, remedy)
        .at(places(&pools))
        .evidence([Evidence::ceph("health detail", &code.summary.message)])
        .evidence(code.details().take(3).map(|detail| Evidence::ceph("health detail", detail)));
    Ok(Answered::judged(vec![finding]).blind(blind))
}

/// Whether all OSDs that are down are on nodes where maintenance goes on.
fn is_planned(facts: &Facts<'_>, status: &Status) -> Result<bool, Gap> {
    let nodes = in_maintenance(facts)?;
    if nodes.is_empty() || status.osdmap.num_up_osds == status.osdmap.num_osds {
        return Ok(false);
    }
    // Without the tree nobody knows which OSDs are down, and the warning stands.
    let Ok(tree) = facts.osd_tree().settled()? else { return Ok(false) };
    let hosts: BTreeSet<String> = nodes.into_iter().map(crush_name).collect();
    let mut down = tree.osds().filter(|osd| osd.is_down());
    Ok(down.all(|osd| tree.host_of(osd.id).is_some_and(|host| hosts.contains(host))))
}

/// Copies are made, or wait their turn; `backfill_toofull` and `recovery_unfound` wait for a person.
fn is_recovering(state: &str) -> bool {
    let words = ["recovering", "recovery_wait", "backfilling", "backfill_wait", "backfill"];
    state.split('+').any(|word| words.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stuck_does_not_recover() {
        assert!(is_recovering("active+undersized+degraded+remapped+backfill_wait"));
        assert!(is_recovering("active+recovering+degraded"));
        assert!(!is_recovering("active+undersized+degraded+remapped+backfill_toofull"));
        assert!(!is_recovering("active+recovery_unfound+degraded"));
    }
}
