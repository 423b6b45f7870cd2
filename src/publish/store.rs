//! The ConfigMap: read, and written in the place of the version that was read.

use std::time::Duration;

use serde_json::{Value, json};

use super::LABEL;
use super::content::{Content, LEFT_OUT};
use crate::facts::live::{Live, Write, Written};
use crate::facts::{Answer, Fact, Source, kinds};

/// Another writer may come first so many times.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);

/// Where the ConfigMap is.
pub(super) struct Spot<'l> {
    pub live: &'l Live,
    pub ns: &'l str,
    pub name: &'l str,
}

impl Spot<'_> {
    /// Writes what is made of what is there. Where another writer comes first, it is made anew of what that one wrote.
    pub async fn update<T>(&self, make: impl Fn(Option<&Value>) -> anyhow::Result<(Content, T)>) -> Result<T, String> {
        let mut conflict = String::new();
        for attempt in 0..TRIES {
            if attempt > 0 {
                tokio::time::sleep(PAUSE * attempt).await;
            }
            let there = self.read().await?;
            let (content, made) = make(there.as_ref()).map_err(|error| error.to_string())?;
            match self.write(there, &content).await {
                Ok(_) => return Ok(made),
                Err(why @ (Written::Conflict(_) | Written::Gone)) => conflict = why.to_string(),
                Err(why) => return Err(why.to_string()),
            }
        }
        Err(conflict)
    }

    /// The object, if there is one. One that is not ours is an error.
    async fn read(&self) -> Result<Option<Value>, String> {
        let (ns, name) = (self.ns.to_owned(), self.name.to_owned());
        let fact = Fact::Whole { kind: kinds::CONFIG_MAP, ns, name };
        let reading = self.live.fetch(&fact).await.map_err(|why| format!("what is there cannot be read: {why}"))?;
        let Answer::Objects(objects) = reading.answer else { return Err("it cannot be read".into()) };
        let there = objects.into_iter().next();
        match &there {
            Some(object) if object["metadata"]["labels"][LABEL] != "true" => Err(format!(
                "a ConfigMap of this name is there that is not this tool's (it has no label {LABEL}=true): choose \
                 another with --configmap, or label it"
            )),
            _ => Ok(there),
        }
    }

    async fn write(&self, there: Option<Value>, content: &Content) -> Result<Value, Written> {
        let (ns, name, kind) = (self.ns, self.name, kinds::CONFIG_MAP);
        let Some(mut object) = there else {
            let mut object = empty(ns, name);
            fill(&mut object, content);
            return self.live.write(&Write::Create { kind, ns, object: &object }, false).await;
        };
        // It names the version that was read, so that nobody else's write is lost.
        fill(&mut object, content);
        self.live.write(&Write::Replace { kind, ns, name, object: &object }, false).await
    }
}

/// A ConfigMap for the report, which has none yet.
pub fn empty(ns: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": ns, "labels": {
        "app.kubernetes.io/name": "rookdoctor", "app.kubernetes.io/component": "publish", LABEL: "true"}}})
}

/// Puts in what is ours and leaves what else is there.
fn fill(object: &mut Value, content: &Content) {
    for (key, text) in &content.data {
        object["data"][*key] = text.as_str().into();
    }
    if content.memory_only {
        return;
    }
    if !content.left_out.is_empty() {
        object["metadata"]["annotations"][LEFT_OUT] = content.left_out.join(", ").into();
    } else if let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(LEFT_OUT);
    }
}
