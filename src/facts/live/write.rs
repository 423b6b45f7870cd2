//! Changes: the one way by which anything reaches the cluster. Only [`crate::fix::apply`] calls it, and
//! [`crate::publish`] for objects of its own.
//!
//! Each change names what it expects, so that a second try, or a race with another writer, does no harm: a deletion
//! the UID, a patch the version.

use std::fmt;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::Live;
use super::api::{Failure, PLAIN, Post, encode};
use super::ladder::JSON;
use crate::facts::{Kind, Why, kinds, redact};

/// One change.
#[derive(Clone, Debug)]
pub enum Write<'w> {
    /// JSON Patch (RFC 6902).
    Patch {
        kind: Kind,
        ns: &'w str,
        name: &'w str,
        operations: &'w Value,
    },
    Delete {
        kind: Kind,
        ns: &'w str,
        name: &'w str,
        uid: &'w str,
    },
    Evict {
        ns: &'w str,
        pod: &'w str,
        uid: &'w str,
    },
    Create {
        kind: Kind,
        ns: &'w str,
        object: &'w Value,
    },
    /// Puts a whole object in the place of the version that it names.
    Replace {
        kind: Kind,
        ns: &'w str,
        name: &'w str,
        object: &'w Value,
    },
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// The object is not what was expected any more.
    Conflict(String),
    /// There is no such object.
    Gone,
    /// A disruption budget does not allow it now.
    Budget(String),
    Refused(Why),
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict(text) => write!(f, "it changed meanwhile: {text}"),
            Self::Gone => write!(f, "it is gone"),
            Self::Budget(text) => write!(f, "{text}"),
            Self::Refused(why) => write!(f, "{why}"),
        }
    }
}

/// What a change needs: `delete pods in kube-system`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    pub verb: &'static str,
    pub group: String,
    pub plural: String,
    /// `eviction`, `exec`, or nothing.
    pub part: &'static str,
    pub ns: String,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dot = if self.group.is_empty() { "" } else { "." };
        let slash = if self.part.is_empty() { "" } else { "/" };
        write!(f, "{} {}{slash}{}{dot}{}", self.verb, self.plural, self.part, self.group)?;
        if self.ns.is_empty() { Ok(()) } else { write!(f, " in {}", self.ns) }
    }
}

impl Live {
    /// Makes a change, or with `dry_run` has the server check it only. Returns what the server made of it.
    pub(crate) async fn write(&self, change: &Write<'_>, dry_run: bool) -> Result<Value, Written> {
        let delete = |uid: &str| json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}});
        let (method, path, content, body) = match change {
            Write::Patch { kind, ns, name, operations } => {
                let path = self.path_of(*kind, ns, name).await;
                (Method::PATCH, path, "application/json-patch+json", (*operations).clone())
            }
            Write::Delete { kind, ns, name, uid } => {
                (Method::DELETE, self.path_of(*kind, ns, name).await, PLAIN, delete(uid))
            }
            Write::Evict { ns, pod, uid } => {
                let path = format!("{}/eviction", self.path_of(kinds::POD, ns, pod).await);
                let body = json!({"apiVersion": "policy/v1", "kind": "Eviction",
                    "metadata": {"name": pod, "namespace": ns}, "deleteOptions": {"preconditions": {"uid": uid}}});
                (Method::POST, path, PLAIN, body)
            }
            Write::Create { kind, ns, object } => {
                (Method::POST, self.path(*kind, non_empty(ns)).await, PLAIN, (*object).clone())
            }
            Write::Replace { kind, ns, name, object } => {
                (Method::PUT, self.path_of(*kind, ns, name).await, PLAIN, (*object).clone())
            }
        };
        let dry = if dry_run { "&dryRun=All" } else { "" };
        let path = format!("{path}?fieldManager=kubectl-rookdoctor{dry}");
        let send = Post { method, path: &path, content, body: &body, limit: self.limits.list };
        let evicts = matches!(change, Write::Evict { .. });
        let answer = self.api.send(&send).await.map_err(|failure| written(failure, evicts))?;
        serde_json::from_slice(&answer).map_err(|error| Written::Refused(Why::Malformed(error.to_string())))
    }

    async fn path_of(&self, kind: Kind, ns: &str, name: &str) -> String {
        format!("{}/{}", self.path(kind, non_empty(ns)).await, encode(name))
    }

    /// Runs a Ceph command that changes something. What it printed is of no use to anyone.
    pub(crate) async fn change_ceph(&self, ns: &str, words: &[&str]) -> Result<(), Why> {
        self.run_ceph(ns, words, JSON, false).await?.succeeded().map(drop)
    }

    /// Whether the user may do this; with the server's reason if not.
    pub(crate) async fn may(&self, permission: &Permission) -> Result<Result<(), String>, Why> {
        let Permission { verb, group, plural, part, ns } = permission;
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {
            "resourceAttributes": {"verb": verb, "group": group, "resource": plural, "subresource": part,
                "namespace": ns}}});
        let answer = self.review("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await?;
        if answer["status"]["allowed"] == true {
            return Ok(Ok(()));
        }
        Ok(Err(redact::keys(answer["status"]["reason"].as_str().unwrap_or_default())))
    }

    /// The name by which the server knows the user; none if it does not tell (before Kubernetes 1.28).
    pub(crate) async fn user(&self) -> Option<String> {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let answer = self.review("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review).await.ok()?;
        answer["status"]["userInfo"]["username"].as_str().map(str::to_owned)
    }

    /// A question in the form of a creation; nothing is kept.
    async fn review(&self, path: &str, body: &Value) -> Result<Value, Why> {
        let send = Post { method: Method::POST, path, content: PLAIN, body, limit: self.limits.small };
        let answer = self.api.send(&send).await.map_err(Failure::why)?;
        serde_json::from_slice(&answer).map_err(|error| Why::Malformed(error.to_string()))
    }
}

fn non_empty(ns: &str) -> Option<&str> {
    (!ns.is_empty()).then_some(ns)
}

fn written(failure: Failure, evicts: bool) -> Written {
    match failure {
        Failure::Refused { status: StatusCode::NOT_FOUND, reason, .. } if reason == "NotFound" => Written::Gone,
        // The server says so of a patch whose `test` failed.
        Failure::Refused { status: StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY, message, .. } => {
            Written::Conflict(message)
        }
        Failure::Refused { status: StatusCode::TOO_MANY_REQUESTS, message, .. } if evicts => Written::Budget(message),
        failure => Written::Refused(failure.why()),
    }
}
