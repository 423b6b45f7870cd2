//! Why the API server refuses to make a pod, told for a person.

use crate::lang::Words;
use crate::say;

/// A part of the API server's words, what it means, what would help, and the command for it.
pub(super) struct Reason {
    pub texts: &'static [&'static str],
    pub why: Words,
    pub fix: Words,
    /// `{}` stands for the namespace.
    pub command: &'static str,
}

const WEBHOOKS: &str = "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations";

const REASONS: &[Reason] = &[
    Reason {
        texts: &["violates PodSecurity"],
        why: || say!("the namespace's Pod Security level refuses it"),
        fix: || say!("let the namespace run privileged pods, as Ceph's daemons and CSI need"),
        command: "kubectl label ns {} pod-security.kubernetes.io/enforce=privileged --overwrite",
    },
    Reason {
        texts: &["security context constraint"],
        why: || say!("no security context constraint admits it"),
        fix: || say!("apply the SCCs of Rook's operator-openshift.yaml, and look at which ServiceAccounts they name"),
        command: "kubectl get scc rook-ceph rook-ceph-csi -o yaml",
    },
    Reason {
        texts: &["exceeded quota", "failed quota"],
        why: || say!("it would exceed a quota of the namespace"),
        fix: || say!("raise the quota, or give the daemon smaller requests in the CephCluster's resources"),
        command: "kubectl -n {} describe resourcequota",
    },
    Reason {
        texts: &["failed calling webhook"],
        why: || say!("an admission webhook does not answer"),
        fix: || say!("bring the webhook's backend back; if it is gone for good, save its configuration and delete it"),
        command: WEBHOOKS,
    },
    Reason {
        texts: &["denied the request"],
        why: || say!("an admission policy refuses it"),
        fix: || say!("exempt Rook's namespace from the policy that is named"),
        command: WEBHOOKS,
    },
    Reason {
        texts: &["serviceaccount \"", "service account "],
        why: || say!("its ServiceAccount does not exist"),
        fix: || say!("create it: by Rook's common.yaml, or by the chart ceph-csi-drivers for CSI since Rook 1.20"),
        command: "kubectl -n {} get serviceaccounts",
    },
    Reason {
        texts: &["PriorityClass"],
        why: || say!("its PriorityClass does not exist"),
        fix: || say!("create it, or correct spec.priorityClassNames of the CephCluster"),
        command: "kubectl get priorityclasses",
    },
    Reason {
        texts: &["maximum memory usage", "maximum cpu usage", "minimum memory usage", "minimum cpu usage"],
        why: || say!("a LimitRange of the namespace refuses its resources"),
        fix: || say!("widen the LimitRange, or change the CephCluster's resources"),
        command: "kubectl -n {} describe limitrange",
    },
    Reason {
        texts: &["being terminated"],
        why: || say!("its namespace is being deleted"),
        fix: || say!("find out who deletes the namespace; what Rook protects by finalizers is still there"),
        command: "kubectl get ns {} -o yaml",
    },
];

/// Where none of the known reasons is told.
const OTHER: Reason = Reason {
    texts: &[],
    why: || say!("the API server refuses its pods"),
    fix: || say!("repair what the event names"),
    command: "kubectl get ns {} -o yaml",
};

pub(super) fn decode(message: &str) -> &'static Reason {
    let tells = |reason: &&Reason| reason.texts.iter().any(|text| message.contains(text));
    REASONS.iter().find(tells).unwrap_or(&OTHER)
}
