//! Which kinds the server serves, and in which versions.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::{join, join_all};
use serde::Deserialize;
use serde_json::Value;

use super::Live;
use super::api::{Failure, Get, encode};
use crate::facts::{Kind, Why, kinds};

/// Everything in one answer where the server can (Kubernetes 1.26), else the list of groups.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
     application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

/// What is served: `group/plural` and its versions, the server's favourite first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Discovered(BTreeMap<String, Vec<String>>);

impl Discovered {
    pub fn kinds(&self) -> BTreeSet<String> {
        self.0.keys().cloned().collect()
    }

    /// The version to ask for: ours if it is served, else the server's favourite.
    pub fn version(&self, kind: Kind) -> Option<&str> {
        let served = self.0.get(&format!("{}/{}", kind.group, kind.plural))?;
        served.iter().find(|version| *version == kind.version).or(served.first()).map(String::as_str)
    }

    fn add(&mut self, group: &str, plural: &str, version: &str) {
        let versions = self.0.entry(format!("{group}/{plural}")).or_default();
        if !versions.iter().any(|known| known == version) {
            versions.push(version.to_owned());
        }
    }

    /// A group that could not be looked into: its kinds count as served, and asking for them tells the truth.
    fn add_unseen(&mut self, group: &str) {
        for kind in kinds::ALL.iter().filter(|kind| kind.group == group) {
            self.add(group, kind.plural, kind.version);
        }
    }
}

#[derive(Deserialize)]
struct Aggregated {
    items: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    metadata: GroupName,
    #[serde(default)]
    versions: Vec<Version>,
}

/// The core group has no name.
#[derive(Default, Deserialize)]
struct GroupName {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Version {
    version: String,
    #[serde(default)]
    resources: Vec<Resource>,
    #[serde(default)]
    freshness: String,
}

#[derive(Deserialize)]
struct Resource {
    resource: String,
}

#[derive(Deserialize)]
struct LegacyGroups {
    groups: Vec<LegacyGroup>,
}

#[derive(Deserialize)]
struct LegacyGroup {
    name: String,
    versions: Vec<LegacyVersion>,
}

#[derive(Deserialize)]
struct LegacyVersion {
    version: String,
}

#[derive(Deserialize)]
struct LegacyResources {
    resources: Vec<LegacyResource>,
}

#[derive(Deserialize)]
struct LegacyResource {
    name: String,
}

impl Live {
    /// Asked once; a failure stands for the whole run.
    pub(super) async fn discovered(&self) -> Result<&Discovered, Why> {
        self.discovery.get_or_init(|| self.discover()).await.as_ref().map_err(Clone::clone)
    }

    async fn discover(&self) -> Result<Discovered, Why> {
        let (core, groups) = join(self.discovery_answer("/api"), self.discovery_answer("/apis")).await;
        let mut found = Discovered::default();
        for (root, answer) in [("/api", core?), ("/apis", groups?)] {
            if answer.get("kind").and_then(Value::as_str) == Some("APIGroupDiscoveryList") {
                add_aggregated(&mut found, parsed(answer)?);
            } else if root == "/api" {
                self.add_legacy(&mut found, "", vec!["v1".into()]).await;
            } else {
                self.add_legacy_groups(&mut found, parsed(answer)?).await;
            }
        }
        Ok(found)
    }

    async fn discovery_answer(&self, path: &str) -> Result<Value, Why> {
        let ask = Get { accept: AGGREGATED, ..Get::new(path, self.limits.list) };
        let body = self.api.get(&ask).await.map_err(Failure::why)?;
        serde_json::from_slice(&body).map_err(|error| Why::Malformed(format!("{path}: {error}")))
    }

    /// One request for each version of each group that we read from, and no others.
    async fn add_legacy_groups(&self, found: &mut Discovered, groups: LegacyGroups) {
        let ours: BTreeSet<&str> = kinds::ALL.iter().map(|kind| kind.group).collect();
        for group in groups.groups.into_iter().filter(|group| ours.contains(group.name.as_str())) {
            let versions = group.versions.into_iter().map(|version| version.version).collect();
            self.add_legacy(found, &group.name, versions).await;
        }
    }

    async fn add_legacy(&self, found: &mut Discovered, group: &str, versions: Vec<String>) {
        let root = if group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", encode(group)) };
        let answers = join_all(versions.into_iter().map(|version| async {
            let answer = self.discovery_answer(&format!("{root}/{}", encode(&version))).await;
            (version, answer.and_then(parsed::<LegacyResources>))
        }));
        for (version, answer) in answers.await {
            match answer {
                Ok(answer) => answer.resources.iter().for_each(|kind| found.add(group, &kind.name, &version)),
                Err(_) => found.add_unseen(group),
            }
        }
    }
}

fn add_aggregated(found: &mut Discovered, answer: Aggregated) {
    for group in answer.items {
        let name = &group.metadata.name;
        for version in &group.versions {
            version.resources.iter().for_each(|kind| found.add(name, &kind.resource, &version.version));
            if version.freshness == "Stale" {
                found.add_unseen(name);
            }
        }
    }
}

fn parsed<T: serde::de::DeserializeOwned>(answer: Value) -> Result<T, Why> {
    serde_json::from_value(answer).map_err(|error| Why::Malformed(format!("API discovery: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_stale_group_is_not_an_absent_one() {
        let answer = json!({"items": [
            {"metadata": {}, "versions": [{"version": "v1", "resources": [{"resource": "pods"}], "freshness": "Current"}]},
            {"metadata": {"name": "ceph.rook.io"}, "versions": [{"version": "v1", "freshness": "Stale"}]},
            {"metadata": {"name": "k8s.cni.cncf.io"}, "versions": [
                {"version": "v2", "resources": [{"resource": "network-attachment-definitions"}]},
                {"version": "v3", "resources": [{"resource": "network-attachment-definitions"}]}]},
        ]});
        let mut found = Discovered::default();
        add_aggregated(&mut found, parsed(answer).unwrap());
        assert!(found.kinds().contains("/pods") && found.kinds().contains("ceph.rook.io/cephclusters"));
        assert!(!found.kinds().contains("kubeovn.io/subnets"));
        assert_eq!(found.version(kinds::NETWORK_ATTACHMENT), Some("v2"), "ours, v1, is not served");
        assert_eq!(found.version(kinds::POD), Some("v1"));
        assert_eq!(found.version(kinds::SUBNET), None);
    }
}
