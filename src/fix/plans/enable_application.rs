//! CEPH002: the application that its use proves is enabled on a pool that has none.
//!
//! Nothing but the name is added. The wrong one is not repaired by adding the right one, so one is enabled only where
//! everything that might use the pool could be read and agrees, and never beside another.

use crate::checks::ceph::pool_users::users;
use crate::facts::Gap;
use crate::fix::{Case, Condition, Plan, Proposal, Risk, Step};
use crate::say;

pub fn plan(case: &Case<'_>) -> Result<Proposal, Gap> {
    let cluster = case.facts.cluster()?;
    if cluster.external {
        return Ok(Proposal::Guided(say!(
            "this Ceph is managed elsewhere, and the user here may not change its pools"
        )));
    }
    let Some(pool) = case.finding.detail.as_deref() else {
        return Ok(Proposal::Guided(say!("Ceph does not name the pool")));
    };
    let mut blind = Vec::new();
    let proofs = users(case.facts, &mut blind)?.of(pool, &cluster.ns);
    if let Some(unknown) = blind.first() {
        return Ok(Proposal::Guided(say!(
            "what might use the pool could not be read: {}: {}",
            unknown.fact.text(),
            unknown.why.text()
        )));
    }
    let mut proofs = proofs.into_iter();
    let (Some((application, by)), None) = (proofs.next(), proofs.next()) else {
        return Ok(Proposal::Guided(say!("its use does not prove just one application")));
    };
    let enable = ["osd", "pool", "application", "enable", pool, application.as_str()];
    let disable = ["osd", "pool", "application", "disable", pool, application.as_str(), "--yes-i-really-mean-it"];
    let plan = Plan::new(say!("enable the application {} on pool {}", application, pool), Risk::Safe)
        .warning(say!(
            "only Kubernetes says what the pool is for ({}); whoever uses it from outside is not seen",
            by.join(", ")
        ))
        .guard(Condition::PoolApplication { pool: pool.to_owned(), only: application.clone() })
        .step(Step::ceph(say!("enable {} on {}", application, pool), &enable, Some(&disable)))
        .next(say!("a pool of rbd that was never initialized also needs: rbd pool init {}", pool));
    Ok(Proposal::Plan(plan))
}
