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

/// What is served, by `group/plural`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Discovered {
    /// The server's favourite first.
    versions: BTreeMap<String, Vec<String>>,
    /// What can be listed, and whether it has a namespace.
    listed: BTreeMap<String, bool>,
}

/// A kind of object by its place in the API, known to this program or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    pub plural: String,
    pub namespaced: bool,
}

impl Resource {
    /// `cephclusters.ceph.rook.io`, or `pods` for the core group.
    pub fn name(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }
}

impl Discovered {
    pub fn kinds(&self) -> BTreeSet<String> {
        self.versions.keys().cloned().collect()
    }

    /// What can be listed of these groups, each kind once.
    fn of(&self, groups: &BTreeSet<&str>) -> Vec<Resource> {
        let resource = |(name, namespaced): (&String, &bool)| {
            let (group, plural) = name.split_once('/')?;
            let version = self.versions.get(name)?.first()?.clone();
            let (group, plural) = (group.to_owned(), plural.to_owned());
            groups.contains(group.as_str()).then_some(Resource { group, version, plural, namespaced: *namespaced })
        };
        self.listed.iter().filter_map(resource).collect()
    }

    /// The version to ask for: ours if it is served, else the server's favourite.
    pub fn version(&self, kind: Kind) -> Option<&str> {
        let served = self.versions.get(&format!("{}/{}", kind.group, kind.plural))?;
        served.iter().find(|version| *version == kind.version).or(served.first()).map(String::as_str)
    }

    fn add(&mut self, group: &str, plural: &str, version: &str) {
        let versions = self.versions.entry(format!("{group}/{plural}")).or_default();
        if !versions.iter().any(|known| known == version) {
            versions.push(version.to_owned());
        }
    }

    fn add_listed(&mut self, group: &str, plural: &str, verbs: &[String], namespaced: bool) {
        // Parts such as `pods/log` stand among the kinds in the older form.
        if verbs.iter().any(|verb| verb == "list") && !plural.contains('/') {
            self.listed.insert(format!("{group}/{plural}"), namespaced);
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
    resources: Vec<AggregatedResource>,
    #[serde(default)]
    freshness: String,
}

#[derive(Deserialize)]
struct AggregatedResource {
    resource: String,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    verbs: Vec<String>,
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
    #[serde(default)]
    namespaced: bool,
    #[serde(default)]
    verbs: Vec<String>,
}

impl Live {
    /// Asked once; a failure stands for the whole run.
    pub(super) async fn discovered(&self) -> Result<&Discovered, Why> {
        self.discovery.get_or_init(|| self.discover()).await.as_ref().map_err(Clone::clone)
    }

    /// Everything of these groups that can be listed, whether this program knows the kind or not.
    pub(crate) async fn resources_of(&self, groups: &BTreeSet<&str>) -> Result<Vec<Resource>, Why> {
        Ok(self.discovered().await?.of(groups))
    }

    /// A kind where this server serves it.
    pub(crate) async fn resource(&self, kind: Kind) -> Resource {
        let discovered = if kind.is_custom() { self.discovered().await.ok() } else { None };
        let version = discovered.and_then(|discovered| discovered.version(kind)).unwrap_or(kind.version);
        Resource {
            group: kind.group.to_owned(),
            version: version.to_owned(),
            plural: kind.plural.to_owned(),
            namespaced: kind.namespaced,
        }
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
                Ok(answer) => answer.resources.iter().for_each(|kind| {
                    found.add(group, &kind.name, &version);
                    found.add_listed(group, &kind.name, &kind.verbs, kind.namespaced);
                }),
                Err(_) => found.add_unseen(group),
            }
        }
    }
}

fn add_aggregated(found: &mut Discovered, answer: Aggregated) {
    for group in answer.items {
        let name = &group.metadata.name;
        for version in &group.versions {
            for kind in &version.resources {
                found.add(name, &kind.resource, &version.version);
                found.add_listed(name, &kind.resource, &kind.verbs, kind.scope == "Namespaced");
            }
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

    #[test]
    fn what_cannot_be_listed_is_left_out() {
        let kind = |name: &str, scope: &str, verbs: &[&str]| json!({"resource": name, "scope": scope, "verbs": verbs});
        let answer = json!({"items": [{"metadata": {"name": "kubeovn.io"}, "versions": [{"version": "v1", "resources": [
            kind("subnets", "Cluster", &["get", "list"]), kind("ips", "Namespaced", &["list"]),
            kind("reviews", "Cluster", &["create"])]}]},
            {"metadata": {"name": "other.io"}, "versions": [{"version": "v1", "resources": [kind("x", "", &["list"])]}]}]});
        let mut found = Discovered::default();
        add_aggregated(&mut found, parsed(answer).unwrap());
        let listed = found.of(&BTreeSet::from(["kubeovn.io"]));
        let listed: Vec<_> = listed.iter().map(|kind| (kind.name(), kind.namespaced)).collect();
        assert_eq!(listed, [("ips.kubeovn.io".into(), true), ("subnets.kubeovn.io".into(), false)]);
    }
}
