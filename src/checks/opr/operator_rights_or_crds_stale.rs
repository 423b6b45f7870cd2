use jiff::SignedDuration;

use super::{OPERATOR, older, operator, operator_log, operator_object};
use crate::check;
use crate::check::{Answered, Evidence, Finding, Remedy, Text};
use crate::facts::{Facts, Gap, Log, LogLine, both};
use crate::objects::kube::Deployment;
use crate::say;

check! {
    /// # What it looks at
    /// The operator's log of the last twenty minutes: `is forbidden: User "system:serviceaccount:… cannot …`, which
    /// names the right that its service account lacks, and `no matches for kind "…"` or `the server could not find
    /// the requested resource` for Rook's own kinds, which names a CRD that is absent or old.
    ///
    /// # Why it matters
    /// An upgrade of the operator's image alone leaves the CRDs and roles of the version before. The operator then
    /// fails at the first thing that is new, or does not start its controllers at all.
    ///
    /// # Confirm by hand
    /// `kubectl -n <operator-ns> logs deploy/rook-ceph-operator --tail=500 | grep -e forbidden -e 'no matches'`.
    ///
    /// # Fix
    /// Apply `crds.yaml` and `common.yaml` of exactly the operator's version; with Helm upgrade the chart to that
    /// version, which holds both. For a cluster in a namespace of its own also `common-second-cluster.yaml`. No
    /// restart is needed for rights; controllers of new kinds start with the operator.
    ///
    /// # References
    /// Rook: Upgrade/rook-upgrade, "Update common resources and CRDs"; Helm-Charts/operator-chart.
    "OPR012" "operator-rights-or-crds-stale" Opr,
    needs: [Operators, OperatorPods, Logs],
    explained_by: [],
}

/// A list that is refused is tried again within a minute, a reconcile that fails within a quarter of an hour.
const RECENT: SignedDuration = SignedDuration::from_mins(20);

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (log, operator) = both(operator_log(facts), operator(facts))?;
    let Some((pod, log)) = log else { return Ok(Answered::passed()) };
    let cluster = facts.cluster()?;
    let ours = |ns: &str| ns == cluster.ns || ns == cluster.operator_ns;
    let rights = newest(facts, log, |text| refused(text, ours));
    let crds = newest(facts, log, unserved);
    let mut findings = Vec::new();
    for (detail, found) in [("rights", rights), ("crds", crds)] {
        let Some((line, summary)) = found else { continue };
        let object = operator_object(facts)?;
        let evidence = Evidence::log(&object.namespace, &pod.name, OPERATOR, line);
        let remedy = remedy(&cluster.ns, &object.namespace, operator);
        findings.push(Finding::warning(object, summary, remedy).detail(detail).since(line.at).evidence([evidence]));
    }
    Ok(Answered::judged(findings))
}

/// The newest line that says so, if it is recent.
fn newest<'l>(facts: &Facts<'_>, log: &'l Log, says: impl Fn(&str) -> Option<Text>) -> Option<(&'l LogLine, Text)> {
    let mut recent = log.lines.iter().rev().filter(|line| line.at.is_some() && !older(facts, line.at, RECENT));
    recent.find_map(|line| Some((line, says(&line.text)?)))
}

/// `list endpointslices.discovery.k8s.io`, from the API server's refusal. An admission that refuses a pod also
/// says `is forbidden`, but of no user. A refusal in another cluster's namespace is not this cluster's.
fn refused(text: &str, ours: impl Fn(&str) -> bool) -> Option<Text> {
    let (_, rest) = text.split_once("is forbidden: User \"system:serviceaccount:")?;
    let (_, rest) = rest.split_once("\" cannot ")?;
    let (verb, rest) = rest.split_once(" resource \"")?;
    let (resource, rest) = rest.split_once('"')?;
    let group =
        rest.split_once("API group \"").and_then(|(_, rest)| rest.split_once('"')).map_or("", |(group, _)| group);
    let ns = rest.split_once("in the namespace \"").and_then(|(_, rest)| rest.split_once('"')).map(|(ns, _)| ns);
    if ns.is_some_and(|ns| !ours(ns)) {
        return None;
    }
    let dot = if group.is_empty() { "" } else { "." };
    let what = format!("{verb} {resource}{dot}{group}");
    Some(match ns {
        Some(ns) => say!("the operator's service account may not {} in {}", what, ns),
        None => say!("the operator's service account may not {} at the cluster scope", what),
    })
}

