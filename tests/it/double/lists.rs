//! Objects and lists: selectors, pages, and the three forms of an answer.

use rookdoctor::facts::{Select, Why, kinds, printed};
use serde::Serialize;
use serde_json::{Value, json};

use super::resources::{Resource, Target};
use super::{Answer, Asked, Server, forbidden, not_found};

/// The version of the recording as a whole.
pub(super) const RESOURCE_VERSION: u64 = 672;
/// Columns that only `-o wide` shows.
const WIDE: [&str; 17] = [
    "IP",
    "Node",
    "Nominated Node",
    "Readiness Gates",
    "Internal-IP",
    "External-IP",
    "OS-Image",
    "Kernel-Version",
    "Container-Runtime",
    "Subobject",
    "Source",
    "First Seen",
    "Count",
    "Containers",
    "Images",
    "Selector",
    "VolumeMode",
];

/// A page of objects, which may be large and are not copied.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'o> {
    kind: String,
    api_version: String,
    metadata: Value,
    items: &'o [&'o Value],
}

impl Server {
    /// The object that the path names, or a page of the list; for a pod's log, the log.
    pub(super) async fn object_or_list(&self, target: &Target<'_>, asked: &Asked) -> Answer {
        let state = self.state();
        let listing = state.listing(target.resource, target.ns.clone()).await;
        let objects = match listing.as_ref() {
            Ok(objects) => objects,
            Err(why) => return unknown(why, target),
        };
        if target.name.is_empty() {
            return self.list(target, asked, objects, state.version);
        }
        let object = objects.iter().find(|object| object["metadata"]["name"] == target.name.as_str());
        match (object, target.part) {
            (None, _) => not_found(target),
            (Some(pod), "log") => self.log(target, pod, asked).await,
            (Some(object), _) => Answer::json(&self.form(target.resource, object, asked)),
        }
    }

    /// An object as the client wants to see it.
    pub(super) fn form(&self, resource: &Resource, object: &Value, asked: &Asked) -> Value {
        match &asked.accept {
            accept if accept.contains("as=Table") => self.table(resource, &[object], asked, json!({})),
            accept if accept.contains("as=PartialObjectMetadata") => metadata_of(object),
            _ => object.clone(),
        }
    }

