//! Watches: what changes in a list, from one state of the cluster to the next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use rookdoctor::facts::Select;
use serde_json::{Value, json};

use super::resources::Target;
use super::state::State;
use super::{Asked, JSON, Server};

/// The objects that a watch sees, by namespace and name.
type Seen = BTreeMap<(String, String), Value>;

/// How long a watch lasts that does not say so itself.
const AN_HOUR: u64 = 3600;

impl Server {
    /// Streams the list, unless the client has it, and then every change to it.
    pub(super) async fn watch(self: &Arc<Self>, target: &Target<'_>, asked: Asked) -> Response {
        let (server, mut changes) = (Arc::clone(self), self.changes.subscribe());
        let plural = (target.resource.group.clone(), target.resource.plural.clone());
        let ns = target.ns.clone();
        let (sender, receiver) = futures::channel::mpsc::unbounded::<Result<String, std::io::Error>>();
        let time = Duration::from_secs(asked.get("timeoutSeconds").parse().unwrap_or(AN_HOUR));
        let work = async move {
            let is_it = |resource: &&super::Resource| (&resource.group, &resource.plural) == (&plural.0, &plural.1);
            let resource = server.resources.iter().find(is_it).unwrap();
            let (mut next, known) = server.begin(&asked);
            let mut before = match &known {
                Some(state) => objects(state, resource, ns.clone(), &asked).await,
                None => Seen::new(),
            };
            let mut first = known.is_none();
            loop {
                let states: Vec<Arc<State>> = server.states.lock().unwrap()[next..].to_vec();
                next += states.len();
                for state in states {
                    let after = objects(&state, resource, ns.clone(), &asked).await;
                    for (what, object) in events(&before, &after) {
                        let object = server.form(resource, &object, &asked);
                        let _ = sender.unbounded_send(Ok(format!("{}\n", json!({"type": what, "object": object}))));
                    }
                    if std::mem::take(&mut first) && asked.get("sendInitialEvents") == "true" {
                        let mark = json!({"kind": resource.kind, "apiVersion": resource.api_version(),
                            "metadata": {"resourceVersion": state.version.to_string(),
                                "annotations": {"k8s.io/initial-events-end": "true"}}});
                        let _ = sender.unbounded_send(Ok(format!("{}\n", json!({"type": "BOOKMARK", "object": mark}))));
                    }
                    before = after;
                }
                if sender.is_closed() || changes.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::spawn(tokio::time::timeout(time, work));
        ([(header::CONTENT_TYPE, JSON)], Body::from_stream(receiver)).into_response()
    }

    /// The number of the first state that the client does not have, and the last one that it has.
    fn begin(&self, asked: &Asked) -> (usize, Option<Arc<State>>) {
        let states = self.states.lock().unwrap();
        match asked.get("resourceVersion").parse::<u64>() {
            // A recorded object may be newer than the recording as a whole.
            Ok(version) if version > 0 => {
                let known = states.iter().rposition(|state| state.version <= version).unwrap_or_default();
                (known + 1, Some(Arc::clone(&states[known])))
            }
            _ => (states.len() - 1, None),
        }
    }
}

async fn objects(state: &State, resource: &super::Resource, ns: Option<String>, asked: &Asked) -> Seen {
    let select = Select { label: asked.get("labelSelector").to_owned(), field: asked.get("fieldSelector").to_owned() };
    let listing = state.listing(resource, ns).await;
    let chosen = listing.as_ref().iter().flatten().filter(|object| select.matches(object));
    let text = |object: &Value, key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
    chosen.map(|object| ((text(object, "namespace"), text(object, "name")), object.clone())).collect()
}

/// What happened between two lists. An object that came back under its old name is another.
fn events(before: &Seen, after: &Seen) -> Vec<(&'static str, Value)> {
    let mut events = Vec::new();
    let same = |a: &Value, b: &Value| a["metadata"]["uid"] == b["metadata"]["uid"];
    for (key, old) in before {
        if after.get(key).is_none_or(|new| !same(old, new)) {
            events.push(("DELETED", old.clone()));
        }
    }
    for (key, new) in after {
        match before.get(key) {
            Some(old) if old == new => {}
            Some(old) if same(old, new) => events.push(("MODIFIED", new.clone())),
            _ => events.push(("ADDED", new.clone())),
        }
    }
    events
}
