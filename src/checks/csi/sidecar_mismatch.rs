use std::collections::BTreeMap;

use super::{Plugin, is_auxiliary, plugins};
use crate::check;
use crate::check::{Answered, Evidence, Finding, Place, Remedy, Severity};
use crate::checks::net::status_evidence;
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, both};
use crate::objects::kube::{ContainerStatus, Pod};
use crate::say;

check! {
    /// # What it looks at
    /// Containers of the CSI controllers and node plugins that end with status 1 or 2 again and again, and whether
    /// their end or their log says that an argument is not known (`flag provided but not defined`, `unknown flag`).
    ///
    /// # Why it matters
    /// The arguments come from Rook or the ceph-csi-operator, the image from whoever set it: an image that is older
    /// or newer than its release (a pinned `ROOK_CSI_*_IMAGE`, an ImageSet, a mirror) meets arguments that it does
    /// not have. It never starts, and the pod is never Ready.
    ///
    /// # Confirm by hand
    /// `kubectl -n <operator namespace> logs <pod> -c <container>`, first line.
    ///
    /// # Fix
    /// Take the override of the image away, or set the version that this release of Rook was made for; the operator
    /// rolls the pods out by itself.
    ///
    /// # References
    /// rook issues 15219 and 15234 (csi-snapshotter v8.2.0 with Rook v1.16). Go's flag package, spf13/pflag.
    "CSI015" "sidecar-mismatch" Csi,
    needs: [CsiDeployments, DaemonSets, CsiPods, Objects, Logs],
    explained_by: [],
}

const WORDS: &[&str] = &["flag provided but not defined: ", "unknown flag: ", "unknown shorthand flag: "];

/// A container that does not know an argument, in some pods of a workload.
struct Mismatch<'s> {
    plugin: Plugin<'s>,
    image: String,
    pods: Vec<(&'s PodRow, Evidence)>,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (plugins, rows) = both(plugins(facts), facts.csi_pods())?;
    let owner = |row: &PodRow| plugins.iter().find(|plugin| plugin.owns(row)).copied();
    let suspects = rows.iter().filter(|row| !row.is_well() && !row.is_replaced());
    let suspects = suspects.filter_map(|row| Some((owner(row)?, row)));
    let pods = facts.each(suspects, |facts, (plugin, row)| facts.pod(&plugin.metadata.namespace, &row.name))?;
    let ending = pods.seen.iter().flat_map(|((plugin, row), pod)| {
        pod.status
            .container_statuses
            .iter()
            .filter(|status| ends(status))
            .map(move |status| (*plugin, *row, *pod, status))
    });
    let logs = facts.each(ending, |facts, (plugin, row, pod, status)| told(facts, plugin, row, pod, status))?;
    let mut found: BTreeMap<(&str, &str, String), Mismatch<'_>> = BTreeMap::new();
    for ((plugin, row, _, status), told) in logs.seen {
        let Some((flag, evidence)) = told else { continue };
        let mismatch = found.entry((&plugin.metadata.name, &status.name, flag)).or_insert_with(|| {
            let container = plugin.template.spec.containers.iter().find(|it| it.name == status.name);
            let image = container.map_or_else(|| status.image.clone(), |it| it.image.clone());
            Mismatch { plugin, image, pods: Vec::new() }
        });
        mismatch.pods.push((row, evidence));
    }
    let findings = found.iter().map(|((_, container, flag), mismatch)| finding(container, flag, mismatch));
    Ok(Answered::judged(findings.collect()).blind(pods.blind).blind(logs.blind))
}

/// Both Go's flag package and pflag end the process at once, with status 2 or 1.
fn ends(status: &ContainerStatus) -> bool {
    status.state.running.is_none() && status.terminated().is_some_and(|end| [1, 2].contains(&end.exit_code))
}

/// The argument that is not known, and where that is said. Between two runs the log is that of the last end.
fn told(
    facts: &Facts<'_>,
    plugin: &Plugin<'_>,
    row: &PodRow,
    pod: &Pod,
    status: &ContainerStatus,
) -> Result<Option<(String, Evidence)>, Gap> {
    let message = status.terminated().and_then(|end| flag(&end.message));
    if let Some(flag) = message {
        return Ok(Some((flag, status_evidence(pod, status))));
    }
    let ns = &plugin.metadata.namespace;
    let log = facts.log(ns, &row.name, &status.name)?;
    let line = log.last_of(WORDS);
    Ok(line.and_then(|line| Some((flag(&line.text)?, Evidence::log(ns, &row.name, &status.name, line)))))
}

/// `-enable-volume-group-snapshots` of Go's or pflag's words.
fn flag(text: &str) -> Option<String> {
    let rest = WORDS.iter().find_map(|words| text.split_once(words))?.1;
    let flag = rest.split_whitespace().next()?.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    Some(flag.split('=').next()?.to_owned())
}

fn finding(container: &str, flag: &str, mismatch: &Mismatch<'_>) -> Finding {
    let Mismatch { plugin, image, pods } = mismatch;
    let object = plugin.object();
    let (ns, name) = (&object.namespace, &object.name);
    let stops = !is_auxiliary(container) && (!plugin.is_controller() || plugin.ready == 0);
    let severity = if stops { Severity::Critical } else { Severity::Warning };
    let summary = say!(
        "container {} of {} does not know its argument --{}: image {} and arguments are of different versions",
        container,
        object,
        flag,
        image
    );
    let remedy = Remedy::guided(say!(
        "take away what overrides the image of {} (ROOK_CSI_*_IMAGE in rook-ceph-operator-config, the ImageSet of the Driver, a mirror), or set the version that this release of Rook was made for",
        container
    ));
    let remedy = if plugin.is_of_csi_operator() {
        remedy.command(format!("kubectl -n {ns} get drivers.csi.ceph.io,operatorconfigs.csi.ceph.io -o yaml"))
    } else {
        remedy.command(format!("kubectl -n {ns} get configmap rook-ceph-operator-config -o yaml | grep IMAGE"))
    };
    let kind = if plugin.is_controller() { "deployment" } else { "daemonset" };
    let remedy = remedy.command(format!("kubectl -n {ns} get {kind} {name} -o yaml"));
    let nodes = pods.iter().filter(|(row, _)| !row.node.is_empty()).map(|(row, _)| Place::node(&row.node));
    Finding::new(severity, object.clone(), summary, remedy)
        .also(pods.iter().map(|(row, _)| plugin.pod_object(row)))
        .detail(container)
        .at(nodes)
        .evidence(pods.iter().take(3).map(|(_, evidence)| evidence.clone()))
        .evidence([Evidence::field(&object, format!("image of container {container}"), image)])
}

#[cfg(test)]
mod tests {
    use super::flag;

    #[test]
    fn the_argument_is_taken_from_the_words() {
        for (text, expected) in [
            ("flag provided but not defined: -enable-volume-group-snapshots", Some("enable-volume-group-snapshots")),
            ("Error: unknown flag: --retry-interval-start=1s", Some("retry-interval-start")),
            ("unknown shorthand flag: 'x' in -x", Some("x")),
            ("failed to listen on address :9070", None),
        ] {
            assert_eq!(flag(text).as_deref(), expected, "{text}");
        }
    }
}
