//! How discovery tells of what is served, in one answer or in the older form.

use serde_json::{Value, json};

use super::answer::Answer;
use super::resources::Resource;
use super::{Asked, Server};
use crate::facts::{NO_VERSION, Source};

type Verbs = &'static [&'static str];

impl Resource {
    /// What is served below an object: its name, kind and verbs.
    fn parts(&self) -> &'static [(&'static str, &'static str, Verbs)] {
        if self.is("", "pods") {
            &[
                ("exec", "PodExecOptions", &["create", "get"]),
                ("log", "Pod", &["get"]),
                ("eviction", "Eviction", &["create"]),
            ]
        } else {
            &[]
        }
    }

    fn legacy(&self, verbs: Verbs) -> Vec<Value> {
        let whole = json!({"name": self.plural, "singularName": self.kind.to_lowercase(),
            "namespaced": self.namespaced, "kind": self.kind, "verbs": verbs});
        let parts = self.parts().iter().filter(|(.., own)| is_offered(own, verbs)).map(|(part, kind, verbs)| {
            let mut part = json!({"name": format!("{}/{part}", self.plural), "singularName": "", "namespaced": true,
                "kind": kind, "verbs": verbs});
            if *kind == "Eviction" {
                part["group"] = "policy".into();
                part["version"] = "v1".into();
            }
            part
        });
        std::iter::once(self.with_names(whole)).chain(parts).collect()
    }

    fn aggregated(&self, verbs: Verbs) -> Value {
        // Only kinds of a CRD say again which group they are of.
        let (group, version) = if self.is_custom { (self.group.as_str(), self.version.as_str()) } else { ("", "") };
        let kind = |kind: &str| json!({"group": group, "version": version, "kind": kind});
        let parts = self.parts().iter().filter(|(.., own)| is_offered(own, verbs));
        let parts: Vec<Value> = parts
            .map(|(part, of, verbs)| json!({"subresource": part, "responseKind": kind(of), "verbs": verbs}))
            .collect();
        let mut whole = json!({"resource": self.plural, "responseKind": kind(&self.kind),
            "singularResource": self.kind.to_lowercase(), "verbs": verbs,
            "scope": if self.namespaced { "Namespaced" } else { "Cluster" }});
        if !parts.is_empty() {
            whole["subresources"] = parts.into();
        }
        self.with_names(whole)
    }

    /// The other names of a kind; a server leaves out what is empty.
    fn with_names(&self, mut resource: Value) -> Value {
        for (key, names) in [("shortNames", &self.short_names), ("categories", &self.categories)] {
            if !names.is_empty() {
                resource[key] = json!(names);
            }
        }
        resource
    }
}

/// Whether what can be done with a part can be done here: what only makes something is for those who may write.
fn is_offered(own: Verbs, verbs: Verbs) -> bool {
    own.contains(&"get") || verbs.contains(&"create")
}

impl Server {
    /// The version and the lists of what is served, in one answer or in the older form.
    pub fn discovery(&self, asked: &Asked) -> Answer {
        let segments: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
        let aggregated = aggregated_version(&asked.accept);
        match segments[..] {
            ["version"] => Answer::json(&version(self.state().bundle.server_version())),
            ["healthz" | "livez" | "readyz", ..] => Answer::text(200, "ok"),
            ["openapi", ..] => {
                // Of a failure in any other form kubectl would not show the text.
                let message =
                    "this is a recorded cluster: the schemas that explain and validation need are not recorded";
                Answer::text(501, message)
            }
            ["api"] | ["apis"] if aggregated.is_some() => {
                self.aggregated(segments[0] == "api", aggregated.unwrap_or_default())
            }
            ["api"] => Answer::json(&json!({"kind": "APIVersions", "versions": ["v1"],
                "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}]})),
            ["apis"] => {
                let groups: Vec<Value> =
                    self.groups().into_iter().filter_map(|group| self.legacy_group(group)).collect();
                Answer::json(&json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
            }
            ["api", version] => self.legacy_resources("", version),
            ["apis", group] => self.legacy_group(group).map_or_else(Answer::no_path, |mut found| {
                found["kind"] = "APIGroup".into();
                found["apiVersion"] = "v1".into();
                Answer::json(&found)
            }),
            ["apis", group, version] => self.legacy_resources(group, version),
            _ => Answer::no_path(),
        }
    }

    fn aggregated(&self, core: bool, version: &str) -> Answer {
        let groups = if core { vec![""] } else { self.groups() };
        let items: Vec<Value> = groups
            .into_iter()
            .map(|group| {
                let of = |version: &str| {
                    let of = self.resources.iter().filter(|r| r.group == group && r.version == version);
                    json!({"version": version, "resources": of.map(|r| r.aggregated(self.verbs(r))).collect::<Vec<_>>(),
                        "freshness": "Current"})
                };
                let versions: Vec<Value> = self.versions(group).into_iter().map(of).collect();
                let metadata = if group.is_empty() { json!({}) } else { json!({"name": group}) };
                json!({"metadata": metadata, "versions": versions})
            })
            .collect();
        let body = json!({"kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"),
            "metadata": {}, "items": items});
        let content_type = match version {
            "v2" => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            _ => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
        };
        Answer { content_type, ..Answer::json(&body) }
    }

    /// The groups beside the core.
    fn groups(&self) -> Vec<&str> {
        let mut groups: Vec<&str> = self.resources.iter().map(|resource| resource.group.as_str()).collect();
        groups.sort_unstable();
        groups.dedup();
        groups.retain(|group| !group.is_empty());
        groups
    }

    fn versions(&self, group: &str) -> Vec<&str> {
        let of = self.resources.iter().filter(|resource| resource.group == group);
        let mut versions: Vec<&str> = of.map(|resource| resource.version.as_str()).collect();
        versions.sort_unstable();
        versions.dedup();
        versions
    }

    fn legacy_group(&self, group: &str) -> Option<Value> {
        let version = |version: &&str| json!({"groupVersion": format!("{group}/{version}"), "version": version});
        let versions: Vec<Value> = self.versions(group).iter().map(version).collect();
        let preferred = versions.first()?.clone();
        Some(json!({"name": group, "preferredVersion": preferred, "versions": versions}))
    }

    fn legacy_resources(&self, group: &str, version: &str) -> Answer {
        let of = self.resources.iter().filter(|resource| resource.group == group && resource.version == version);
        let resources: Vec<Value> = of.flat_map(|resource| resource.legacy(self.verbs(resource))).collect();
        if resources.is_empty() {
            return Answer::no_path();
        }
        let name = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        Answer::json(
            &json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": resources}),
        )
    }
}

/// A version that was not recorded is told as one that no server has; clients want to read some.
fn version(recorded: Option<String>) -> Value {
    let version = recorded.unwrap_or_else(|| NO_VERSION.to_owned());
    let mut numbers = version.trim_start_matches('v').split(['.', '-', '+']);
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    json!({"major": major, "minor": minor, "gitVersion": version, "platform": "linux/amd64"})
}

/// The newer form of discovery that the client reads, if it does.
fn aggregated_version(accept: &str) -> Option<&'static str> {
    let of = |version: &str| {
        accept.split(',').any(|form| form.contains("APIGroupDiscoveryList") && form.contains(&format!("v={version};")))
    };
    ["v2", "v2beta1"].into_iter().find(|version| of(version))
}
