use super::{NODE_BY_NODE, crashing, down, is_out_of_memory, last_words, multus_pods, node_by_node, status_evidence};
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
    /// For `Text file busy`: remove the file on the host and delete the Multus pod there. For good, move the
    /// DaemonSet to Multus v4.2.3 or later, whose init container writes a temporary file and renames it. Where the
    /// image, the arguments or the directory are wrong, change the DaemonSet with maxUnavailable 1: its pods are
    /// replaced node by node, and no further than to the first that is not Ready. Where the reason is another,
    /// `kubectl rookdoctor fix NET002` makes the pod anew, which skips its back-off.
    ///
    /// # References
    /// multus-cni #1221, #1213 (fixed in the manifest of v4.2.3), #1103 (image without `cp`); kube-ovn #4470, #4845.
    "NET002" "multus-init-crash" Net,
    needs: [DaemonSets, PodTables, Objects, Logs],
    fix: restart_multus,
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
    let reason = if text.is_empty() { say!("it left no message") } else { say!("{}", line) };
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
    let log = format!("kubectl -n {ns} logs {name} -c {} --previous", status.name);
    let owner = pod.metadata.controller().map_or("kube-multus-ds", |owner| owner.name.as_str());
    let wait = format!("kubectl -n {ns} rollout status daemonset {owner} --timeout=5m");
    let debug = format!("kubectl debug node/{node} -it");
    let edit = |remedy: Remedy| {
        let change = format!("kubectl -n {ns} edit daemonset {owner}");
        node_by_node(remedy, ns, owner, change)
    };
    let has = |signs: &[&str]| signs.iter().any(|sign| text.contains(sign));
    if status.terminated().is_some_and(is_out_of_memory) {
        return edit(Remedy::guided(say!(
            "raise the memory limit of init container {}; {}",
            status.name,
            NODE_BY_NODE()
        )));
    }
    if has(&["Text file busy"]) {
        let file = busy_file(text).unwrap_or("/opt/cni/bin/multus-shim");
        return Remedy::guided(say!(
            "on the host {} remove the busy file, then delete the Multus pod there, whose init container copies a fresh one; leave other nodes alone. For good, move the DaemonSet to Multus v4.2.3 or later, which replaces the file by a rename",
            node
        ))
        .command(format!("{debug} --profile=sysadmin --image=busybox -- rm /host{file}"))
        .command(delete)
        .command(wait);
    }
    if has(&["executable file not found"]) {
        return edit(Remedy::guided(say!(
            "the image has no such program, so manifest and image are of different versions: give the init container the command that the manifest of the image's release has; {}",
            NODE_BY_NODE()
        )));
    }
    if has(&["ead-only file system", "temp file", "No such file or directory", "no such file or directory"]) {
        return edit(
            Remedy::guided(say!(
                "the directory for plugins is absent or read-only on the host {}: see there which one the container runtime uses (bin_dir of containerd, plugin_dirs of CRI-O), and set the hostPath of the DaemonSet to that; {}",
                node,
                NODE_BY_NODE()
            ))
            .command(format!("{debug} --image=busybox -- grep -rE 'bin_dir|plugin_dirs' /host/etc/containerd /host/etc/crio")),
        );
    }
    if has(&["--type"]) {
        return edit(Remedy::guided(say!(
            "the init container's arguments lack a valid --type: set thin or thick, as the Multus is; {}",
            NODE_BY_NODE()
        )));
    }
    if has(&["o space left on device", "ermission denied", "peration not permitted"]) {
        return Remedy::guided(say!(
            "the init container may not, or cannot, write on the host {}: see to its disk and to who may write there, then delete the pod to skip its back-off",
            node
        ))
        .command(format!("{debug} --image=busybox -- df -h /host /host/opt"))
        .command(format!("{debug} --image=busybox -- ls -la /host/opt/cni/bin"))
        .command(delete);
    }
    let remedy = Remedy::guided(say!(
        "read the init container's log, and the container runtime's log on {}; once the cause is gone, delete the pod to skip its back-off",
        node
    ))
    .command(log)
    .command(delete);
    // Without a reason nobody knows whether the cause has passed.
    if text.is_empty() { remedy } else { remedy.auto() }
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
