//! What was told before, and what is news. The ConfigMap is the memory: its key `told.json` has the root causes that
//! were told and are not known to be gone. The report beside it will not do: it may be cut, and a root cause whose
//! check is blind for one run is neither gone nor, when it is seen again, new.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::report::{ApiVersion, CheckStatus, Report};

/// The key in the ConfigMap.
pub const KEY: &str = "told.json";
/// Longest text of the memory. What does not fit makes it incomplete.
pub const AT_MOST: usize = 150_000;

/// A root cause of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// `rook-ceph/rook-ceph`
    pub cluster: String,
    pub id: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    api_version: ApiVersion,
    kind: String,
    /// False if not all root causes fitted in.
    complete: bool,
    root_causes: Vec<Root>,
}

/// What was told before this run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    Known(Vec<Root>),
    /// And why. To take nothing for known would be to tell everything again.
    Unknown(String),
}

impl Before {
    /// The memory in the data of a ConfigMap. Where none was ever written, nothing was told.
    pub fn of(there: Option<&Value>) -> Self {
        let data =
            there.map(|there| &there["data"]).filter(|data| data.as_object().is_some_and(|data| !data.is_empty()));
        let Some(data) = data else { return Self::Known(Vec::new()) };
        let Some(text) = data[KEY].as_str() else { return Self::Unknown(format!("{KEY} is missing")) };
        match serde_json::from_str::<Written>(text) {
            Ok(Written { complete: true, root_causes, .. }) => Self::Known(root_causes),
            Ok(_) => Self::Unknown("there were more root causes than it holds".into()),
            Err(error) => Self::Unknown(format!("{KEY} cannot be read: {error}")),
        }
    }

    /// Why nothing can be called new.
    pub fn flood(&self) -> Option<&str> {
        match self {
            Self::Known(_) => None,
            Self::Unknown(why) => Some(why),
        }
    }

    /// The root causes without these; none where they are not known.
    pub fn without(&self, these: &[Root]) -> Option<Vec<Root>> {
        match self {
            Self::Known(roots) => Some(roots.iter().filter(|root| !these.contains(root)).cloned().collect()),
            Self::Unknown(_) => None,
        }
    }
}

/// What to tell.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    pub came: Vec<Root>,
    pub went: Vec<Root>,
    /// What is told from now on.
    pub open: Vec<Root>,
}

/// What the reports say beyond what was told before.
pub fn news(before: &Before, reports: &[Report]) -> News {
    let now = || {
        let with_cluster = reports.iter().filter_map(|report| cluster_of(report).map(|cluster| (cluster, report)));
        with_cluster.flat_map(|(cluster, report)| {
            report.root_causes.iter().map(move |id| Root { cluster: cluster.clone(), id: id.clone() })
        })
    };
    let Before::Known(before) = before else { return News { open: now().collect(), ..News::default() } };
    let mut news = News::default();
    for root in now() {
        if !before.contains(&root) {
            news.came.push(root.clone());
        }
        news.open.push(root);
    }
    for root in before {
        if news.open.contains(root) {
            continue;
        }
        let report = reports.iter().find(|report| cluster_of(report).as_deref() == Some(&root.cluster));
        if report.is_some_and(|report| is_gone(&root.id, report)) {
            news.went.push(root.clone());
        } else {
            news.open.push(root.clone());
        }
    }
    news
}

/// Whether it is known that there is no such finding any more. One that has become the consequence of another is still
/// there, and one whose check was not asked, or could not see everything, may be.
fn is_gone(id: &str, report: &Report) -> bool {
    let code = id.split('/').next().unwrap_or_default();
    let check = report.checks.iter().find(|check| check.code == code);
    let saw_all = check.is_some_and(|check| check.status != CheckStatus::Unknown && check.blind.is_empty());
    saw_all && report.finding(id).is_none()
}

/// `rook-ceph/rook-ceph`; none if no CephCluster was seen.
pub fn cluster_of(report: &Report) -> Option<String> {
    report.cluster.as_ref().map(|cluster| format!("{}/{}", cluster.namespace, cluster.name))
}

/// The memory as text.
pub fn text(open: &[Root]) -> serde_json::Result<String> {
    let mut kept = open.len();
    loop {
        let (complete, root_causes) = (kept == open.len(), open[..kept].to_vec());
        let written = Written { api_version: ApiVersion::V1, kind: "Told".into(), complete, root_causes };
        let text = serde_json::to_string(&written)? + "\n";
        if text.len() <= AT_MOST || kept == 0 {
            return Ok(text);
        }
        kept /= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn root(id: &str) -> Root {
        Root { cluster: "rook-ceph/rook-ceph".into(), id: id.into() }
    }

    fn map(text: &str) -> Value {
        json!({"data": {KEY: text}})
    }

    #[test]
    fn what_is_written_is_read_again() {
        let open = [root("MON002/Pod/rook-ceph/mon.a"), root("OSD001/Pod/rook-ceph/osd.1")];
        assert_eq!(Before::of(Some(&map(&text(&open).unwrap()))), Before::Known(open.to_vec()));
        assert_eq!(Before::of(None), Before::Known(Vec::new()));
        assert_eq!(Before::of(Some(&json!({"metadata": {}}))), Before::Known(Vec::new()), "as the manifests make it");
    }

    #[test]
    fn an_unreadable_memory_is_not_an_empty_one() {
        for there in [map("{"), map("{}"), map(""), json!({"data": {"report.json": "{}"}}), json!({"data": {KEY: 1}})] {
            let before = Before::of(Some(&there));
            assert!(before.flood().is_some(), "{there}");
            assert_eq!(before.without(&[]), None);
        }
    }

    #[test]
    fn what_does_not_fit_makes_the_memory_incomplete() {
        let open: Vec<Root> = (0..2000).map(|at| root(&format!("OSD001/Pod/{at}/{}", "x".repeat(100)))).collect();
        let text = text(&open).unwrap();
        assert!(text.len() <= AT_MOST && text.len() > AT_MOST / 4, "{}", text.len());
        assert!(Before::of(Some(&map(&text))).flood().is_some());
    }
}
