//! Events at the CephCluster, for those who look there first: `kubectl describe cephcluster`, `kubectl get events`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use serde_json::{Value, json};

use super::memory::{News, Root};
use crate::check::Severity;
use crate::facts::live::{Live, Write, Written};
use crate::facts::{Source, Why, kinds};
use crate::fix::object::Object;
use crate::lookup;
use crate::report::Report;

/// The longest message that the API takes, in bytes.
const MESSAGE_AT_MOST: usize = 1024;
/// More in one run help nobody: the rest is counted in one more.
const AT_MOST: usize = 20;
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(300);

/// How it went.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub came: usize,
    pub went: usize,
    /// New root causes that have no Event.
    pub untold: Vec<Root>,
    pub failure: Option<String>,
}

/// One Event.
struct Said {
    kind: &'static str,
    reason: String,
    message: String,
    /// The root causes that it tells of.
    of: Vec<Root>,
}

/// Tells what is new of one cluster, and what is gone.
pub(super) async fn tell(live: &Live, at: &Object, report: &Report, news: &News, cluster: Option<&str>) -> Told {
    let of_this = |root: &&Root| Some(root.cluster.as_str()) == cluster;
    let came: Vec<&Root> = news.came.iter().filter(of_this).collect();
    let went: Vec<&Root> = news.went.iter().filter(of_this).collect();
    let mut told = Told::default();
    for said in warnings(report, &came) {
        // Where one is refused, the next is.
        if told.failure.is_none() {
            match create(live, at, &said).await {
                Ok(()) => {
                    told.came += 1;
                    continue;
                }
                Err(why) => told.failure = Some(why.to_string()),
            }
        }
        told.untold.extend(said.of);
    }
    for said in farewells(&went) {
        if told.failure.is_some() {
            break;
        }
        match create(live, at, &said).await {
            Ok(()) => told.went += 1,
            Err(why) => told.failure = Some(why.to_string()),
        }
    }
    told
}

fn warnings(report: &Report, came: &[&Root]) -> Vec<Said> {
    let of = |root: &Root| {
        let finding = report.finding(&root.id)?;
        let word = if finding.severity == Severity::Critical { "critical" } else { "warning" };
        let explain = format!(" (kubectl rookdoctor explain {})", finding.code);
        let said = format!("{} {word}: {}", finding.code, finding.summary);
        let message = cut(&said, MESSAGE_AT_MOST - explain.len()) + &explain;
        Some(Said { kind: "Warning", reason: camel(&finding.name), message, of: vec![root.clone()] })
    };
    let mut all: Vec<Said> = came.iter().take(AT_MOST).filter_map(|root| of(root)).collect();
    if came.len() > AT_MOST {
        let rest: Vec<Root> = came[AT_MOST..].iter().map(|root| (*root).clone()).collect();
        let message = format!("{} more root causes are new; the report has them all", rest.len());
        all.push(Said { kind: "Warning", reason: "MoreRootCauses".into(), message, of: rest });
    }
    all
}

fn farewells(went: &[&Root]) -> Vec<Said> {
    let of = |root: &Root| {
        let code = root.id.split('/').next().unwrap_or_default();
        // The memory may be of another version.
        let name = lookup::check(code).map_or("root-cause", |check| check.name);
        let message = cut(&format!("{} is gone: {}", code, root.id), MESSAGE_AT_MOST);
        Said { kind: "Normal", reason: format!("{}Gone", camel(name)), message, of: Vec::new() }
    };
    let mut all: Vec<Said> = went.iter().take(AT_MOST).map(|root| of(root)).collect();
    if went.len() > AT_MOST {
        let message = format!("{} more root causes are gone", went.len() - AT_MOST);
        all.push(Said { kind: "Normal", reason: "MoreRootCausesGone".into(), message, of: Vec::new() });
    }
    all
}

/// The name is the same for each try, so that one whose answer was lost is not made twice.
async fn create(live: &Live, at: &Object, said: &Said) -> Result<(), Written> {
    let object = object(live, at, said);
    let create = Write::Create { kind: kinds::EVENT, ns: &at.namespace, object: &object };
    let mut tries = 1;
    loop {
        match live.write(&create, false).await {
            Ok(_) => return Ok(()),
            Err(Written::Conflict(_)) if tries > 1 => return Ok(()),
            Err(Written::Refused(Why::Timeout | Why::Unreachable(_))) if tries < TRIES => {
                tokio::time::sleep(PAUSE * tries).await;
                tries += 1;
            }
            Err(why) => return Err(why),
        }
    }
}

fn object(live: &Live, at: &Object, said: &Said) -> Value {
    let now = live.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut hasher = DefaultHasher::new();
    (jiff::Timestamp::now().as_nanosecond(), &said.reason, &said.message).hash(&mut hasher);
    let name = format!("{}.rookdoctor-{:016x}", at.name, hasher.finish());
    json!({"apiVersion": "v1", "kind": "Event", "type": said.kind, "reason": said.reason, "message": said.message,
        "metadata": {"name": name, "namespace": at.namespace},
        "involvedObject": {"apiVersion": at.known().map(|kind| kind.api_version()), "kind": at.kind,
            "namespace": at.namespace, "name": at.name, "uid": at.uid},
        "source": {"component": "kubectl-rookdoctor"}, "firstTimestamp": now, "lastTimestamp": now, "count": 1})
}

/// `nad-default-route` as `NadDefaultRoute`.
fn camel(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    for word in name.split('-') {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.extend(letters);
    }
    camel
}

fn cut(text: &str, at_most: usize) -> String {
    if text.len() <= at_most {
        return text.to_owned();
    }
    let mut end = at_most - '…'.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks;

    #[test]
    fn reasons_are_what_the_api_takes() {
        assert_eq!(camel("nad-default-route"), "NadDefaultRoute");
        for check in checks::ALL {
            let reason = camel(check.name);
            assert!(reason.len() < 120 && reason.chars().all(|c| c.is_ascii_alphanumeric()), "{reason}");
        }
    }

    #[test]
    fn messages_are_cut_between_characters() {
        assert_eq!(cut("short", 10), "short");
        let long = cut(&"é".repeat(1000), 100);
        assert!(long.len() <= 100 && long.len() > 96 && long.ends_with('…'), "{}", long.len());
    }

    #[test]
    fn a_flood_is_counted() {
        let roots: Vec<Root> =
            (0..30).map(|at| Root { cluster: "a/b".into(), id: format!("OSD001/Pod/a/osd.{at}") }).collect();
        let said = farewells(&roots.iter().collect::<Vec<_>>());
        assert_eq!(said.len(), AT_MOST + 1);
        assert_eq!(said[AT_MOST].message, "10 more root causes are gone");
        assert_eq!(said[0].message, "OSD001 is gone: OSD001/Pod/a/osd.0");
    }
}
