use std::collections::BTreeMap;

use super::pool_users::users;
use super::{ceph_command, quoted, toned};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::facts::{Cluster, Facts, Gap};
use crate::lang::listed;
use crate::objects::ceph::HealthCheck;
use crate::say;

check! {
    /// # What it looks at
    /// The pools that POOL_APP_NOT_ENABLED names, and who uses them: CephBlockPools and rbd StorageClasses
    /// (`rbd`), CephFilesystems and cephfs StorageClasses (`cephfs`), CephObjectStores (`rgw`).
    ///
    /// # Why it matters
    /// Ceph warns until every pool with data says what it is for, and clients with narrow capabilities
    /// (`profile rbd`, `allow rw tag cephfs`) may be refused. A pool made by hand has no application. The wrong
    /// one is not repaired by adding the right one, so it is named only where its use proves it.
    ///
    /// # Confirm by hand
    /// `ceph health detail`, `ceph osd pool application get <pool>`.
    ///
    /// # Fix
    /// `ceph osd pool application enable <pool> <application>`; for rbd also `rbd pool init <pool>` if that was
    /// never done. Undo: `ceph osd pool application disable <pool> <application> --yes-i-really-mean-it`.
    /// Better still, let a CephBlockPool own the pool. `kubectl rookdoctor fix CEPH002` enables it where the use of the
    /// pool proves just one application, and never on a pool that has one.
    ///
    /// # References
    /// Ceph: health code POOL_APP_NOT_ENABLED, "Associating a Pool with an Application".
    "CEPH002" "pool-application-missing" Ceph,
    needs: [Discovery, CephHealth, Objects],
    fix: enable_application,
    explained_by: [],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let health = facts.ceph_health()?;
    let Some(code) = health.checks.get("POOL_APP_NOT_ENABLED") else { return Ok(Answered::passed()) };
    let cluster = facts.cluster()?;
    let mut blind = Vec::new();
    let users = users(facts, &mut blind)?;
    let named = |detail: &'_ str| -> Option<String> {
        Some(detail.split("application not enabled on pool '").nth(1)?.strip_suffix('\'')?.to_owned())
    };
    let pools: Vec<String> = code.details().filter_map(named).collect();
    let severity = toned(code, Severity::Warning);
    if pools.is_empty() {
        return Ok(Answered::judged(vec![unnamed(cluster, code, severity)]).blind(blind));
    }
    // What could not be read might prove another application.
    let sees_all = blind.is_empty();
    let proofs = |pool: &str| if sees_all { users.of(pool, &cluster.ns) } else { BTreeMap::new() };
    let findings = pools.iter().map(|pool| finding(cluster, pool, &proofs(pool), severity, sees_all));
    Ok(Answered::judged(findings.collect()).blind(blind))
}

/// The code with no detail that could be read.
fn unnamed(cluster: &Cluster, code: &HealthCheck, severity: Severity) -> Finding {
    let remedy = Remedy::guided(say!("find the pools without an application, and who uses them"))
        .command(ceph_command(cluster, "osd pool ls detail"));
    let summary = say!("{}, and Ceph does not name them", code.summary.message);
    Finding::new(severity, ObjectRef::cluster(cluster), summary, remedy)
        .evidence([Evidence::ceph("health detail", &code.summary.message)])
}

fn finding(
    cluster: &Cluster,
    pool: &str,
    proofs: &BTreeMap<String, Vec<String>>,
    severity: Severity,
    sees_all: bool,
) -> Finding {
    let object = ObjectRef::cluster(cluster);
    let enable = |application: &str| {
        ceph_command(cluster, &format!("osd pool application enable {} {application}", quoted(pool)))
    };
    let all: Vec<_> = proofs.iter().collect();
    let (summary, remedy) = match all.as_slice() {
        [] if !sees_all => (
            say!("pool {} has no application, and not all that might use it could be read", pool),
            Remedy::guided(say!("find out who uses the pool before an application is enabled"))
                .command(ceph_command(cluster, &format!("osd pool application get {}", quoted(pool)))),
        ),
        [(application, by)] => {
            let remedy = Remedy::guided(say!("enable the application {} on pool {}", application, pool))
                .command(enable(&quoted(application)));
            (
                say!("pool {} has no application; {} uses it as {}", pool, by.join(", "), application),
                if cluster.external { remedy } else { remedy.auto() },
            )
        }
        [] => (
            say!("pool {} has no application, and nothing here says what it is for", pool),
            Remedy::guided(say!("find out who uses the pool, then enable rbd, cephfs, rgw or a name of your own"))
                .command(ceph_command(cluster, &format!("osd pool application get {}", quoted(pool)))),
        ),
        several => (
            say!(
                "pool {} has no application, and it is used as {}",
                pool,
                listed(several.iter().map(|(application, _)| application))
            ),
            Remedy::guided(say!("decide which application the pool belongs to; a pool should serve one"))
                .command(ceph_command(cluster, &format!("osd pool application get {}", quoted(pool)))),
        ),
    };
    let proofs = all.iter().flat_map(|(application, by)| by.iter().map(move |by| format!("{by}: {application}")));
    Finding::new(severity, object.clone(), summary, remedy)
        .detail(pool)
        .at([Place::Pool(pool.to_owned())])
        .evidence([Evidence::ceph("health detail", format!("application not enabled on pool '{pool}'"))])
        .evidence(proofs.map(|proof| Evidence {
            from: proof,
            field: String::new(),
            at: None,
            excerpt: format!("pool {pool}"),
        }))
}
