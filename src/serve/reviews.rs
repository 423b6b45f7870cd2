//! What a user may do with a recording: read it.

use serde_json::{Value, json};

use super::answer::{Answer, RECORDER};
use super::resources::Target;
use super::{Asked, protobuf};

/// Why everything else is refused.
pub const READ_ONLY: &str = "this is a recorded cluster: nothing can be changed in it";

/// Answers who the user is and what is allowed.
pub fn review(target: &Target<'_>, asked: &Asked) -> Answer {
    let resource = target.resource;
    let mut review = json!({"apiVersion": resource.api_version(), "kind": resource.kind, "metadata": {}});
    let spec = match asked.content_type.contains("protobuf") {
        true if resource.kind != "SelfSubjectAccessReview" => Ok(json!({})),
        true => protobuf::access_review(&asked.body).ok_or_else(|| Answer::bad_request("the review cannot be read")),
        false => asked.json().map(|review| review["spec"].clone()),
    };
    review["spec"] = match spec {
        Ok(spec) => spec,
        Err(answer) => return answer,
    };
    review["status"] = match resource.kind.as_str() {
        "SelfSubjectReview" => json!({"userInfo": {"username": RECORDER, "groups": ["system:authenticated"]}}),
        "SelfSubjectRulesReview" => json!({
            "resourceRules": [
                {"verbs": READING, "apiGroups": ["*"], "resources": ["*"]},
                {"verbs": ["create"], "apiGroups": [""], "resources": ["pods/exec"]},
            ],
            "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["*"]}],
            "incomplete": false,
        }),
        _ if is_allowed(&review["spec"]) => json!({"allowed": true}),
        _ => json!({"allowed": false, "reason": READ_ONLY}),
    };
    Answer { status: 201, ..Answer::json(&review) }
}

const READING: [&str; 3] = ["get", "list", "watch"];

fn is_allowed(spec: &Value) -> bool {
    let text = |of: &str, key: &str| spec[of][key].as_str().unwrap_or_default().to_owned();
    if spec["resourceAttributes"].is_null() {
        return text("nonResourceAttributes", "verb") == "get";
    }
    let of = |key: &str| text("resourceAttributes", key);
    let runs =
        of("verb") == "create" && of("group").is_empty() && of("resource") == "pods" && of("subresource") == "exec";
    runs || READING.contains(&of("verb").as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_is_allowed_and_nothing_else() {
        for (spec, allowed) in [
            (json!({"resourceAttributes": {"verb": "list", "resource": "pods"}}), true),
            (json!({"resourceAttributes": {"verb": "create", "resource": "pods", "subresource": "exec"}}), true),
            (json!({"resourceAttributes": {"verb": "create", "resource": "pods"}}), false),
            (json!({"resourceAttributes": {"verb": "create", "resource": "pods", "subresource": "eviction"}}), false),
            (json!({"resourceAttributes": {"verb": "*", "resource": "*", "group": "*"}}), false),
            (json!({"nonResourceAttributes": {"verb": "get", "path": "/version"}}), true),
            (json!({"nonResourceAttributes": {"verb": "post", "path": "/version"}}), false),
            (json!({}), false),
        ] {
            assert_eq!(is_allowed(&spec), allowed, "{spec}");
        }
    }
}
