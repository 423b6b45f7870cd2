//! One side of a comparison: a report as `-o json` prints it, of this version or an older one, and beside it what a
//! report does not hold.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::Told;
use super::state::{State, Things};
use crate::check::Severity;
use crate::report::CheckStatus;
use crate::report::clean::{self, clean};

/// One look at one cluster.
#[derive(Debug)]
pub struct Look {
    /// The file or the context.
    pub from: String,
    pub report: SeenReport,
    /// Or why it is not known.
    pub state: Result<State, String>,
}

impl Look {
    /// `namespace/name`, or nothing if no CephCluster was seen.
    pub fn cluster_name(&self) -> String {
        let cluster = self.report.cluster.as_ref();
        cluster.map(|cluster| format!("{}/{}", cluster.namespace, cluster.name)).unwrap_or_default()
    }
}

/// The fields of a report that are compared.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenReport {
    pub observed_at: Timestamp,
    pub verdict: String,
    #[serde(default)]
    pub cluster: Option<SeenCluster>,
    #[serde(default)]
    pub root_causes: Vec<String>,
    pub findings: Vec<SeenFinding>,
    pub checks: Vec<SeenCheck>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SeenCluster {
    pub namespace: String,
    pub name: String,
    pub rook_version: Option<String>,
    pub ceph_version: Option<String>,
    pub kubernetes_version: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct SeenFinding {
    pub id: String,
    pub code: String,
    pub name: String,
    pub severity: Severity,
    pub summary: String,
    #[serde(default)]
    pub at: Vec<String>,
    /// Somebody decided to live with it. Whatever stands there: null in older reports.
    #[serde(default)]
    pub suppressed: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
pub struct SeenCheck {
    pub code: String,
    pub name: String,
    pub status: CheckStatus,
    #[serde(default)]
    pub reason: Option<String>,
}

/// The version of reports that is read.
const API: &str = "rookdoctor.dev/v1";

impl SeenReport {
    /// Reads one report.
    pub fn read(value: &Value) -> Result<Self, String> {
        match (value["apiVersion"].as_str(), value["kind"].as_str()) {
            (Some(API), Some("Diagnosis")) => {}
            (Some(API), Some(kind)) => return Err(format!("it is a {kind:.40}, not a Diagnosis")),
            (Some(version), _) => return Err(format!("its apiVersion is {version:.40}, and {API} is known")),
            _ => return Err("it has no apiVersion and kind".to_owned()),
        }
        let mut report: Self = serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
        report.clean();
        Ok(report)
    }

    /// Reads what `-o json` or `-o yaml` printed: one report, or a list for several clusters.
    pub fn read_all(document: &Value) -> Result<Vec<Self>, String> {
        match (document["kind"].as_str(), document["items"].as_array()) {
            (Some("DiagnosisList"), Some(items)) => items.iter().map(Self::read).collect(),
            _ => Ok(vec![Self::read(document)?]),
        }
    }

    /// A file may hold any text.
    fn clean(&mut self) {
        let sentence = |text: &mut String| *text = clean(text, clean::SENTENCE);
        sentence(&mut self.verdict);
        self.root_causes.iter_mut().for_each(sentence);
        for finding in &mut self.findings {
            let SeenFinding { id, code, name, summary, at, .. } = finding;
            [id, code, name, summary].into_iter().for_each(sentence);
            at.iter_mut().for_each(sentence);
        }
        for check in &mut self.checks {
            [&mut check.code, &mut check.name].into_iter().chain(&mut check.reason).for_each(sentence);
        }
        if let Some(cluster) = &mut self.cluster {
            let SeenCluster { namespace, name, rook_version, ceph_version, kubernetes_version } = cluster;
            [namespace, name].into_iter().for_each(sentence);
            [rook_version, ceph_version, kubernetes_version].into_iter().flatten().for_each(sentence);
        }
    }

    pub fn status_of(&self, code: &str) -> Option<CheckStatus> {
        self.checks.iter().find(|check| check.code == code).map(|check| check.status)
    }

    pub fn told(&self, finding: &SeenFinding) -> Told {
        Told {
            id: finding.id.clone(),
            code: finding.code.clone(),
            name: finding.name.clone(),
            severity: finding.severity,
            is_root: self.root_causes.contains(&finding.id),
            summary: finding.summary.clone(),
            suppressed: finding.suppressed.is_some(),
        }
    }

    /// What runs here. A version that is not known is no change.
    pub fn versions(&self) -> Things {
        let Some(cluster) = &self.cluster else { return Things::new() };
        let SeenCluster { rook_version, ceph_version, kubernetes_version, .. } = cluster;
        let named = [("Rook", rook_version), ("Ceph", ceph_version), ("Kubernetes", kubernetes_version)];
        let known = named.into_iter().filter_map(|(name, version)| Some((name, version.clone()?)));
        known.map(|(name, version)| (name.to_owned(), BTreeMap::from([("version", version)]))).collect()
    }
}
