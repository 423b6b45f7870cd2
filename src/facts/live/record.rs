//! What only a capture reads: whole lists of any kind, wider ends of logs, any Ceph command that reads.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::Live;
use super::api::PLAIN;
use super::discovery::Resource;
use super::ladder::JSON;
use super::lists::{Meta, OBJECTS_PER_PAGE, Page, path_of};
use crate::facts::{Kind, Why};

/// A list as it is kept: one line for each object.
pub(crate) struct Lines {
    /// `PodList`
    pub kind: String,
    pub api_version: String,
    pub lines: Vec<Line>,
}

/// One object as JSON on one line, without what nobody reads.
pub(crate) struct Line {
    pub ns: String,
    pub name: String,
    pub json: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LinesPage {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    metadata: Meta,
    items: Option<Vec<Line>>,
}

impl Page for LinesPage {
    fn kind(&self) -> (&str, bool) {
        (&self.kind, self.kind.ends_with("List"))
    }
    fn next(&self) -> &str {
        &self.metadata.r#continue
    }
}

impl<'de> Deserialize<'de> for Line {
    /// Each object is written down again as soon as it is read: a page of values would be many times as large.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::new)
    }
}

impl Line {
    pub fn new(mut object: Value) -> Self {
        trim(&mut object);
        let text = |field: &str| object.pointer(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self { ns: text("/metadata/namespace"), name: text("/metadata/name"), json: object.to_string() }
    }
}

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Drops who wrote the fields of a pod, half of it, and the schemas of a CRD, megabytes. The items of a list do not
/// say of which kind they are: pods are known by their containers, CRDs by their names.
fn trim(object: &mut Value) {
    let has = |field: &str| object.pointer(field).is_some();
    let (is_pod, is_crd) = (has("/spec/containers"), has("/spec/names/plural"));
    if is_pod || is_crd {
        remove(object, "/metadata", "managedFields");
    }
    if is_crd {
        remove(object, "/metadata/annotations", LAST_APPLIED);
        let versions = object.pointer_mut("/spec/versions").and_then(Value::as_array_mut);
        for version in versions.into_iter().flatten().filter_map(Value::as_object_mut) {
            version.remove("schema");
        }
    }
}

fn remove(object: &mut Value, parent: &str, key: &str) {
    if let Some(Value::Object(fields)) = object.pointer_mut(parent) {
        fields.remove(key);
    }
}

impl Live {
    /// Every object of a kind, in one namespace or in all.
    pub(crate) async fn lines(&self, resource: &Resource, ns: Option<&str>) -> Result<Lines, Why> {
        let path = path_of(resource, ns);
        let pages: Vec<LinesPage> = self.pages(&path, PLAIN, &[("limit", OBJECTS_PER_PAGE)]).await?;
        let mut all = Lines { kind: String::new(), api_version: String::new(), lines: Vec::new() };
        for page in pages {
            (all.kind, all.api_version) = (page.kind, page.api_version);
            all.lines.extend(page.items.unwrap_or_default());
        }
        Ok(all)
    }

    /// One object as a line; none if the server knows that there is none of this name.
    pub(crate) async fn line(&self, kind: Kind, ns: &str, name: &str) -> Result<Option<Line>, Why> {
        Ok(self.object(kind, ns, name).await?.into_iter().next().map(Line::new))
    }

    /// The end of a log, in whole lines. Where one of these many lines is endless, as much as a diagnosis reads.
    pub(crate) async fn long_log(
        &self,
        (ns, pod, container): (&str, &str, &str),
        previous: bool,
        (lines, bytes): (usize, usize),
    ) -> Result<Vec<u8>, Why> {
        match self.end_of(ns, pod, container, previous, (lines, bytes + 1)).await {
            Ok(mut log) if log.len() > bytes => {
                let whole = log.iter().position(|&byte| byte == b'\n').map_or(log.len(), |end| end + 1);
                log.drain(..whole);
                Ok(log)
            }
            Err(Why::OverBudget) => self.log(ns, pod, container, previous).await,
            log => log,
        }
    }

    /// The answer of a Ceph command that only reads, for programs or for people.
    pub(crate) async fn ceph_answer(&self, ns: &str, words: &[&str], mgr: bool, plain: bool) -> Result<Vec<u8>, Why> {
        self.run_ceph(ns, words, if plain { "plain" } else { JSON }, mgr).await?.succeeded()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pods_and_crds_lose_what_nobody_reads() {
        let managed = json!([{"manager": "kubectl"}]);
        let pod =
            json!({"metadata": {"name": "p", "namespace": "a", "managedFields": managed}, "spec": {"containers": []}});
        let line = Line::new(pod);
        assert_eq!((line.ns.as_str(), line.name.as_str()), ("a", "p"));
        assert_eq!(line.json, r#"{"metadata":{"name":"p","namespace":"a"},"spec":{"containers":[]}}"#);
        let node = json!({"metadata": {"managedFields": managed, "name": "n"}});
        assert!(Line::new(node).json.contains("kubectl"));
        let crd = json!({"metadata": {"name": "x", "annotations": {LAST_APPLIED: "{}", "a": "b"}},
            "spec": {"names": {"plural": "xs"}, "versions": [{"name": "v1", "schema": {"a": 1}}]}});
        let expected = json!({"metadata": {"name": "x", "annotations": {"a": "b"}},
            "spec": {"names": {"plural": "xs"}, "versions": [{"name": "v1"}]}});
        assert_eq!(Line::new(crd).json, expected.to_string());
    }
}
