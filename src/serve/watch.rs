//! Watches: what changes in a list, from one state of the cluster to the next.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::answer::{Answer, JSON};
use super::resources::{Resource, Target};
use super::state::{Part, State, name, namespace};
use super::{Asked, Server};
use crate::facts::Select;

/// How long a watch lasts that does not say so itself.
const AN_HOUR: u64 = 3600;
/// Events that wait for a slow client; the rest of a large list is not written before it has read these.
const WAITING: usize = 16;

impl Server {
    /// Streams the list, unless the client has it, and then every change to it.
    pub(super) async fn watch(self: &Arc<Self>, target: &Target<'_>, asked: Asked) -> Response {
        // A watch of what is unknown would look like one of nothing.
        if let Err(why) = self.state().listing(target.resource, target.ns.as_deref()).await {
            return Answer::unknown(&why, target).into_response();
        }
        let (sender, receiver) = mpsc::channel(WAITING);
        let time = Duration::from_secs(asked.get("timeoutSeconds").parse().unwrap_or(AN_HOUR));
        let watching = Watching {
            server: Arc::clone(self),
            resource: target.resource.clone(),
            ns: target.ns.clone(),
            asked,
            sender,
        };
        tokio::spawn(tokio::time::timeout(time, watching.run()));
        let lines = futures::stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|line| (Ok::<String, Infallible>(line), receiver))
        });
        ([(header::CONTENT_TYPE, JSON)], Body::from_stream(lines)).into_response()
    }
}

struct Watching {
    server: Arc<Server>,
    resource: Resource,
    ns: Option<String>,
    asked: Asked,
    sender: mpsc::Sender<String>,
}

impl Watching {
    /// Ends when the client goes.
    async fn run(self) {
        let mut changes = self.server.changes.subscribe();
        let (mut next, known) = self.begin();
        let mut first = known.is_none();
        let mut before = match known {
            Some(state) => self.part(&state).await,
            None => None,
        };
        loop {
            let states: Vec<Arc<State>> = {
                let states = self.server.states.lock().unwrap_or_else(PoisonError::into_inner);
                states.get(next..).unwrap_or_default().to_vec()
            };
            next += states.len();
            for state in states {
                let after = self.part(&state).await;
                for (what, object) in self.events(before.as_ref(), after.as_ref()) {
                    let object = self.server.form(&self.resource, object, &self.asked);
                    if self.tell(what, &object).await.is_none() {
                        return;
                    }
                }
                if std::mem::take(&mut first) && self.asked.is("sendInitialEvents") {
                    let mark = json!({"kind": self.resource.kind, "apiVersion": self.resource.api_version(),
                        "metadata": {"resourceVersion": state.version.to_string(),
                            "annotations": {"k8s.io/initial-events-end": "true"}}});
                    if self.tell("BOOKMARK", &mark).await.is_none() {
                        return;
                    }
                }
                before = after;
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = self.sender.closed() => return,
            }
        }
    }

    /// The number of the first state that the client does not have, and the last one that it has.
    fn begin(&self) -> (usize, Option<Arc<State>>) {
        let states = self.server.states.lock().unwrap_or_else(PoisonError::into_inner);
        match self.asked.get("resourceVersion").parse::<u64>() {
            // A recorded object may be newer than the recording as a whole.
            Ok(version) if version > 0 && !self.asked.is("sendInitialEvents") => {
                let known = states.iter().rposition(|state| state.version <= version).unwrap_or_default();
                (known + 1, states.get(known).map(Arc::clone))
            }
            _ => (states.len() - 1, None),
        }
    }

    /// The list in one state; what is unknown then is no news.
    async fn part(&self, state: &Arc<State>) -> Option<Part> {
        state.listing(&self.resource, self.ns.as_deref()).await.ok()
    }

    /// Sends an event; none if nobody listens any more.
    async fn tell(&self, what: &str, object: &Value) -> Option<()> {
        self.sender.send(format!("{}\n", json!({"type": what, "object": object}))).await.ok()
    }

    /// What happened between two lists. An object that came back under its old name is another.
    fn events<'p>(&self, before: Option<&'p Part>, after: Option<&'p Part>) -> Vec<(&'static str, &'p Value)> {
        let (before, after) = (self.chosen(before), self.chosen(after));
        let mut events = Vec::new();
        let same = |a: &Value, b: &Value| a["metadata"]["uid"] == b["metadata"]["uid"];
        for (key, old) in &before {
            if after.get(key).is_none_or(|new| !same(old, new)) {
                events.push(("DELETED", *old));
            }
        }
        for (key, new) in &after {
            match before.get(key) {
                Some(old) if old == new => {}
                Some(old) if same(old, new) => events.push(("MODIFIED", *new)),
                _ => events.push(("ADDED", *new)),
            }
        }
        events
    }

    /// The objects that this watch sees, by namespace and name.
    fn chosen<'p>(&self, part: Option<&'p Part>) -> BTreeMap<(&'p str, &'p str), &'p Value> {
        let text = |key| self.asked.get(key).to_owned();
        let select = Select { label: text("labelSelector"), field: text("fieldSelector") };
        let objects = part.map(Part::objects).unwrap_or_default().iter();
        let chosen = objects.filter(|object| select.matches(object));
        chosen.map(|object| ((namespace(object), name(object)), object)).collect()
    }
}
