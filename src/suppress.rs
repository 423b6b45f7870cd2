//! What somebody has decided to live with for a while: which findings are suppressed, why, and until when.
//!
//! A decision covers exactly what it names. What follows from a suppressed finding is a finding of its own, and counts
//! as long as no decision names it, too: so silence never hides anything new.

mod file;

use globset::{GlobBuilder, GlobMatcher};
use jiff::Timestamp;
use serde_json::Value;

use crate::facts::{Answer, Cluster, Fact, Reading, Why, kinds};

pub use file::{AT_MOST, Until, parse, until};

/// The ConfigMap beside a CephCluster that holds its decisions, and the key they are under.
pub const CONFIG_MAP: &str = "rookdoctor-suppressions";
pub const KEY: &str = "suppressions.yaml";

/// One decision.
#[derive(Clone, Debug)]
pub struct Entry {
    pub code: &'static str,
    /// A pattern over what the id of a finding says after its code: `Kind/namespace/name#detail`.
    pub object: String,
    pattern: GlobMatcher,
    pub reason: String,
    pub by: Option<String>,
    /// The last moment; none for ever.
    pub expires: Option<Timestamp>,
    /// Who says so: the path of a file, or the ConfigMap.
    pub from: String,
}

impl Entry {
    /// Whether it is about the finding of this id.
    pub fn names(&self, id: &str) -> bool {
        let (code, object) = id.split_once('/').unwrap_or((id, ""));
        code == self.code && self.pattern.is_match(object)
    }

    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|last| last < now)
    }
}

/// `*` and `?` stay within one part of an object's name, `**` crosses the slashes.
fn pattern(text: &str) -> Result<GlobMatcher, String> {
    let glob = GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build();
    Ok(glob.map_err(|error| error.kind().to_string())?.compile_matcher())
}

/// What reads the decisions in a cluster.
pub fn fact(cluster: &Cluster) -> Fact {
    Fact::Object { kind: kinds::CONFIG_MAP, ns: cluster.ns.clone(), name: CONFIG_MAP.to_owned() }
}

/// How reports call them.
pub fn source(namespace: &str) -> String {
    format!("ConfigMap {namespace}/{CONFIG_MAP}")
}

/// What the ConfigMap says; nothing if there is none.
pub fn text(answer: Result<Reading, Why>) -> Result<Option<String>, Why> {
    let Reading { answer, flaws } = answer?;
    let Answer::Objects(objects) = answer else { return Err(Why::Malformed("not an object".into())) };
    match (objects.first(), flaws.into_iter().next()) {
        (Some(object), _) => {
            let text = object.get("data").and_then(|data| data.get(KEY)).and_then(Value::as_str);
            let text = text.ok_or_else(|| Why::Malformed(format!("it has no key {KEY}")))?;
            Ok(Some(text.to_owned()))
        }
        (None, Some(flaw)) => Err(flaw),
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(object: &str, id: &str) -> bool {
        let text = format!(
            "apiVersion: rookdoctor.dev/v1\nkind: Suppressions\nitems:\n\
             - {{code: MON002, object: '{object}', reason: r, expires: never}}\n"
        );
        parse(&text, "x").unwrap()[0].names(id)
    }

    #[test]
    fn an_entry_names_no_more_than_it_says() {
        for (object, id, named) in [
            ("Pod/rook-ceph/mon.c", "MON002/Pod/rook-ceph/mon.c", true),
            ("Pod/rook-ceph/mon.c", "MON002/Pod/rook-ceph/mon.cc", false),
            ("Pod/rook-ceph/mon.c", "MON003/Pod/rook-ceph/mon.c", false),
            ("Pod/rook-ceph/mon.c", "MON002/Pod/rook-ceph/mon.c#detail", false),
            ("Pod/rook-ceph/*", "MON002/Pod/rook-ceph/mon.c#detail", true),
            ("Pod/*", "MON002/Pod/rook-ceph/mon.c", false),
            ("Pod/**", "MON002/Pod/rook-ceph/mon.c", true),
            ("**", "MON002/Pod/rook-ceph/mon.c#a/b", true),
            ("**", "MON002", true),
            ("Node/w[12]", "MON002/Node/w2", true),
            ("Node/w\\*", "MON002/Node/w2", false),
            ("Node/{a,b}", "MON002/Node/b", true),
        ] {
            assert_eq!(names(object, id), named, "{object} {id}");
        }
    }

    #[test]
    fn what_the_cluster_says_is_text_nothing_or_unknown() {
        let object = |data: Value| Ok(Reading::from(Answer::Objects(vec![serde_json::json!({"data": data})])));
        assert_eq!(text(object(serde_json::json!({KEY: "x"}))), Ok(Some("x".into())));
        assert_eq!(text(Ok(Reading::from(Answer::Objects(vec![])))), Ok(None));
        assert!(matches!(text(object(serde_json::json!({"other": "x"}))), Err(Why::Malformed(_))));
        assert_eq!(text(Err(Why::Timeout)), Err(Why::Timeout));
        let damaged = Reading { answer: Answer::Objects(vec![]), flaws: vec![Why::OverBudget] };
        assert_eq!(text(Ok(damaged)), Err(Why::OverBudget), "what was read in part may hold it");
    }
}
