//! NET015: addresses that whereabouts keeps for pods that are gone are released.
//!
//! A pod that is being deleted releases its address by itself, so only what was seen twice, ten minutes apart, counts:
//! the first time the fix remembers what it saw, and the second time it has a plan. Each allocation goes only as the
//! same one, with its id and podref, and while the check still proves that nobody has the address; its reservation
//! goes with it. Taking the fix back gives both their old places.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use crate::checks::net::address_leak::{Leaks, leaks, reservation_of, sight};
use crate::checks::net::storage_networks;
use crate::checks::net::whereabouts::Given;
use crate::facts::{Gap, kinds};
use crate::fix::{Act, Case, Condition, Object, Plan, Proposal, Risk, Step};
use crate::say;

/// Longer than a pod takes to go, and its address after it.
const APART: SignedDuration = SignedDuration::from_mins(10);

pub fn plan(case: &Case<'_>) -> Result<Proposal, Gap> {
    let facts = case.facts;
    let networks = storage_networks(facts)?;
    let (Some(object), Some(found)) = (case.finding.objects.first(), leaks(facts, &networks)?) else {
        return Ok(Proposal::Guided(say!("nothing is leaked any more: diagnose again")));
    };
    let Leaks { books, reservations } = &found;
    let here = books.iter().filter(|(book, _)| book.object() == *object);
    let mut leaked: BTreeMap<String, &Given<'_>> = BTreeMap::new();
    for (book, given) in here {
        leaked.extend(given.iter().map(|given| (sight(book, given), given)));
    }
    let now = facts.now();
    let is_old = |what: &String| case.sighted.get(what).is_some_and(|at| now.duration_since(*at) >= APART);
    let sure: BTreeMap<&String, &&Given<'_>> = leaked.iter().filter(|(what, _)| is_old(what)).collect();
    if sure.is_empty() {
        let why = match leaked.keys().filter_map(|what| case.sighted.get(what)).min() {
            Some(at) => say!(
                "what is found now was first seen {} min ago: ask again when it is ten",
                now.duration_since(*at).as_mins()
            ),
            None => say!(
                "what is found now is remembered: ask again in ten minutes, and what is still found then is released"
            ),
        };
        return Ok(Proposal::Later { seen: leaked.into_keys().collect(), why });
    }
    let whole = facts.whole(kinds::IP_POOL, &object.namespace, &object.name)?;
    let Some(before) = whole else { return Ok(Proposal::Guided(say!("{} is gone: diagnose again", object))) };
    let mut after = before.clone();
    for given in sure.values() {
        after["spec"]["allocations"].as_object_mut().map(|all| all.remove(given.key));
    }
    let patch = Act::Patch { object: Object::of(kinds::IP_POOL, before), before: before.clone(), after };
    let addresses: Vec<String> = sure.values().map(|given| given.address.to_string()).collect();
    let leaked = Condition::Leaked { sights: sure.keys().map(|what| (*what).clone()).collect() };
    let mut plan = Plan::new(say!("release {}, which no pod has", addresses.join(", ")), Risk::Safe)
        .warning(say!("what takes addresses of this range without whereabouts is not seen: another cluster, a host, a virtual machine"))
        .step(Step::new(say!("take {} out of the allocations of {}", addresses.join(", "), object), patch).guard(leaked));
    let kept = sure.values().filter_map(|given| reservation_of(given.address, &given.allocation.podref, reservations));
    let kept =
        facts.each(kept, |facts, it| facts.whole(kinds::IP_RESERVATION, &it.metadata.namespace, &it.metadata.name))?;
    if let Some(unknown) = kept.blind.into_iter().next() {
        return Err(Gap::Unknown(unknown));
    }
    for (_, whole) in kept.seen {
        let Some(whole) = whole else { continue };
        let object = Object::of(kinds::IP_RESERVATION, whole);
        let does = say!("delete the reservation {}", object);
        plan = plan.step(Step::new(does, Act::Delete { object, saved: Some(whole.clone()) }));
    }
    Ok(Proposal::Plan(plan.next(say!("if addresses leak again and again, nodes go down without a clean stop: let whereabouts look more often (cron-expression in its ConfigMap whereabouts-config)"))))
}