    fn list(&self, target: &Target<'_>, asked: &Asked, objects: &[Value], version: u64) -> Answer {
        let resource = target.resource;
        let select =
            Select { label: asked.get("labelSelector").to_owned(), field: asked.get("fieldSelector").to_owned() };
        if let Some(field) = unsupported_field(resource, &select.field) {
            return Answer::bad_request(&format!("field label not supported: {field}"));
        }
        let chosen: Vec<&Value> = objects.iter().filter(|object| select.matches(object)).collect();
        let from = match asked.get("continue") {
            "" => 0,
            token => match token.strip_prefix("from-").and_then(|from| from.parse::<usize>().ok()) {
                Some(from) if from <= chosen.len() => from,
                _ => return Answer::bad_request("invalid continue token: continue key is not valid"),
            },
        };
        let to = match asked.get("limit").parse().unwrap_or(0usize) {
            0 => chosen.len(),
            limit => chosen.len().min(from + limit.min(self.page)),
        };
        let mut metadata = json!({"resourceVersion": version.to_string()});
        if to < chosen.len() {
            metadata["continue"] = format!("from-{to}").into();
            // A server that filters does not know how many are left.
            if select == Select::all() {
                metadata["remainingItemCount"] = (chosen.len() - to).into();
            }
        }
        let page = &chosen[from..to];
        if asked.accept.contains("as=Table") {
            return Answer::json(&self.table(resource, page, asked, metadata));
        }
        if asked.accept.contains("as=PartialObjectMetadataList") {
            let items: Vec<Value> = page.iter().map(|object| metadata_of(object)).collect();
            return Answer::json(&json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata, "items": items}));
        }
        Answer::json(&List {
            kind: format!("{}List", resource.kind),
            api_version: resource.api_version(),
            metadata,
            items: page,
        })
    }

    fn table(&self, resource: &Resource, objects: &[&Value], asked: &Asked, metadata: Value) -> Value {
        let known = resource.known.and_then(|kind| printed::table(kind, objects, self.now()).ok());
        let (columns, cells) = match known {
            Some(table) => (table.columns, table.cells),
            None => self.plain_table(resource, objects),
        };
        let is_event = resource.name() == "events";
        let columns: Vec<Value> = columns.iter().map(|name| column(name, is_event)).collect();
        let rows: Vec<Value> = objects
            .iter()
            .zip(cells)
            .map(|(object, cells)| {
                let object = match asked.get("includeObject") {
                    "None" => Value::Null,
                    "Object" => (*object).clone(),
                    _ => metadata_of(object),
                };
                json!({"cells": cells, "object": object})
            })
            .collect();
        json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
            "columnDefinitions": columns, "rows": rows})
    }

    /// The columns that a CRD names, or only name and age.
    fn plain_table(&self, resource: &Resource, objects: &[&Value]) -> (Vec<String>, Vec<Vec<Value>>) {
        let mut columns = vec!["Name".to_owned()];
        columns.extend(resource.columns.iter().map(|[name, ..]| name.clone()));
        if resource.columns.is_empty() {
            columns.push("Age".to_owned());
        }
        // The printer of a lease knows no more than name, holder and age.
        let ages = printed::table(kinds::LEASE, objects, self.now()).unwrap().cells;
        let cells = objects.iter().zip(ages).map(|(object, lease)| {
            let mut cells = vec![lease[0].clone()];
            cells.extend(resource.columns.iter().map(|[_, kind, path]| match kind.as_str() {
                "date" => lease[2].clone(),
                _ => object.pointer(&path.replace('.', "/")).cloned().unwrap_or_default(),
            }));
            if resource.columns.is_empty() {
                cells.push(lease[2].clone());
            }
            cells
        });
        (columns, cells.collect())
    }
}

/// An event's own name is the one thing that a table of events shows only when it is wide.
fn column(name: &str, is_event: bool) -> Value {
    let format = if name == "Name" { "name" } else { "" };
    let is_wide = WIDE.contains(&name) || (is_event && name == "Name");
    json!({"name": name, "type": "string", "format": format, "description": name, "priority": u8::from(is_wide)})
}

fn metadata_of(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// The answer to a question that the bundle cannot answer.
pub(super) fn unknown(why: &Why, target: &Target<'_>) -> Answer {
    match why {
        Why::Forbidden(text) if text.is_empty() => forbidden(target),
        Why::Forbidden(text) => Answer::failure(403, "Forbidden", text, Value::Null),
        Why::NotOffered(_) => Answer::no_path(),
        Why::Timeout => {
            let message = "Timeout: request did not complete within the allotted timeout";
            Answer::failure(504, "Timeout", message, json!({}))
        }
        // No real server says this; it is neither a refusal nor an absence, and asking again does not help.
        Why::NotCaptured => Answer::failure(501, "", "nothing was recorded of this", Value::Null),
        why => Answer::failure(500, "InternalError", &format!("Internal error occurred: {why}"), Value::Null),
    }
}

/// A field that the server does not select this resource by.
fn unsupported_field<'f>(resource: &Resource, selector: &'f str) -> Option<&'f str> {
    let more: &[&str] = match resource.name().as_str() {
        "pods" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        "events" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        "nodes" => &["spec.unschedulable"],
        "namespaces" => &["status.phase"],
        "replicasets.apps" => &["status.replicas"],
        "jobs.batch" => &["status.successful"],
        _ => &[],
    };
    let fields = selector.split(',').filter(|part| !part.is_empty());
    let mut fields = fields.map(|part| part.split(['!', '=']).next().unwrap_or_default());
    fields.find(|field| !["metadata.name", "metadata.namespace"].contains(field) && !more.contains(field))
}
