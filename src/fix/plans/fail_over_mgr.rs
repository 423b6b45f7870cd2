//! CEPH010: the standby mgr takes over, and loads the failed module anew.
//!
//! Data is read and written without a mgr; what it serves pauses for some seconds. Without a standby nothing would
//! take over, and a module that cannot be loaded here cannot be there either: both are left to a person.

use crate::checks::ceph::mgr_module_error::FAILED;
use crate::facts::Gap;
use crate::fix::{Case, Condition, Plan, Proposal, Risk, Step};
use crate::say;

/// The standby is up; it has to load its modules.
const ACTIVE_WITHIN: u64 = 300;

pub fn plan(case: &Case<'_>) -> Result<Proposal, Gap> {
    if case.facts.cluster()?.external {
        return Ok(Proposal::Guided(say!("this Ceph is managed elsewhere")));
    }
    if case.finding.detail.as_deref() != Some(FAILED) {
        return Ok(Proposal::Guided(say!("another mgr of the same image could not load the module either")));
    }
    if case.facts.ceph_status()?.mgrmap.num_standbys == 0 {
        return Ok(Proposal::Guided(say!("there is no standby mgr that could take over")));
    }
    let plan = Plan::new(say!("fail over to the standby mgr, which loads its modules anew"), Risk::Disruptive)
        .interrupts(say!("metrics, the dashboard, the autoscaler and the making of CephFS volumes pause for some seconds; data is read and written all the while"))
        .warning(say!("whether the module works there shows only afterwards: what it failed of may be in Ceph itself"))
        .guard(Condition::MgrActive)
        .step(Step::ceph(say!("make the active mgr give up"), &["mgr", "fail"], None).guard(Condition::StandbyMgr))
        .step(Step::wait(say!("wait until a mgr is active"), Condition::MgrActive, ACTIVE_WITHIN))
        .next(say!("if the module fails there too, the log of the active mgr has its traceback: disable a module that nobody needs, or upgrade Ceph"));
    Ok(Proposal::Plan(plan))
}
