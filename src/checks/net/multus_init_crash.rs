use super::{crashing, down, last_words, multus_pods, status_evidence};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy};
use crate::facts::{Facts, Gap};
use crate::objects::kube::{ContainerStatus, Pod};
use crate::say;

check! {
    /// # What it looks at
    /// The init containers of the Multus pods, node by node: one that ends with an error again and again, and
    /// why, by its termination message or its log.
    ///
    /// # Why it matters
    /// The init container puts the plugin on the node's disk. While it fails the daemon does not start, and no
    /// pod of that node gets a network. After a reboot this is a deadlock: the kubelet calls the shim for
    /// every pod, the running shim keeps its file busy, `cp` cannot replace it (`Text file busy`), and the
    /// daemon that the shim waits for never comes.
    ///
    /// # Confirm by hand
    /// `kubectl -n kube-system logs <multus pod> -c install-multus-binary --previous`.
    ///
    /// # Fix
    /// For `Text file busy`: remove the file on the node and delete the Multus pod there. For good, move the
    /// DaemonSet to Multus v4.2.3 or later, whose init container writes a temporary file and renames it.
    ///
    /// # References
    /// multus-cni #1221, #1213 (fixed in the manifest of v4.2.3), #1103 (image without `cp`); kube-ovn #4470, #4845.
    "NET002" "multus-init-crash" Net,
    needs: [DaemonSets, PodTables, Objects, Logs],
    explained_by: [(node::node_not_ready, Node), (ovn::stale_after_reboot, Node)],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let pods = multus_pods(facts)?;
    if pods.is_empty() {
        return Ok(Answered::NotApplicable("there are no Multus pods"));
    }
    let down = down(facts, pods)?;
    let crashed: Vec<(&Pod, &ContainerStatus)> =
        down.seen.iter().filter_map(|(_, pod)| Some((*pod, init_crash(pod)?))).collect();
    // The crash is known from the status; a log that cannot be read leaves only the reason open.
    let told = facts.each(crashed, |facts, (pod, status)| last_words(facts, pod, &status.name, &[""]))?;
    let findings = told.seen.into_iter().map(|((pod, status), words)| finding(pod, status, words)).collect();
    Ok(Answered::judged(findings).blind(down.blind))
}

/// The init container that this Multus pod crashes in.
pub(crate) fn init_crash(pod: &Pod) -> Option<&ContainerStatus> {
    let status = crashing(pod)?;
    pod.status.init_container_statuses.iter().find(|init| init.name == status.name)
}

fn finding(pod: &Pod, status: &ContainerStatus, words: Option<Evidence>) -> Finding {
    let message = status.terminated().map_or("", |ended| ended.message.trim());
    let text = if message.is_empty() { words.as_ref().map_or("", |words| words.excerpt.as_str()) } else { message };
    let node = &pod.spec.node_name;
    let line: String = text.lines().next().unwrap_or_default().chars().take(160).collect();
    let reason = if text.is_empty() { "it left no message" } else { line.as_str() };
    let summary = say!("the Multus pod on {} crashes in its init container {}: {}", node, status.name, reason);
    Finding::critical(ObjectRef::pod(pod), summary, remedy(pod, status, text))
        .at([Place::node(node)])
        .since(pod.unready_since())
        .evidence([status_evidence(pod, status)])
        .evidence(words)
}

fn remedy(pod: &Pod, status: &ContainerStatus, text: &str) -> Remedy {
    let (ns, name, node) = (&pod.metadata.namespace, &pod.metadata.name, &pod.spec.node_name);
    let delete = format!("kubectl -n {ns} delete pod {name}");
    let owner = pod.metadata.controller().map_or("kube-multus-ds", |owner| owner.name.as_str());
    let edit = format!("kubectl -n {ns} edit daemonset {owner}");
    if text.contains("Text file busy") {
        let file = busy_file(text).unwrap_or("/opt/cni/bin/multus-shim");
        return Remedy::guided(say!(
            "on {} remove the busy file and delete the Multus pod there, whose init container then copies a fresh one; leave other nodes alone; for good, move the DaemonSet to Multus v4.2.3 or later, which replaces the file by a rename",
            node
        ))
        .command(format!("kubectl debug node/{node} -it --profile=sysadmin --image=busybox -- rm /host{file}"))
        .command(delete)
        .command(edit);
    }
    if text.contains("executable file not found") {
        return Remedy::guided(say!(
            "the image has no such program, so manifest and image are of different versions: apply the manifest of the image's release"
        ))
        .command(edit);
    }
    if ["ead-only file system", "temp file", "No such file or directory", "no such file or directory"]
        .iter()
        .any(|sign| text.contains(sign))
    {
        return Remedy::guided(say!(
            "the directory for plugins is absent or read-only on {}: set the hostPath of the DaemonSet to the one that the container runtime uses",
            node
        ))
        .command(edit);
    }
    if text.contains("--type") {
        return Remedy::guided(say!("the init container's arguments lack a valid --type: set thin or thick"))
            .command(edit);
    }
    Remedy::guided(say!(
        "read the init container's log, and the container runtime's log on {}; once the cause is gone, delete the pod to skip its back-off",
        node
    ))
    .command(format!("kubectl -n {ns} logs {name} -c {} --previous", status.name))
    .command(delete)
}

/// The file that `cp` named, as the host knows it.
fn busy_file(text: &str) -> Option<&str> {
    let file = text.split(['\'', '"']).find(|part| part.contains("/cni/") || part.contains("/bin/multus"))?;
    let file = file.strip_prefix("/host").unwrap_or(file);
    file.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)).then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busy_file_is_named_as_on_the_host() {
        let text = "cp: cannot create regular file '/host/opt/cni/bin/multus-shim': Text file busy";
        assert_eq!(busy_file(text), Some("/opt/cni/bin/multus-shim"));
        assert_eq!(busy_file("cp: cannot create regular file '/host/opt/cni/$(reboot)': Text file busy"), None);
    }
}
