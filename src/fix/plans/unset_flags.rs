//! OSD011: flags that an earlier fix of this tool set, and that were left, are taken away.
//!
//! The journal says which these are. All others somebody set for a reason that only they know. `noout` stays while an
//! OSD is down that it covers: without it the OSD would be marked out, and its data copied elsewhere.

use crate::check::Text;
use crate::checks::osd::osd_flags_left::{of_kind, of_osd};
use crate::facts::{Facts, Gap};
use crate::fix::{Case, Condition, Plan, Proposal, Risk, Step};
use crate::say;

pub fn plan(case: &Case<'_>) -> Result<Proposal, Gap> {
    let detail = case.finding.detail.as_deref().unwrap_or_default();
    let osd: Option<i64> = detail.strip_prefix("osd.").and_then(|osd| osd.parse().ok());
    let flags = flags(case.facts, detail, osd)?;
    let ours = |flag: &String| {
        let left = osd.map_or_else(|| flag.clone(), |osd| format!("{flag} osd.{osd}"));
        case.flags_left.contains(&left)
    };
    if flags.is_empty() || !flags.iter().all(ours) {
        return Ok(Proposal::Guided(say!(
            "the journal of this tool does not say that it set all of these flags: only whoever set them knows whether they are still needed"
        )));
    }
    let who = osd.map_or_else(|| say!("the whole cluster"), |osd| say!("osd.{}", osd));
    let mut plan = Plan::new(say!("take {} away from {}", flags.join(", "), who), Risk::Safe).warning(say!(
        "an earlier fix of this tool set it and was broken off; if somebody counts on it since then, they lose it"
    ));
    for flag in flags {
        plan = plan.step(unset(&flag, osd, &who));
    }
    Ok(Proposal::Plan(plan))
}

fn flags(facts: &Facts<'_>, detail: &str, osd: Option<i64>) -> Result<Vec<String>, Gap> {
    let flags = match osd {
        Some(osd) => of_osd(facts.osd_dump()?, osd),
        None => of_kind(&facts.ceph_status()?.health, detail),
    };
    Ok(flags.into_iter().map(str::to_owned).collect())
}

fn unset(flag: &str, osd: Option<i64>, who: &Text) -> Step {
    let does = say!("take {} away from {}", flag, who);
    let (step, osds) = match osd {
        Some(osd) => {
            let name = format!("osd.{osd}");
            let words = |verb| ["osd", verb, flag, name.as_str()];
            (Step::ceph(does, &words("unset-group"), Some(&words("set-group"))), vec![osd])
        }
        None => (Step::ceph(does, &["osd", "unset", flag], Some(&["osd", "set", flag])), Vec::new()),
    };
    if flag == "noout" { step.guard(Condition::OsdsUp { osds }) } else { step }
}
