//! Answers, and failures in the words of a real server.

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

use super::resources::{Resource, Target};
use crate::facts::{MALFORMED, NOT_CAPTURED, Why};

pub const JSON: &str = "application/json";

/// An answer before it is sent.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => Self { status: 200, content_type: JSON, body },
            Err(error) => Self::text(500, &error.to_string()),
        }
    }

    pub fn text(status: u16, text: &str) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: text.into() }
    }

    /// What a server says of a path that it does not serve.
    pub fn no_path() -> Self {
        Self::text(404, "404 page not found\n")
    }

    /// A failure in the form of all failures. An empty reason or details are left out, as the server does.
    pub fn failure(code: u16, reason: &str, message: &str, details: Value) -> Self {
        let mut body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "code": code});
        if !reason.is_empty() {
            body["reason"] = reason.into();
        }
        if !details.is_null() {
            body["details"] = details;
        }
        Self { status: code, ..Self::json(&body) }
    }

    pub fn no_method() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::failure(405, "MethodNotAllowed", message, json!({}))
    }

    pub fn bad_request(message: &str) -> Self {
        Self::failure(400, "BadRequest", message, Value::Null)
    }

    pub fn not_found(target: &Target<'_>) -> Self {
        let message = format!("{} {:?} not found", target.resource.name(), target.name);
        Self::failure(404, "NotFound", &message, details(target))
    }

    pub fn forbidden(target: &Target<'_>, user: &str) -> Self {
        let Target { resource, ns, name, part, verb } = target;
        let object = if name.is_empty() { String::new() } else { format!(" {name:?}") };
        let part = if part.is_empty() { String::new() } else { format!("/{part}") };
        let scope = ns.as_ref().map_or("at the cluster scope".to_owned(), |ns| format!("in the namespace {ns:?}"));
        let message = format!(
            "{}{object} is forbidden: User {user:?} cannot {verb} resource \"{}{part}\" in API group {:?} {scope}",
            resource.name(),
            resource.plural,
            resource.group,
        );
        Self::failure(403, "Forbidden", &message, details(target))
    }

    /// The answer to a question that the bundle cannot answer.
    pub fn unknown(why: &Why, target: &Target<'_>) -> Self {
        match why {
            Why::Forbidden(text) if text.is_empty() => Self::forbidden(target, RECORDER),
            Why::Forbidden(text) => Self::failure(403, "Forbidden", text, Value::Null),
            Why::NotOffered(_) => Self::no_path(),
            Why::Timeout => {
                let message = "Timeout: request did not complete within the allotted timeout";
                Self::failure(504, "Timeout", message, json!({}))
            }
            Why::NotCaptured => Self::not_captured(target),
            // No real server says this; asking again does not help.
            Why::Malformed(text) => Self::failure(501, MALFORMED, text, details(target)),
            why => Self::failure(501, "", &why.to_string(), details(target)),
        }
    }

    /// Neither a refusal nor an absence.
    fn not_captured(target: &Target<'_>) -> Self {
        let resource = target.resource.name();
        let within = target.ns.as_ref().map_or(String::new(), |ns| format!(" in the namespace {ns:?}"));
        let message = match resource.as_str() {
            "secrets" => "Secrets are never recorded".to_owned(),
            _ => format!("this is a recorded cluster, and {resource}{within} were not recorded"),
        };
        // Of these kubectl asks in passing, and does without where a server has none.
        let spare = ["limitranges", "resourcequotas"].contains(&resource.as_str())
            || (resource == "leases.coordination.k8s.io" && target.verb == "get");
        Self::failure(if spare { 404 } else { 501 }, NOT_CAPTURED, &message, details(target))
    }
}

/// Who made the recording, in the words of a refusal that it met.
pub const RECORDER: &str = "recorder";

/// What a failure says of the object that it is about.
pub fn details(target: &Target<'_>) -> Value {
    let Target { resource: Resource { plural, group, .. }, name, .. } = target;
    let mut details = json!({"kind": plural});
    for (key, value) in [("name", name), ("group", group)] {
        if !value.is_empty() {
            details[key] = value.as_str().into();
        }
    }
    details
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = [(header::CONTENT_TYPE, self.content_type), (header::CACHE_CONTROL, "no-cache, private")];
        (status, headers, Body::from(self.body)).into_response()
    }
}
