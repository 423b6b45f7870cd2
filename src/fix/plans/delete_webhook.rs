//! ACC006: the configuration of a webhook is deleted whose backend went with its namespace.
//!
//! Nothing can answer it any more, and it refuses every write that it covers. The whole object is kept in the journal,
//! and taking the fix back makes it anew. While the namespace exists, or where the configuration also calls webhooks
//! from elsewhere, a person decides.

use crate::checks::access::configurations;
use crate::checks::access::webhook_dead::service;
use crate::facts::Gap;
use crate::fix::{Act, Case, Condition, Object, Plan, Proposal, Risk, Step};
use crate::objects::kube::Namespace;
use crate::say;

pub fn plan(case: &Case<'_>) -> Result<Proposal, Gap> {
    let facts = case.facts;
    let webhook = case.finding.objects.first().map_or("", |object| object.name.as_str());
    let Some((_, ns)) = case.finding.evidence.iter().find_map(|evidence| service(&evidence.excerpt)) else {
        return Ok(Proposal::Guided(say!("the webhook is called by a URL: what stands behind that is not known here")));
    };
    if facts.object::<Namespace>("", ns)?.is_some() {
        return Ok(Proposal::Guided(say!("the namespace {} of its Service exists: its backend may come back", ns)));
    }
    let found = configurations(facts, webhook)?;
    if found.is_empty() {
        return Ok(Proposal::Guided(say!(
            "no configuration names the webhook any more: diagnose again in five minutes"
        )));
    }
    if let Some(other) = found.iter().find(|configuration| !configuration.is_served_from(ns)) {
        return Ok(Proposal::Guided(say!("{} {} also calls webhooks from elsewhere", other.kind.kind, other.name)));
    }
    let whole = facts.each(found, |facts, it| facts.whole(it.kind, "", it.name))?;
    if let Some(unknown) = whole.blind.into_iter().next() {
        return Err(Gap::Unknown(unknown));
    }
    let mut plan = Plan::new(
        say!("delete the configuration of the webhook {}, which nothing can answer", webhook),
        Risk::Disruptive,
    )
    .interrupts(say!(
        "what it was to check or to change is written unchecked and unchanged from then on; until now it was refused"
    ))
    .warning(say!("if its policies matter, install its backend again instead: namespace {}", ns))
    .warning(say!("the object is kept in the journal of this tool, and taking the fix back makes it anew"))
    .warning(say!("if the webhook covers Leases, this tool cannot take its own, and says so: then save the configuration and delete it by hand, with the commands of the finding"))
    .guard(Condition::NamespaceGone { namespace: ns.to_owned() });
    for (configuration, object) in whole.seen {
        let Some(object) = object else { continue };
        let act = Act::Delete { object: Object::of(configuration.kind, object), saved: Some(object.clone()) };
        plan = plan.step(Step::new(say!("delete {} {}", configuration.kind.kind, configuration.name), act));
    }
    let plan = plan.next(say!("refused writes are tried again within minutes; pods that were not made come with the next try of their ReplicaSet or DaemonSet"));
    Ok(Proposal::Plan(plan))
}
