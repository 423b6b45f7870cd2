//! Objects and lists: selectors, pages, and the forms of an answer.

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Serialize;
use serde_json::{Value, json};

use super::answer::{Answer, JSON};
use super::resources::{Resource, Target};
use super::state::Part;
use super::tables::Printer;
use super::{Asked, Server};
use crate::facts::{NOT_WHOLE, Select, Why};

/// Lists of more objects are written piece by piece, so that no client makes another copy of a large one.
const AT_ONCE: usize = 500;

impl Server {
    /// The object that the path names, or a page of the list; for a pod's log, the log.
    pub(super) async fn object_or_list(&self, target: &Target<'_>, asked: &Asked) -> Response {
        let state = self.state();
        let part = match state.listing(target.resource, target.ns.as_deref()).await {
            Ok(part) => part,
            Err(why) => return Answer::unknown(&why, target).into_response(),
        };
        if target.name.is_empty() {
            let list = self.list(target, asked, &part, state.version);
            return list.map_or_else(IntoResponse::into_response, |list| warned(list, &part.flaws));
        }
        let object = part.objects().iter().find(|object| object["metadata"]["name"] == target.name.as_str());
        let answer = match (object, target.part) {
            // Where something was skipped, not finding it is not to know.
            (None, _) => match part.flaws.first() {
                Some(why) => Answer::unknown(why, target),
                None => Answer::not_found(target),
            },
            (Some(pod), "log") => self.log(target, pod, asked),
            (Some(object), _) => Answer::json(&self.form(target.resource, object, asked)),
        };
        answer.into_response()
    }

    /// An object as the client wants to see it.
    pub(super) fn form(&self, resource: &Resource, object: &Value, asked: &Asked) -> Value {
        match &asked.accept {
            accept if accept.contains("as=Table") => {
                let printer = Printer::of(resource);
                let row = Row::new(&printer, object, self.state().now, asked.get("includeObject"));
                let mut table = table(&printer, json!({}));
                table["rows"] = json!([row]);
                table
            }
            accept if accept.contains("as=PartialObjectMetadata") => json!(Metadata::new(object)),
            _ => object.clone(),
        }
    }

    fn list(&self, target: &Target<'_>, asked: &Asked, part: &Part, version: u64) -> Result<Response, Answer> {
        let resource = target.resource;
        let select =
            Select { label: asked.get("labelSelector").to_owned(), field: asked.get("fieldSelector").to_owned() };
        if let Some(field) = unsupported_field(resource, &select.field) {
            return Err(Answer::bad_request(&format!("field label not supported: {field}")));
        }
        let all = part.objects().iter().enumerate();
        let chosen: Vec<usize> = all.filter(|(_, object)| select.matches(object)).map(|(at, _)| at).collect();
        let from = match asked.get("continue") {
            "" => 0,
            token => match token.strip_prefix("from-").and_then(|from| from.parse::<usize>().ok()) {
                Some(from) if from <= chosen.len() => from,
                _ => return Err(Answer::bad_request("invalid continue token: continue key is not valid")),
            },
        };
        let to = match asked.get("limit").parse().unwrap_or(0usize) {
            0 => chosen.len(),
            limit => chosen.len().min(from.saturating_add(limit.min(self.page))),
        };
        let mut metadata = json!({"resourceVersion": version.to_string()});
        if to < chosen.len() {
            metadata["continue"] = format!("from-{to}").into();
            // A server that filters does not know how many are left.
            if select == Select::all() {
                metadata["remainingItemCount"] = (chosen.len() - to).into();
            }
        }
        let page = chosen[from..to].to_vec();
        let part = part.clone();
        if asked.accept.contains("as=Table") {
            let (printer, now, include) =
                (Printer::of(resource), self.state().now, asked.get("includeObject").to_owned());
            let head = table(&printer, metadata);
            return Ok(whole(&head, "rows", page, move |at| {
                json(&Row::new(&printer, &part.objects()[at], now, &include))
            }));
        }
        if asked.accept.contains("as=PartialObjectMetadataList") {
            let head =
                json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata});
            return Ok(whole(&head, "items", page, move |at| json(&Metadata::new(&part.objects()[at]))));
        }
        let head = json!({"kind": format!("{}List", resource.kind), "apiVersion": resource.api_version(),
            "metadata": metadata});
        Ok(whole(&head, "items", page, move |at| json(&part.objects()[at])))
    }
}

fn table(printer: &Printer, metadata: Value) -> Value {
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": printer.definitions()})
}

/// A row of a table, which does not copy its object.
#[derive(Serialize)]
struct Row<'o> {
    cells: Vec<Value>,
    object: Beside<'o>,
}

/// What a row says of its object beside the cells.
#[derive(Serialize)]
#[serde(untagged)]
enum Beside<'o> {
    Nothing,
    Metadata(Metadata<'o>),
    Object(&'o Value),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'o> {
    kind: &'static str,
    api_version: &'static str,
    metadata: &'o Value,
}

impl<'o> Row<'o> {
    fn new(printer: &Printer, object: &'o Value, now: jiff::Timestamp, include: &str) -> Self {
        let beside = match include {
            "None" => Beside::Nothing,
            "Object" => Beside::Object(object),
            _ => Beside::Metadata(Metadata::new(object)),
        };
        Self { cells: printer.cells(object, now), object: beside }
    }
}

impl<'o> Metadata<'o> {
    fn new(object: &'o Value) -> Self {
        Self { kind: "PartialObjectMetadata", api_version: "meta.k8s.io/v1", metadata: &object["metadata"] }
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // What was read as JSON can be written as such.
    serde_json::to_vec(value).unwrap_or_else(|_| b"null".to_vec())
}

/// A JSON object with one more field: a list, each of whose items is made when its turn comes.
fn whole(head: &Value, field: &str, page: Vec<usize>, item: impl Fn(usize) -> Vec<u8> + Send + 'static) -> Response {
    let mut head = json(head);
    head.pop();
    head.extend(format!(",\"{field}\":[").bytes());
    let is_small = page.len() <= AT_ONCE;
    let items = page.into_iter().enumerate().map(move |(count, at)| {
        let item = item(at);
        if count == 0 { item } else { [b",", item.as_slice()].concat() }
    });
    let parts = std::iter::once(head).chain(items).chain(std::iter::once(b"]}".to_vec()));
    let body = match is_small {
        true => Body::from(parts.flatten().collect::<Vec<u8>>()),
        false => Body::from_stream(stream::iter(parts.map(Ok::<_, std::convert::Infallible>))),
    };
    ([(header::CONTENT_TYPE, JSON), (header::CACHE_CONTROL, "no-cache, private")], body).into_response()
}

/// Tells what had to be skipped, in a header that kubectl shows as a warning.
fn warned(mut response: Response, flaws: &[Why]) -> Response {
    const AT_MOST: usize = 10;
    for flaw in flaws.iter().take(AT_MOST) {
        let text: String = flaw.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let text = text.replace('\\', "/").replace('"', "'");
        let text: String = text.chars().filter(char::is_ascii).take(200).collect();
        if let Ok(value) = format!("{NOT_WHOLE}{text}\"").parse() {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    response
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
