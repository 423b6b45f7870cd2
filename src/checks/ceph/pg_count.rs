use super::{ceph_command, raised, toned};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity};
use crate::checks::opr::reconcile_failing::still_failing;
use crate::facts::{Cluster, Facts, Gap, Settled, both};
use crate::objects::ceph::HealthCheck;
use crate::objects::kube::Event;
use crate::say;

check! {
    /// # What it looks at
    /// The health codes about the number of placement groups (TOO_MANY_PGS, TOO_FEW_PGS, POOL_TOO_MANY_PGS and their
    /// like) and about the target sizes that the autoscaler works with; and events of Rook's resources in which
    /// Ceph refuses a pool because its OSDs would have too many groups (ERANGE).
    ///
    /// # Why it matters
    /// Too many groups per OSD cost memory and make every restart slow, and beyond `mon_max_pg_per_osd` Ceph makes no
    /// more pools: then a CephBlockPool or CephFilesystem never becomes Ready. Too few spread the data unevenly, which
    /// is a matter of taste in a small cluster. An autoscaler that is switched off is somebody's choice.
    ///
    /// # Confirm by hand
    /// `ceph osd pool autoscale-status`, `ceph osd df` (column PGS), `ceph config get mon mon_max_pg_per_osd`.
    ///
    /// # Fix
    /// Let the autoscaler set the numbers (`pg_autoscale_mode on`), remove pools that nobody uses, or add OSDs. Raise
    /// `mon_max_pg_per_osd` only where the OSDs have the memory.
    ///
    /// # References
    /// Ceph: health codes TOO_MANY_PGS, POOL_TOO_FEW_PGS; "Placement Groups".
    "CEPH008" "pg-count" Ceph,
    needs: [CephHealth, ClusterEvents, Objects],
    explained_by: [(osd::osd_down, Cluster), (osd::osd_missing, Cluster), (osd::osds_not_deployed, Cluster)],
}

/// Those that cost something, before those that are a matter of taste or size.
const RISKS: &[&str] = &[
    "TOO_MANY_PGS",
    "POOL_TOO_MANY_PGS",
    "SMALLER_PGP_NUM",
    "POOL_TARGET_SIZE_BYTES_OVERCOMMITTED",
    "POOL_HAS_TARGET_SIZE_BYTES_AND_RATIO",
];
const TASTE: &[&str] = &["TOO_FEW_PGS", "POOL_TOO_FEW_PGS", "MANY_OBJECTS_PER_PG", "POOL_PG_NUM_NOT_POWER_OF_TWO"];

/// The codes that this check reports.
pub(super) fn is_owned(code: &str) -> bool {
    RISKS.contains(&code) || TASTE.contains(&code)
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (health, events) = both(facts.ceph_health(), facts.cluster_events().settled())?;
    let cluster = facts.cluster()?;
    let told = |codes: &[&'static str], severity| {
        raised(health, codes).into_iter().map(move |(code, check)| finding(cluster, code, check, severity))
    };
    let mut findings: Vec<Finding> = told(RISKS, Severity::Warning).chain(told(TASTE, Severity::Info)).collect();
    let blind = match events {
        Ok(events) => match still_failing(facts, events, |event| event.message.contains("ERANGE")).settled()? {
            Ok(refused) => {
                findings.extend(refused.into_iter().map(|event| refused_pool(cluster, event)));
                None
            }
            Err(unknown) => Some(unknown),
        },
        Err(unknown) => Some(unknown),
    };
    Ok(Answered::judged(findings).blind(blind))
}

fn finding(cluster: &Cluster, code: &str, check: &HealthCheck, severity: Severity) -> Finding {
    let summary = say!("the number of placement groups does not fit: {}", check.summary.message);
    let remedy =
        Remedy::guided(say!("see what the autoscaler would set, and let it, or set pg_num of the pools that it names"))
            .command(ceph_command(cluster, "osd pool autoscale-status"))
            .command(ceph_command(cluster, "osd df"));
    Finding::new(toned(check, severity), ObjectRef::cluster(cluster), summary, remedy)
        .detail(code)
        .evidence([Evidence::ceph("health detail", format!("{code}: {}", check.summary.message))])
        .evidence(check.details().take(4).map(|detail| Evidence::ceph("health detail", detail)))
}

/// Ceph's own words in the event of a CephBlockPool, CephFilesystem or CephObjectStore.
fn refused_pool(cluster: &Cluster, event: &Event) -> Finding {
    let about = &event.involved_object;
    let object = ObjectRef {
        api_version: "ceph.rook.io/v1".into(),
        kind: about.kind.clone(),
        namespace: about.namespace.clone(),
        name: about.name.clone(),
        stable: None,
    };
    let summary =
        say!("Ceph refuses a pool of {} {}: its OSDs would have too many placement groups", about.kind, about.name);
    let remedy = Remedy::guided(say!("remove pools that nobody uses, let the autoscaler lower pg_num of the others, or add OSDs; the operator tries again by itself"))
        .command(ceph_command(cluster, "osd pool autoscale-status"))
        .command(ceph_command(cluster, "config get mon mon_max_pg_per_osd"));
    Finding::warning(object, summary, remedy)
        .detail("ERANGE")
        .since(event.first_seen())
        .evidence([Evidence::event(event)])
}
