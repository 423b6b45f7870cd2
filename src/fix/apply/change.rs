//! One change, made so that making it twice, or racing another writer, does no harm.

use serde_json::{Value, json};

use crate::facts::live::{Live, Write, Written};
use crate::facts::{Answer, Fact, Kind, Source, Why};
use crate::fix::{Act, Object};

/// What came of a change.
pub(super) enum Change {
    Made,
    /// It was as wanted before.
    Already,
    /// A disruption budget does not allow it now.
    Withheld(String),
}

/// An object may be written by others between our reading and our writing; then it is read again.
const TRIES: u32 = 3;

/// Makes the change, or with `dry_run` has the server check it only.
pub(super) async fn change(live: &Live, act: &Act, dry_run: bool) -> Result<Change, String> {
    match act {
        Act::Patch { object, before, after } => patch(live, object, before, after, dry_run).await,
        Act::Delete { object, .. } => {
            let (kind, Object { namespace: ns, name, uid, .. }) = (known(object)?, object);
            take_away(live, &Write::Delete { kind, ns, name, uid }, dry_run).await
        }
        Act::Evict { object } => {
            known(object)?;
            let Object { namespace: ns, name, uid, .. } = object;
            take_away(live, &Write::Evict { ns, pod: name, uid }, dry_run).await
        }
        Act::Create { object, whole } => create(live, object, whole, dry_run).await,
        Act::Ceph { .. } | Act::Wait { .. } => Err("this step changes no object".into()),
    }
}

/// Without its UID another object of the same name could be taken for it.
fn known(object: &Object) -> Result<Kind, String> {
    if object.uid.is_empty() {
        return Err(format!("the UID of {object} is not known"));
    }
    object.known().ok_or_else(|| format!("this version does not know the resource {}", object.resource))
}

/// Whether a request without an answer was carried out is not known; the UID makes it safe to send it again.
async fn take_away(live: &Live, write: &Write<'_>, dry_run: bool) -> Result<Change, String> {
    let written = match live.write(write, dry_run).await {
        Err(Written::Refused(Why::Timeout | Why::Unreachable(_))) => live.write(write, dry_run).await,
        written => written,
    };
    match written {
        // Another object under the same name means that ours is gone, too.
        Ok(_) => Ok(Change::Made),
        Err(Written::Gone | Written::Conflict(_)) => Ok(Change::Already),
        Err(Written::Budget(why)) => Ok(Change::Withheld(why)),
        Err(why) => Err(why.to_string()),
    }
}

async fn read(live: &Live, kind: Kind, object: &Object) -> Result<Option<Value>, String> {
    let fact = Fact::Whole { kind, ns: object.namespace.clone(), name: object.name.clone() };
    match live.fetch(&fact).await.map(|reading| reading.answer) {
        Ok(Answer::Objects(objects)) => Ok(objects.into_iter().next()),
        Ok(_) => Err(format!("{object} was not answered as an object")),
        Err(why) => Err(format!("{object}: {why}")),
    }
}

async fn patch(live: &Live, object: &Object, before: &Value, after: &Value, dry_run: bool) -> Result<Change, String> {
    let kind = known(object)?;
    let mut last = String::new();
    for _ in 0..TRIES {
        let Some(current) = read(live, kind, object).await? else { return Err(format!("{object} is gone")) };
        if current["metadata"]["uid"] != object.uid.as_str() {
            return Err(format!("{object} was made anew since it was read: nothing was changed"));
        }
        let operations = json_patch::diff(before, after);
        if holds(&current, &operations, after) {
            return Ok(Change::Already);
        }
        if !holds(&current, &operations, before) {
            return Err(format!("{object} was changed by somebody else since it was read: nothing was changed"));
        }
        let mut guarded = vec![
            json!({"op": "test", "path": "/metadata/uid", "value": object.uid}),
            json!({"op": "test", "path": "/metadata/resourceVersion", "value": current["metadata"]["resourceVersion"]}),
        ];
        let operations = serde_json::to_value(&operations).map_err(|error| error.to_string())?;
        guarded.extend(operations.as_array().into_iter().flatten().cloned());
        let (ns, name, operations) = (&object.namespace, &object.name, Value::from(guarded));
        match live.write(&Write::Patch { kind, ns, name, operations: &operations }, dry_run).await {
            Ok(_) => return Ok(Change::Made),
            Err(why @ (Written::Conflict(_) | Written::Refused(Why::Timeout | Why::Unreachable(_)))) => {
                last = why.to_string();
            }
            Err(why) => return Err(why.to_string()),
        }
    }
    Err(last)
}

/// Whether the object has, wherever the operations touch it, what the other has there. Within a list the whole list
/// counts: an index means nothing once an element was added before it.
fn holds(current: &Value, operations: &json_patch::Patch, other: &Value) -> bool {
    operations.iter().all(|operation| {
        let path = operation.path().to_string();
        let place = outermost_list(&path, other).unwrap_or(&path);
        current.pointer(place) == other.pointer(place)
    })
}

fn outermost_list<'p>(path: &'p str, within: &Value) -> Option<&'p str> {
    let ends = path.match_indices('/').map(|(at, _)| at).skip(1);
    ends.map(|end| &path[..end]).find(|prefix| within.pointer(prefix).is_some_and(Value::is_array))
}

async fn create(live: &Live, object: &Object, whole: &Value, dry_run: bool) -> Result<Change, String> {
    let kind = known(object)?;
    if read(live, kind, object).await?.is_some() {
        return Ok(Change::Already);
    }
    let mut fresh = whole.clone();
    if let Some(fields) = fresh.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = fresh["metadata"].as_object_mut() {
        for of_the_server in ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink"]
        {
            metadata.remove(of_the_server);
        }
    }
    let create = Write::Create { kind, ns: &object.namespace, object: &fresh };
    live.write(&create, dry_run).await.map(|_| Change::Made).map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_elsewhere_does_not_matter() {
        let before = json!({"metadata": {"labels": {"a": "1"}}, "spec": {"list": [{"x": 1}, {"x": 2}], "n": 1}});
        let after = json!({"metadata": {"labels": {}}, "spec": {"list": [{"x": 1}, {"x": 3}], "n": 1}});
        let operations = json_patch::diff(&before, &after);
        let changed = |pointer: &str, value: Value| {
            let mut object = before.clone();
            *object.pointer_mut(pointer).unwrap() = value;
            object
        };
        assert!(holds(&before, &operations, &before) && !holds(&before, &operations, &after));
        assert!(holds(&after, &operations, &after) && !holds(&after, &operations, &before));
        assert!(holds(&changed("/spec/n", json!(9)), &operations, &before));
        assert!(!holds(&changed("/metadata/labels/a", json!("2")), &operations, &before));
        assert!(!holds(&changed("/spec/list", json!([{"x": 0}, {"x": 1}, {"x": 2}])), &operations, &before));
    }
}
