//! How the run of a monitor ended: its status, and the last words in its log.

use jiff::SignedDuration;

use super::{Mon, deployment, mons};
use crate::check::Evidence;
use crate::checks::opr::older;
use crate::facts::{Each, Facts, Gap};
use crate::objects::kube::{ContainerStatus, Pod, Terminated};

const STARTING: SignedDuration = SignedDuration::from_mins(2);

/// A monitor whose pod has a node and does not run.
pub(super) struct Failed<'s> {
    pub mon: Mon<'s>,
    pub pod: &'s Pod,
}

/// The monitors that failed, by id; not those that only start.
pub(super) fn failed<'s>(facts: &Facts<'s>) -> Result<Each<&'s str, Failed<'s>>, Gap> {
    let ns = facts.cluster()?.ns.as_str();
    let suspects = mons(facts)?.into_iter().filter(|mon| !mon.pod.is_well() && !mon.pod.node.is_empty());
    let Each { seen, blind } = facts.each(suspects, |facts, mon| facts.pod(ns, &mon.pod.name))?;
    let failed = seen.into_iter().filter(|(_, pod)| has_failed(facts, pod));
    Ok(Each { seen: failed.map(|(mon, pod)| (mon.id, Failed { mon, pod })).collect(), blind })
}

/// The monitors that failed with one of these texts as their last words.
pub(super) fn failed_with<'s>(facts: &Facts<'s>, texts: &[&str]) -> Result<Each<Failed<'s>, Evidence>, Gap> {
    let Each { seen, mut blind } = failed(facts)?;
    let opened = facts.each(seen, |facts, (_, failed)| failed.last_words(facts, texts))?;
    blind.extend(opened.blind);
    let seen = opened.seen.into_iter().filter_map(|((_, failed), words)| Some((failed, words?))).collect();
    Ok(Each { seen, blind })
}

impl Failed<'_> {
    fn end(&self) -> Option<(&ContainerStatus, &Terminated)> {
        self.pod.statuses().filter(|status| !status.ready).find_map(|status| Some((status, status.terminated()?)))
    }

    /// What its status says of the end.
    pub fn message(&self) -> Option<Evidence> {
        let (_, end) = self.end().filter(|(_, end)| !end.message.is_empty())?;
        let object = deployment(&self.pod.metadata.namespace, self.mon.id);
        Some(Evidence::field(&object, "state.terminated.message", &end.message).at(end.finished_at))
    }

    /// Quotes the first of these texts that its status or the log of the run that failed holds.
    pub fn last_words(&self, facts: &Facts<'_>, texts: &[&str]) -> Result<Option<Evidence>, Gap> {
        let Some((status, end)) = self.end() else { return Ok(None) };
        if texts.iter().any(|text| end.message.contains(text)) {
            return Ok(self.message());
        }
        let (ns, pod) = (&self.pod.metadata.namespace, &self.pod.metadata.name);
        let over = status.state.terminated.is_some();
        let log = if over { facts.log(ns, pod, &status.name) } else { facts.previous_log(ns, pod, &status.name) }?;
        let line = texts.iter().find_map(|text| log.last(text));
        Ok(line.map(|line| Evidence::log(ns, pod, &status.name, line)))
    }
}

/// Not one that only starts: it has ended before, or had its time.
fn has_failed(facts: &Facts<'_>, pod: &Pod) -> bool {
    let now = facts.now();
    let crashes = pod.statuses().any(|status| status.is_down_again(now));
    let created = pod.metadata.deletion_timestamp.or(pod.metadata.creation_timestamp);
    let had_its_time = older(facts, created, STARTING) && !pod.statuses().any(|status| status.is_back(now));
    (crashes && pod.metadata.deletion_timestamp.is_none()) || had_its_time
}
