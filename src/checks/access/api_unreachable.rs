use super::api_server;
use crate::check;
use crate::check::{Answered, Evidence, Finding, Remedy, Text};
use crate::facts::{Facts, Gap, Settled, Unknown, Why, both, kinds};
use crate::say;

check! {
    /// # What it looks at
    /// The first two reads of every run: which kinds the API server serves, and the CephClusters. It speaks up
    /// when one of them gets no answer, and says at which stage: name, connection, TLS, authentication, time.
    ///
    /// # Why it matters
    /// Nothing else can be answered then. The report is about the way to the cluster, not about the cluster.
    ///
    /// # Confirm by hand
    /// `kubectl get --raw /readyz`, with the same kubeconfig and context.
    ///
    /// # Fix
    /// By stage: correct the server's address or DNS, VPN and firewall, the certificate authority, or log in
    /// again.
    ///
    /// # References
    /// Kubernetes: Tasks, "Troubleshooting kubectl".
    "ACC001" "api-unreachable" Access,
    needs: [Discovery, CephClusters],
    explained_by: [],
    about_sight,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (served, clusters) = match both(facts.installed(kinds::CEPH_CLUSTER).settled(), facts.ceph_clusters().settled())
    {
        // Discovery answered: Rook is not installed.
        Err(Gap::NotInstalled(_)) => return Ok(Answered::passed()),
        both => both?,
    };
    let lost: Vec<Unknown> = served.err().into_iter().chain(clusters.err()).collect();
    let (unreachable, other): (Vec<_>, Vec<_>) =
        lost.into_iter().partition(|unknown| matches!(unknown.why, Why::Unreachable(_) | Why::Timeout | Why::Deadline));
    // A refusal is an answer, and ACC002's; what a bundle does not hold says nothing of a server.
    let blind = other.into_iter().filter(|unknown| !matches!(unknown.why, Why::Forbidden(_)));
    let findings = unreachable.first().map(|first| finding(first, &unreachable)).into_iter().collect();
    Ok(Answered::judged(findings).blind(blind))
}

fn finding(first: &Unknown, all: &[Unknown]) -> Finding {
    let (stage, fix) = stage(&first.why.to_string());
    let summary = say!("API server cannot be read: {}", stage);
    let remedy = Remedy::guided(fix).command("kubectl config current-context").command("kubectl get --raw /readyz");
    let mut evidence: Vec<Evidence> = all.iter().map(Evidence::unknown).collect();
    // Without discovery nothing else is asked, so both questions have one answer.
    evidence.dedup();
    Finding::critical(api_server(), summary, remedy).evidence(evidence)
}

/// The stage at which it ended, by the words of the client.
fn stage(text: &str) -> (Text, Text) {
    let any = |words: &[&str]| words.iter().any(|word| text.to_lowercase().contains(word));
    // What ended before a connection is told by the client's own name of the stage.
    if text.contains("unreachable: kubeconfig:") {
        (
            say!("there is no usable kubeconfig"),
            say!("name one with --kubeconfig or KUBECONFIG, and look at what kubectl makes of it"),
        )
    } else if text.contains("unreachable: credentials plugin:") {
        (say!("the credentials plugin fails"), say!("log in again with the plugin's own tool"))
    } else if text.contains("unreachable: API:") {
        (say!("what answers there is no Kubernetes API server"), say!("correct the server's address in the kubeconfig"))
    } else if any(&["dns", "no such host", "failed to lookup", "name resolution"]) {
        (say!("its name does not resolve"), say!("correct the server's address in the kubeconfig, or DNS"))
    } else if any(&["certificate", "x509", "tls", "handshake"]) {
        (say!("TLS fails"), say!("check the certificate authority in the kubeconfig and the clocks"))
    } else if any(&["401", "unauthorized", "credential", "exec plugin"]) {
        (say!("it does not accept the credentials"), say!("log in again, or renew the client certificate or token"))
    } else if any(&["unreachable: 5", "unreachable: 429"]) {
        (
            say!("it answers with an error"),
            say!("look at the health of the API server and of its etcd, and at what stands before it"),
        )
    } else if any(&["refused", "no route", "network is unreachable", "reset"]) {
        (say!("it cannot be connected to"), say!("check that the API server runs, and VPN, firewall and proxy"))
    } else {
        (
            say!("no answer in time"),
            say!("check the load of the API server and the network, or allow more time with --timeout"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::stage;

    #[test]
    fn stages_are_told_apart() {
        for (text, expected) in [
            ("unreachable: kubeconfig: no kubeconfig was found; name one", "there is no usable kubeconfig"),
            ("unreachable: dns error: failed to lookup address information", "its name does not resolve"),
            ("unreachable: invalid peer certificate: UnknownIssuer", "TLS fails"),
            ("unreachable: 401 Unauthorized", "it does not accept the credentials"),
            ("unreachable: tcp connect error: Connection refused (os error 111)", "it cannot be connected to"),
            ("unreachable: 503: apiserver not ready", "it answers with an error"),
            ("no answer in time", "no answer in time"),
        ] {
            assert_eq!(stage(text).0.english(), expected, "{text}");
        }
    }
}
