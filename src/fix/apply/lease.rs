//! One fix at a time in a cluster: a Lease in its namespace says who is at work.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::facts::live::{Live, Write, Written};
use crate::facts::{Answer, Cluster, Fact, Source, kinds};

const NAME: &str = "kubectl-rookdoctor-fix";
/// One whose holder died is free after this time.
pub const HELD_FOR: Duration = Duration::from_secs(120);
const RENEW_AFTER: Duration = Duration::from_secs(15);

pub(super) struct Lease {
    whole: Value,
    renewed: Instant,
}

impl Lease {
    /// Takes it, if nobody has it. The error says who does.
    pub async fn take(live: &Live, cluster: &Cluster, user: &str, id: &str) -> Result<Self, String> {
        let now = time(live.now());
        let spec = json!({"holderIdentity": format!("{user} with fix {id}"),
            "leaseDurationSeconds": HELD_FOR.as_secs(), "acquireTime": now, "renewTime": now});
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": NAME, "namespace": cluster.ns}, "spec": spec});
        let create = Write::Create { kind: kinds::LEASE, ns: &cluster.ns, object: &lease };
        let written = match live.write(&create, false).await {
            Err(Written::Conflict(_)) => {
                let mut there = read(live, cluster).await?;
                if let Some(holder) = held_by(&there, live.now()) {
                    return Err(format!("another fix is under way in {}: {holder}", cluster.ns));
                }
                there["spec"] = spec;
                replace(live, &there).await
            }
            written => written,
        };
        match written {
            Ok(whole) => Ok(Self { whole, renewed: Instant::now() }),
            Err(Written::Conflict(_)) => Err(format!("another fix began in {} at this moment", cluster.ns)),
            Err(why) => Err(format!("the Lease that keeps two fixes apart cannot be taken: {why}")),
        }
    }

    /// Says that we are still at work. One that somebody else has taken meanwhile is an error.
    pub async fn keep(&mut self, live: &Live) -> Result<(), String> {
        if self.renewed.elapsed() < RENEW_AFTER {
            return Ok(());
        }
        self.whole["spec"]["renewTime"] = time(live.now()).into();
        match replace(live, &self.whole).await {
            Ok(whole) => {
                self.whole = whole;
                self.renewed = Instant::now();
                Ok(())
            }
            Err(Written::Conflict(_) | Written::Gone) => Err("the Lease was taken by another fix".into()),
            // The server may be out of reach for a moment; the Lease is ours until it runs out.
            Err(_) if self.renewed.elapsed() < HELD_FOR => Ok(()),
            Err(why) => Err(format!("the Lease could not be renewed: {why}")),
        }
    }

    pub async fn give_back(self, live: &Live) -> Result<(), Written> {
        let text = |field: &str| self.whole["metadata"][field].as_str().unwrap_or_default();
        let (ns, uid) = (text("namespace"), text("uid"));
        match live.write(&Write::Delete { kind: kinds::LEASE, ns, name: NAME, uid }, false).await {
            Ok(_) | Err(Written::Gone | Written::Conflict(_)) => Ok(()),
            Err(why) => Err(why),
        }
    }
}

async fn read(live: &Live, cluster: &Cluster) -> Result<Value, String> {
    let fact = Fact::Whole { kind: kinds::LEASE, ns: cluster.ns.clone(), name: NAME.into() };
    match live.fetch(&fact).await.map(|reading| reading.answer) {
        Ok(Answer::Objects(mut objects)) if !objects.is_empty() => Ok(objects.remove(0)),
        Ok(_) => Err(format!("another fix ended in {} at this moment: try again", cluster.ns)),
        Err(why) => Err(format!("the Lease that keeps two fixes apart cannot be read: {why}")),
    }
}

async fn replace(live: &Live, lease: &Value) -> Result<Value, Written> {
    let ns = lease["metadata"]["namespace"].as_str().unwrap_or_default();
    live.write(&Write::Replace { kind: kinds::LEASE, ns, name: NAME, object: lease }, false).await
}

/// The form of the API's MicroTime.
fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// Who holds it, if its time is not over.
fn held_by(lease: &Value, now: Timestamp) -> Option<String> {
    let spec = &lease["spec"];
    let holder = spec["holderIdentity"].as_str().filter(|holder| !holder.is_empty())?;
    let renewed: Timestamp = spec["renewTime"].as_str()?.parse().ok()?;
    let seconds = spec["leaseDurationSeconds"].as_i64().unwrap_or(60);
    (now.duration_since(renewed).as_secs() < seconds).then(|| holder.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_held_until_its_time_is_over() {
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let lease = json!({"spec": {"holderIdentity": "ann with fix 1", "leaseDurationSeconds": 60,
            "renewTime": "2026-01-01T00:00:00.000000Z"}});
        assert_eq!(held_by(&lease, at("2026-01-01T00:00:59Z")).as_deref(), Some("ann with fix 1"));
        assert_eq!(held_by(&lease, at("2026-01-01T00:01:00Z")), None);
        assert_eq!(time(at("2026-01-01T00:00:59.5Z")), "2026-01-01T00:00:59.500000Z");
        assert_eq!(held_by(&json!({"spec": {"holderIdentity": ""}}), at("2026-01-01T00:00:00Z")), None);
    }
}