/// The kind that is absent, if it is one of those that Rook brings.
fn unserved(text: &str) -> Option<Text> {
    let ours = |what: &str| ["ceph.rook.io", "csi.ceph.io", "objectbucket.io"].iter().any(|group| what.contains(group));
    let told = |what: &str| say!("the API server does not serve {}, which the operator needs", what);
    if let Some((_, rest)) = text.split_once("no matches for kind \"") {
        let (kind, rest) = rest.split_once('"')?;
        return ours(rest).then(|| told(kind));
    }
    let (_, rest) = text.split_once("the server could not find the requested resource (")?;
    let resource = rest.split([' ', ')']).find(|word| ours(word))?;
    Some(told(resource))
}

fn remedy(ns: &str, operator_ns: &str, operator: Option<&Deployment>) -> Remedy {
    let version = operator.and_then(Deployment::image_tag).unwrap_or("<the operator's version>");
    let annotations = operator.map(|operator| &operator.metadata.annotations);
    if let Some(release) = annotations.and_then(|annotations| annotations.get("meta.helm.sh/release-name")) {
        return Remedy::guided(say!("upgrade the chart to {}: the image alone is not enough", version)).command(
            format!(
                "helm -n {operator_ns} upgrade {release} rook-release/rook-ceph --version {version} --reuse-values"
            ),
        );
    }
    let base = format!("https://raw.githubusercontent.com/rook/rook/{version}/deploy/examples");
    let names = format!("-e 's/: .* # namespace:operator/: {operator_ns}/' -e 's/: .* # namespace:cluster/: {ns}/'");
    Remedy::guided(say!("apply the CRDs and common resources of {}, the operator's version", version))
        .command(format!("kubectl apply --server-side --force-conflicts -f {base}/crds.yaml"))
        .command(format!("curl -sSf {base}/common.yaml | sed {names} | kubectl apply -f -"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_and_absent_kinds_are_read() {
        let ours = |ns: &str| ns == "rook-ceph";
        let user = r#"is forbidden: User "system:serviceaccount:rook-ceph:rook-ceph-system" cannot"#;
        for (text, expected) in [
            (
                format!(
                    r#"endpointslices.discovery.k8s.io {user} list resource "endpointslices" in API group "discovery.k8s.io" at the cluster scope"#
                ),
                Some("list endpointslices.discovery.k8s.io at the cluster scope"),
            ),
            (
                format!(r#"pods "x" {user} delete resource "pods" in API group "" in the namespace "rook-ceph""#),
                Some("delete pods in rook-ceph"),
            ),
            (format!(r#"pods "x" {user} delete resource "pods" in API group "" in the namespace "other""#), None),
            (r#"pods "x" is forbidden: violates PodSecurity "baseline:latest""#.to_owned(), None),
        ] {
            let told = refused(&text, ours).map(|it| it.english());
            let expected = expected.map(|what| format!("the operator's service account may not {what}"));
            assert_eq!(told, expected, "{text}");
        }
        for (text, expected) in [
            (r#"no matches for kind "CephNVMeOFGateway" in version "ceph.rook.io/v1""#, Some("CephNVMeOFGateway")),
            (r#"no matches for kind "ServiceMonitor" in version "monitoring.coreos.com/v1""#, None),
            (
                "the server could not find the requested resource (get cephcosidrivers.ceph.rook.io)",
                Some("cephcosidrivers.ceph.rook.io"),
            ),
        ] {
            let told = unserved(text).map(|it| it.english());
            let expected =
                expected.map(|what| format!("the API server does not serve {what}, which the operator needs"));
            assert_eq!(told, expected, "{text}");
        }
    }
}
