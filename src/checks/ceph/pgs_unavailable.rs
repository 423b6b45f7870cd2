use super::{ceph_command, old_pg_states, places, pool_names, pools_of, toned};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity};
use crate::facts::{Facts, Gap, Settled, both, known};
use crate::objects::ceph::{HealthCheck, Status};
use crate::say;

check! {
    /// # What it looks at
    /// The health code PG_AVAILABILITY: placement groups that are inactive, down, stale, unknown or incomplete,
    /// by pool. Groups that only peer, as they do for seconds after every change, are a warning.
    ///
    /// # Why it matters
    /// Reads and writes to these placement groups hang, and with them every volume and file on the pool, until
    /// enough OSDs of each group are up. Without an active mgr the states that Ceph shows are old, and the
    /// answer is unknown.
    ///
    /// # Confirm by hand
    /// `ceph health detail`, `ceph pg dump_stuck inactive`, `ceph pg <id> query`.
    ///
    /// # Fix
    /// Bring the OSDs back that hold the data. Never mark an OSD lost, and never lower `min_size` to 1, to get
    /// groups active: that trades the outage for lost writes.
    ///
    /// # References
    /// Ceph: health code PG_AVAILABILITY, "Troubleshooting PGs".
    "CEPH003" "pgs-unavailable" Ceph,
    needs: [CephHealth, CephStatus, Pools],
    explained_by: [
        (ceph::pool_unplaceable, Pool),
        (osd::osds_not_deployed, Cluster),
        (osd::osd_missing, Cluster),
        (osd::osd_down, Cluster),
        (net::nad_host_local_shared, Cluster),
    ],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (health, status) = both(facts.ceph_health(), facts.ceph_status())?;
    let Some(code) = health.checks.get("PG_AVAILABILITY") else {
        return Ok(Answered::passed().blind(old_pg_states(facts, status)?));
    };
    let cluster = facts.cluster()?;
    let mut blind = Vec::new();
    let pools = known(facts.pools().settled()?, &mut blind);
    let pools = pools.map(|pools| pools_of(code.details(), pools)).unwrap_or_default();
    let severity = if only_peering(code) { Severity::Warning } else { Severity::Critical };
    let which = pool_names(&pools);
    let remedy = Remedy::guided(say!(
        "bring the OSDs back that hold the data; never mark an OSD lost and never set min_size 1 to get there"
    ))
    .command(ceph_command(cluster, "pg dump_stuck inactive"))
    .command(ceph_command(cluster, "osd tree down"));
    let summary = say!("data of {} cannot be reached: {}", which, code.summary.message);
    let finding = Finding::new(toned(code, severity), ObjectRef::cluster(cluster), summary, remedy)
        .at(places(&pools))
        .evidence(code.details().take(4).map(|detail| Evidence::ceph("health detail", detail)))
        .evidence([states(status)]);
    Ok(Answered::judged(vec![finding]).blind(blind))
}

/// Peering ends by itself within seconds, unless something else is in the message.
fn only_peering(code: &HealthCheck) -> bool {
    let message = &code.summary.message;
    let worse = ["inactive", "down", "stale", "unknown", "incomplete"];
    message.contains("peering") && !worse.iter().any(|state| message.contains(state))
}

fn states(status: &Status) -> Evidence {
    let states = status.pgmap.pgs_by_state.iter().map(|state| format!("{} {}", state.count, state.state_name));
    Evidence::ceph("status", states.collect::<Vec<_>>().join(", "))
}
