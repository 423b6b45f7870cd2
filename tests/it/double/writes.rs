//! Requests that change the cluster, and reviews of who may.

use std::sync::atomic::Ordering;

use rookdoctor::facts::bundle::Bundle;
use serde_json::{Value, json};

use super::controllers::{array, is_true};
use super::state::{Changed, Spot, name_of};
use super::{Answer, Asked, Double, Doubled, State, Target, USER, already_exists, conflict, matches, not_found};

/// What a test does to the cluster after a write.
pub(super) struct Hook {
    request: String,
    act: Box<dyn FnMut(&mut Changed<'_>) + Send>,
}

impl Double {
    /// Changes the cluster further each time that a write was performed that begins so: `METHOD path`, in which `*`
    /// at the end of a segment stands for any rest of it, or `CEPH words`. Clients see the write and what follows
    /// from it at once.
    pub fn on(&self, request: &str, act: impl FnMut(&mut Changed<'_>) + Send + 'static) {
        self.server.hooks.lock().unwrap().push(Hook { request: request.to_owned(), act: Box::new(act) });
    }

    /// Changes the cluster as it is now, by nobody's request.
    pub fn change(&self, act: impl FnOnce(&mut Changed<'_>)) {
        let server = &self.server.server;
        let changed = server.change(|state| {
            let mut changed = Changed::new(state, server.resources());
            act(&mut changed);
            Ok::<_, ()>(((), Some(changed.into_state())))
        });
        changed.unwrap();
    }

    /// Forbids a verb on a resource, such as `create` on `pods/exec`.
    pub fn deny(&self, verb: &str, resource: &str) {
        self.server.denied.lock().unwrap().push((verb.to_owned(), resource.to_owned()));
    }

    /// Allows again whatever was forbidden.
    pub fn allow(&self) {
        self.server.denied.lock().unwrap().clear();
    }

    /// Every write that was performed, in order: `METHOD path` or `CEPH words`.
    pub fn writes(&self) -> Vec<String> {
        self.server.writes.lock().unwrap().clone()
    }

    /// Performs only so many writes from now on: whoever asks for one more waits for ever, so that a test can end it
    /// there. None lets all writes through again.
    pub fn hold_after(&self, more: Option<usize>) {
        let writes = self.server.writes.lock().unwrap().len();
        *self.server.hold.lock().unwrap() = more.map(|more| writes + more);
        self.server.held.store(false, Ordering::Relaxed);
    }

    /// Whether a write is being held.
    pub fn holds(&self) -> bool {
        self.server.held.load(Ordering::Relaxed)
    }

    /// An object as it is now; `ns` is empty for one without a namespace.
    pub fn object(&self, ns: &str, plural: &str, name: &str) -> Option<Value> {
        Changed::new(&self.server.state(), self.server.server.resources()).object(ns, plural, name)
    }

    /// All objects of a kind in a namespace as they are now.
    pub fn objects(&self, ns: &str, plural: &str) -> Vec<Value> {
        Changed::new(&self.server.state(), self.server.server.resources()).all(ns, plural)
    }

    /// Moves the server's clock.
    pub fn advance(&self, time: std::time::Duration) {
        let later = self.server.server.change(|state| {
            let same = State::new(Bundle::from_tree(state.bundle.tree().clone()).unwrap(), state.version);
            Ok::<_, ()>(((), Some(same.at(state.now + time))))
        });
        later.unwrap();
    }
}

impl Doubled {
    /// Ends here for a write that the test does not let through.
    pub(super) async fn pass(&self) {
        let end = *self.hold.lock().unwrap();
        let full = end.is_some_and(|end| self.writes.lock().unwrap().len() >= end);
        if full {
            self.held.store(true, Ordering::Relaxed);
            std::future::pending().await
        }
    }

    /// Performs a write and what hangs on it, and makes the outcome the cluster's state; if it is refused or only
    /// tried, nothing has happened.
    pub(super) fn perform<T, E>(
        &self,
        said: &str,
        dry_run: bool,
        act: impl FnOnce(&mut Changed<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.server.change(|state| {
            let mut changed = Changed::new(state, self.server.resources());
            let answer = act(&mut changed)?;
            if dry_run {
                return Ok((answer, None));
            }
            self.writes.lock().unwrap().push(said.to_owned());
            for hook in self.hooks.lock().unwrap().iter_mut().filter(|hook| matches(&hook.request, said)) {
                (hook.act)(&mut changed);
            }
            changed.settle();
            Ok((answer, Some(changed.into_state())))
        })
    }

    /// A request that writes, or a review.
    pub(super) async fn written(&self, target: &Target<'_>, asked: &Asked) -> Answer {
        if asked.content_type.contains("protobuf") {
            return Answer::failure(415, "UnsupportedMediaType", "only JSON is spoken here", json!({}));
        }
        let body = match asked.json() {
            Ok(body) => body,
            Err(answer) => return answer,
        };
        match target.resource.kind.as_str() {
            "SelfSubjectAccessReview" => return self.review(body),
            "SelfSubjectReview" => {
                let mut review = body;
                review["status"] = json!({"userInfo": {"username": USER, "groups": ["system:authenticated"]}});
                return Answer { status: 201, ..Answer::json(&review) };
            }
            _ => {}
        }
        let state = self.state();
        if let Err(answer) = self.may_be_there(&state, target).await {
            return answer;
        }
        let said = format!("{} {}", asked.method, asked.path);
        let dry_run = asked.get("dryRun") == "All" || array(&body["dryRun"]).any(|stage| stage == "All");
        let spot =
            Spot { resource: target.resource, ns: target.ns.clone().unwrap_or_default(), name: target.name.clone() };
        if !dry_run {
            self.pass().await;
        }
        let answer = self.perform(&said, dry_run, |changed| match (asked.method.as_str(), target.part) {
            ("POST", "eviction") => evict(changed, target, &spot, &body),
            ("POST", _) => create(changed, target, spot, body),
            ("DELETE", _) => delete(changed, target, &spot, &body),
            _ => update(changed, target, &spot, asked, body),
        });
        answer.unwrap_or_else(|answer| answer)
    }

    /// What the recording was refused, or never saw, cannot be changed either. But among what it never saw
    /// something new may be made.
    async fn may_be_there(&self, state: &std::sync::Arc<State>, target: &Target<'_>) -> Result<(), Answer> {
        let spot =
            Spot { resource: target.resource, ns: target.ns.clone().unwrap_or_default(), name: target.name.clone() };
        let there = Changed::new(state, self.server.resources()).get(&spot).is_some();
        match state.listing(target.resource, target.ns.as_deref()).await {
            Err(why) if !there && (target.verb != "create" || why.word() == "forbidden") => {
                Err(Answer::unknown(&why, target))
            }
            _ => Ok(()),
        }
    }

    /// Whether a test forbade this.
    pub(super) fn is_denied(&self, verb: &str, plural: &str, part: &str) -> bool {
        let resource = if part.is_empty() { plural.to_owned() } else { format!("{plural}/{part}") };
        let denied = self.denied.lock().unwrap();
        denied.iter().any(|(of, what)| of == verb && (*what == resource || what == "*"))
    }

    fn review(&self, mut review: Value) -> Answer {
        let asked = review["spec"]["resourceAttributes"].clone();
        let text = |key: &str| asked[key].as_str().unwrap_or_default();
        let (verb, group, plural, part) = (text("verb"), text("group"), text("resource"), text("subresource"));
        let resource = self.server.resources().iter().find(|one| one.is(group, plural));
        let base = match (group, resource) {
            ("", _) => "/api/v1".to_owned(),
            (group, resource) => format!("/apis/{group}/{}", resource.map_or("v1", |resource| &resource.version)),
        };
        let mut path = base;
        if !text("namespace").is_empty() {
            path += &format!("/namespaces/{}", text("namespace"));
        }
        for segment in [plural, text("name"), part].iter().filter(|segment| !segment.is_empty()) {
            path += &format!("/{segment}");
        }
        let method = match verb {
            "create" => "POST",
            "update" => "PUT",
            "patch" => "PATCH",
            "delete" => "DELETE",
            _ => "GET",
        };
        let refused = self.is_denied(verb, plural, part) || self.refuses(method, &path);
        review["status"] = json!({"allowed": !refused});
        Answer { status: 201, ..Answer::json(&review) }
    }
}

/// What a DeleteOptions demands of the object, in the words of a real server.
fn preconditions(target: &Target<'_>, object: &Value, options: &Value) -> Result<(), Answer> {
    let kind = target.resource.kind_name();
    for (key, said, otherwise) in [
        ("uid", "UID", "The object might have been deleted and then recreated"),
        ("resourceVersion", "ResourceVersion", "The object might have been modified"),
    ] {
        let (wanted, there) = (&options["preconditions"][key], &object["metadata"][key]);
        if let Some(wanted) = wanted.as_str().filter(|wanted| Some(*wanted) != there.as_str()) {
            let there = there.as_str().unwrap_or_default();
            let why = format!(
                "the {said} in the precondition ({wanted}) does not match the {said} in record ({there}). {otherwise}"
            );
            return Err(conflict(target, &kind, &target.resource.kind, &why));
        }
    }
    Ok(())
}

fn found(changed: &Changed<'_>, target: &Target<'_>, spot: &Spot<'_>) -> Result<Value, Answer> {
    changed.get(spot).ok_or_else(|| not_found(target))
}

fn create(changed: &mut Changed<'_>, target: &Target<'_>, spot: Spot<'_>, mut object: Value) -> Result<Answer, Answer> {
    if !object["metadata"].is_object() {
        return Err(Answer::bad_request("the object has no metadata"));
    }
    let ns = object["metadata"]["namespace"].as_str().unwrap_or(&spot.ns);
    if ns != spot.ns {
        let message = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Answer::bad_request(message));
    }
    let name = match (name_of(&object), object["metadata"]["generateName"].as_str()) {
        ("", Some(prefix)) => changed.new_name(prefix),
        ("", None) => {
            let message = format!(
                "{} \"\" is invalid: metadata.name: Required value: name or generateName is required",
                target.resource.kind_name()
            );
            return Err(Answer::failure(422, "Invalid", &message, json!({"kind": target.resource.kind})));
        }
        (name, _) => name.to_owned(),
    };
    let spot = Spot { name, ..spot };
    if changed.get(&spot).is_some() {
        return Err(already_exists(target, &spot.name));
    }
    changed.be_born(&mut object, &spot.name);
    object["kind"] = spot.resource.kind.as_str().into();
    object["apiVersion"] = spot.resource.api_version().into();
    if spot.resource.namespaced {
        object["metadata"]["namespace"] = spot.ns.as_str().into();
    }
    if !spot.resource.group.is_empty() && spot.resource.plural != "leases" && object["spec"].is_object() {
        object["metadata"]["generation"] = 1.into();
    }
    let object = changed.put(&spot, object);
    Ok(Answer { status: 201, ..Answer::json(&object) })
}

fn delete(changed: &mut Changed<'_>, target: &Target<'_>, spot: &Spot<'_>, options: &Value) -> Result<Answer, Answer> {
    let mut object = found(changed, target, spot)?;
    preconditions(target, &object, options)?;
    if array(&object["metadata"]["finalizers"]).next().is_some() {
        // Whoever put it there has to take it away first.
        if object["metadata"]["deletionTimestamp"].is_null() {
            object["metadata"]["deletionTimestamp"] = changed.now().into();
            object["metadata"]["deletionGracePeriodSeconds"] = 0.into();
            object = changed.put(spot, object);
        }
        return Ok(Answer::json(&object));
    }
    if spot.resource.name() == "pods" {
        changed.replace_pod(spot);
        object["metadata"]["deletionTimestamp"] = changed.now().into();
        object["metadata"]["deletionGracePeriodSeconds"] = object["spec"]["terminationGracePeriodSeconds"].clone();
        return Ok(Answer::json(&object));
    }
    changed.take(spot);
    let mut details = super::details(target);
    details["uid"] = object["metadata"]["uid"].clone();
    Ok(Answer::json(&json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": details})))
}

fn evict(changed: &mut Changed<'_>, target: &Target<'_>, spot: &Spot<'_>, body: &Value) -> Result<Answer, Answer> {
    let pod = found(changed, target, spot)?;
    preconditions(target, &pod, &body["deleteOptions"])?;
    let counts = |budget: &&Value| selects(&budget["spec"]["selector"], &pod);
    let budgets = changed.all(&spot.ns, "poddisruptionbudgets.policy");
    for budget in budgets.iter().filter(counts).filter(|_| pod["status"]["phase"] == "Running") {
        let number = |key: &str| budget["status"][key].as_i64().unwrap_or_default();
        let (healthy, needed) = (number("currentHealthy"), number("desiredHealthy"));
        // A pod that does not work may go, as long as enough others do.
        let broken = !is_true(&pod, "Ready") && healthy >= needed && needed > 0;
        if number("disruptionsAllowed") <= 0 && !broken {
            let cause = format!(
                "The disruption budget {} needs {needed} healthy pods and has {healthy} currently",
                name_of(budget)
            );
            let message = "Cannot evict pod as it would violate the pod's disruption budget.";
            let details = json!({"causes": [{"reason": "DisruptionBudget", "message": cause}]});
            return Err(Answer::failure(429, "TooManyRequests", message, details));
        }
    }
    changed.replace_pod(spot);
    let done = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(Answer { status: 201, ..Answer::json(&done) })
}

/// Whether a LabelSelector selects an object; an empty one selects all.
fn selects(selector: &Value, object: &Value) -> bool {
    if !selector.is_object() {
        return false;
    }
    let labels = &object["metadata"]["labels"];
    let equal = selector["matchLabels"].as_object().into_iter().flatten().all(|(key, value)| labels[key] == *value);
    equal
        && array(&selector["matchExpressions"]).all(|one| {
            let label = &labels[one["key"].as_str().unwrap_or_default()];
            let is_in = array(&one["values"]).any(|value| value == label);
            match one["operator"].as_str() {
                Some("In") => is_in,
                Some("NotIn") => !is_in,
                Some("Exists") => !label.is_null(),
                _ => label.is_null(),
            }
        })
}

/// PUT and PATCH.
fn update(
    changed: &mut Changed<'_>,
    target: &Target<'_>,
    spot: &Spot<'_>,
    asked: &Asked,
    body: Value,
) -> Result<Answer, Answer> {
    let old = found(changed, target, spot)?;
    let mut new = if asked.method == "PUT" { body } else { patched(target, &old, asked, body)? };
    if !new["metadata"].is_object() || name_of(&new) != spot.name {
        let message =
            format!("the name of the object ({}) does not match the name on the URL ({})", name_of(&new), spot.name);
        return Err(Answer::bad_request(&message));
    }
    let meant = |key: &str| new["metadata"][key].as_str().filter(|value| !value.is_empty());
    let there = |key: &str| old["metadata"][key].as_str();
    if meant("resourceVersion").is_some_and(|version| Some(version) != there("resourceVersion")) {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again".to_owned();
        return Err(conflict(target, &target.resource.name(), &target.resource.plural, &why));
    }
    if let Some(uid) = meant("uid").filter(|uid| Some(*uid) != there("uid")) {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            there("uid").unwrap_or_default()
        );
        return Err(conflict(target, &target.resource.name(), &target.resource.plural, &why));
    }
    // What only the server sets, and the status, which is none of this request's business.
    for key in ["uid", "creationTimestamp", "resourceVersion", "generation", "deletionTimestamp", "namespace"] {
        copy(&old["metadata"], &mut new["metadata"], key);
    }
    for key in ["status", "kind", "apiVersion"] {
        copy(&old, &mut new, key);
    }
    if new == old {
        return Ok(Answer::json(&old));
    }
    if let Some(generation) = old["metadata"]["generation"].as_u64().filter(|_| new["spec"] != old["spec"]) {
        new["metadata"]["generation"] = (generation + 1).into();
    }
    let new = changed.put(spot, new);
    let is_free = array(&new["metadata"]["finalizers"]).next().is_none();
    if is_free
        && !new["metadata"]["deletionTimestamp"].is_null()
        && array(&old["metadata"]["finalizers"]).next().is_some()
    {
        changed.take(spot);
    } else if new["spec"] != old["spec"] {
        changed.roll_out(spot, &old, &new);
    }
    Ok(Answer::json(&new))
}

/// Makes a field as it was, or absent if it was.
fn copy(from: &Value, to: &mut Value, key: &str) {
    match from.get(key) {
        Some(value) => to[key] = value.clone(),
        None => drop(to.as_object_mut().map(|fields| fields.remove(key))),
    }
}

/// A strategic patch is merged like any other: its lists replace those that were there.
fn patched(target: &Target<'_>, old: &Value, asked: &Asked, body: Value) -> Result<Value, Answer> {
    let mut new = old.clone();
    match asked.content_type.split(';').next().unwrap_or_default() {
        "application/json-patch+json" => {
            let patch: json_patch::Patch =
                serde_json::from_value(body).map_err(|error| Answer::bad_request(&error.to_string()))?;
            json_patch::patch(&mut new, &patch).map_err(|_| {
                let message = "the server rejected our request due to an error in our request";
                Answer::failure(422, "Invalid", message, json!({}))
            })?;
        }
        "application/strategic-merge-patch+json" if !target.resource.is_custom => json_patch::merge(&mut new, &body),
        "application/merge-patch+json" => json_patch::merge(&mut new, &body),
        _ => {
            let strategic = if !target.resource.is_custom { ", application/strategic-merge-patch+json" } else { "" };
            let message = format!(
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json-patch+json, application/merge-patch+json{strategic}"
            );
            return Err(Answer::failure(415, "UnsupportedMediaType", &message, json!({})));
        }
    }
    Ok(new)
}
