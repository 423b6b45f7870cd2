//! Publishes what a diagnosis found, for those who look into the cluster and at their metrics: the report in a
//! ConfigMap, an Event for what is new and for what is gone, metrics for a gateway.
//!
//! [`memory`] decides what is new (pure); [`content`] makes the report fit (pure); [`store`] and [`event`] write. The
//! objects are this tool's own: nothing that was there before is changed.

mod content;
mod event;
pub mod memory;
pub mod push;
pub(crate) mod store;

use std::fmt;
use std::str::FromStr;

use anyhow::Context;

use crate::diagnosis::Diagnosis;
use crate::facts::kinds;
use crate::facts::live::Live;
use crate::fix::object::Object;
use crate::report::{Document, Report};
use event::Told;
use memory::{Before, News};

/// The label by which a ConfigMap is known to hold our report. One without it is somebody else's.
pub const LABEL: &str = "rookdoctor.dev/report";
/// The name of the ConfigMap unless another is given.
pub const NAME: &str = "rookdoctor-report";

/// Which ConfigMap: `[NAMESPACE/]NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// None for the namespace of the pod, or of the context.
    pub ns: Option<String>,
    pub name: String,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (ns, name) = match text.split_once('/') {
            Some((ns, name)) => (Some(ns.to_owned()), name.to_owned()),
            None => (None, text.to_owned()),
        };
        let named = ns.iter().chain([&name]).all(|part| is_name(part));
        if named { Ok(Self { ns, name }) } else { Err(format!("{text:?} is not [NAMESPACE/]NAME")) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ns {
            Some(ns) => write!(f, "{ns}/{}", self.name),
            None => write!(f, "{}", self.name),
        }
    }
}

/// Whether an API server takes it as the name of a namespace or a ConfigMap.
pub fn is_name(text: &str) -> bool {
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    text.len() <= 63 && is_end(text.chars().next()) && is_end(text.chars().last()) && text.chars().all(is_inner)
}

/// What became of it.
#[derive(Debug, Default)]
pub struct Published {
    /// What was done, a line each.
    pub done: Vec<String>,
    /// What is worth knowing and no failure.
    pub notes: Vec<String>,
    /// What could not be published, and why.
    pub failures: Vec<String>,
}

/// Writes the ConfigMap, then the Events. The order keeps an error from making Events again with every run: what is
/// not remembered is not told.
pub async fn publish(live: &Live, place: &Place, looks: &[(Diagnosis, Report)]) -> Published {
    let ns = place.ns.as_deref().unwrap_or(live.own_namespace()).to_owned();
    let mut published = Published::default();
    let reports: Vec<Report> = looks.iter().map(|(_, report)| report.clone()).collect();
    let document = Document::new(reports);
    let spot = store::Spot { live, ns: &ns, name: &place.name };
    let written = spot.update(|there| {
        let before = Before::of(there);
        let news = memory::news(&before, document.reports());
        let content = content::content(&document, &news.open)?;
        let left_out = content.left_out.clone();
        Ok((content, (before, news, left_out)))
    });
    let (before, news, left_out) = match written.await {
        Ok(written) => written,
        Err(why) => {
            published.failures.push(format!("the report was not written to ConfigMap {}/{}: {why}", ns, place.name));
            return published;
        }
    };
    published.done.push(format!("wrote the report to ConfigMap {ns}/{}", place.name));
    if !left_out.is_empty() {
        published.notes.push(format!("the report was too large for a ConfigMap; left out: {}", left_out.join(", ")));
    }
    if let Some(why) = before.flood() {
        let place = format!("ConfigMap {ns}/{}", place.name);
        published.notes.push(format!(
            "no Event was made for what is new: what was told before is not known ({why}); {place} knows it from now on"
        ));
    }
    tell(live, looks, &news, &spot, &mut published).await;
    published
}

/// Makes the Events, and forgets those root causes again of which none could be made: the next run tries again.
async fn tell(
    live: &Live,
    looks: &[(Diagnosis, Report)],
    news: &News,
    spot: &store::Spot<'_>,
    published: &mut Published,
) {
    let mut failed = Vec::new();
    for (diagnosis, report) in looks {
        let of_this = memory::cluster_of(report);
        let Some(cluster) = diagnosis.object.as_ref() else {
            let count = report.root_causes.len();
            if count > 0 {
                published.notes.push(format!(
                    "no Event was made for {count} root causes: no CephCluster was seen that it could stand at"
                ));
            }
            continue;
        };
        let meta = &cluster.metadata;
        let regarding = Object::new(kinds::CEPH_CLUSTER, &meta.namespace, &meta.name, &meta.uid);
        let told = event::tell(live, &regarding, report, news, of_this.as_deref()).await;
        let Told { came, went, untold, failure } = told;
        for (count, what) in [(came, "for new root causes"), (went, "for root causes that are gone")] {
            if count > 0 {
                published
                    .done
                    .push(format!("made {count} Event{} {what} at {regarding}", if count == 1 { "" } else { "s" }));
            }
        }
        if let Some(why) = failure {
            published.failures.push(format!("not all Events at {regarding} were made: {why}"));
        }
        failed.extend(untold);
    }
    if failed.is_empty() {
        return;
    }
    let forgotten = spot.update(|there| {
        let open = Before::of(there).without(&failed).context("the memory is gone")?;
        Ok((content::memory_only(&open)?, ()))
    });
    if let Err(why) = forgotten.await {
        published.failures.push(format!("what could not be told will not be told again: {why}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_name_with_or_without_its_namespace() {
        let place = |ns: Option<&str>, name: &str| Ok(Place { ns: ns.map(str::to_owned), name: name.to_owned() });
        assert_eq!("report".parse(), place(None, "report"));
        assert_eq!("rook-ceph/report.a".parse(), place(Some("rook-ceph"), "report.a"));
        for wrong in ["", "/", "a/", "/a", "a/b/c", "A", "a b", "-a", "a/b-", &"a".repeat(64)] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }
}
