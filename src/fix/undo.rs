//! The plan that takes a fix back.

use super::journal::{Run, Stand};
use super::{Act, Condition, Plan, Risk, Step};
use crate::say;

/// What a fix changed, taken back in the opposite order. Without steps if there is nothing to take back.
pub fn plan(run: &Run) -> Plan {
    let mut plan = Plan::new(say!("take back: {}", run.begun.plan.does), Risk::Disruptive);
    // Whoever works on the cluster now may want it back.
    plan.guards.clear();
    let taken = run.begun.plan.steps.iter().zip(&run.steps);
    let taken = taken.filter(|(_, stand)| matches!(stand, Stand::Done | Stand::Begun)).map(|(step, _)| step);
    for step in standing(taken).into_iter().rev() {
        if let Some(act) = step.act.inverse() {
            let guards = let_go(&act).into_iter().collect();
            plan.steps.push(Step { does: say!("take back: {}", step.does), guards, act });
        }
    }
    plan
}

/// The steps whose effect still stands: what the plan itself took back later is over.
fn standing<'s>(taken: impl Iterator<Item = &'s Step>) -> Vec<&'s Step> {
    let mut standing: Vec<&Step> = Vec::new();
    for step in taken {
        let inverse = step.act.inverse();
        match standing.iter().position(|earlier| Some(&earlier.act) == inverse.as_ref()) {
            Some(at) => drop(standing.remove(at)),
            None => standing.push(step),
        }
    }
    standing
}

/// An OSD that is down while noout is taken from it is marked out, and its data moves.
fn let_go(act: &Act) -> Option<Condition> {
    let Act::Ceph { words, .. } = act else { return None };
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["osd", "unset-group", "noout", osds @ ..] => {
            let osds = osds.iter().filter_map(|osd| osd.strip_prefix("osd.")?.parse().ok()).collect();
            Some(Condition::OsdsUp { osds })
        }
        ["osd", "unset", "noout"] => Some(Condition::OsdsUp { osds: Vec::new() }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fix::journal::{Begun, ClusterId};

    const SET: [&str; 4] = ["osd", "set-group", "noout", "osd.1"];
    const UNSET: [&str; 4] = ["osd", "unset-group", "noout", "osd.1"];

    fn run(steps: Vec<(Step, Stand)>) -> Run {
        let (steps, stands): (Vec<_>, Vec<_>) = steps.into_iter().unzip();
        let plan = Plan::new(say!("x"), Risk::Safe).steps(steps);
        let cluster = ClusterId { namespace: "ns".into(), name: "c".into(), uid: "1".into() };
        let begun = Begun {
            finding: "X/Y/z".into(),
            consequences: Vec::new(),
            context: String::new(),
            cluster,
            user: String::new(),
            plan,
            undoes: None,
        };
        Run {
            id: "1".into(),
            at: "2026-01-01T00:00:00Z".parse().unwrap(),
            begun,
            steps: stands,
            ended: None,
            undone_by: None,
        }
    }

    fn words(plan: &Plan) -> Vec<String> {
        let words = |step: &Step| match &step.act {
            Act::Ceph { words, .. } => words.join(" "),
            other => panic!("{other:?}"),
        };
        plan.steps.iter().map(words).collect()
    }

    #[test]
    fn only_what_still_stands_is_taken_back() {
        let set = || Step::ceph(say!("set"), &SET, Some(&UNSET));
        let unset = || Step::ceph(say!("unset"), &UNSET, Some(&SET));
        let whole = plan(&run(vec![(set(), Stand::Done), (unset(), Stand::Done)]));
        assert_eq!(words(&whole), [] as [&str; 0]);
        let half = plan(&run(vec![(set(), Stand::Done), (unset(), Stand::Open)]));
        assert_eq!(words(&half), ["osd unset-group noout osd.1"]);
        assert_eq!(half.steps[0].guards, [Condition::OsdsUp { osds: vec![1] }]);
        let perhaps = plan(&run(vec![(set(), Stand::Begun), (unset(), Stand::Open)]));
        assert_eq!(words(&perhaps).len(), 1);
        let refused = plan(&run(vec![(set(), Stand::Failed("x".into()))]));
        assert_eq!(words(&refused), [] as [&str; 0]);
    }
}
