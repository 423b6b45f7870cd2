//! How a run ends: the exit status, the same in every output format.

use std::fmt;
use std::process::ExitCode;

/// The exit status. On Windows kubectl turns every other than 0 into 1: scripts there read `exitCode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Every selected check was answered, and nothing is wrong at or above the threshold.
    Healthy = 0,
    Warning = 1,
    Critical = 2,
    /// A selected check could not be answered, or the cluster or bundle could not be opened.
    Unknown = 3,
    /// A fix failed or did not verify.
    FixFailed = 4,
    /// A fix was not applied: declined, no `--yes`, or a guard.
    FixNotApplied = 5,
    Usage = 64,
    Internal = 70,
    Interrupted = 130,
}

impl Exit {
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The worse of two, for several clusters: critical, warning, unknown, healthy.
    pub fn worse(self, other: Self) -> Self {
        let order = [Self::Critical, Self::Warning, Self::Unknown];
        order.into_iter().find(|exit| self == *exit || other == *exit).unwrap_or(Self::Healthy)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error that ends the run, and the status it ends with.
#[derive(Debug)]
pub struct Failed {
    pub exit: Exit,
    pub error: anyhow::Error,
}

impl Failed {
    /// The command line asks for something that does not exist or makes no sense.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Usage, error: error.into() }
    }

    /// The cluster or bundle could not be opened.
    pub fn unseen(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Unknown, error: error.into() }
    }

    pub fn interrupted() -> Self {
        Self { exit: Exit::Interrupted, error: anyhow::anyhow!("interrupted") }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self { exit: Exit::Internal, error: error.into() }
    }
}

impl fmt::Display for Failed {
    /// The error and what it comes from, on one line; a cause that is already told is not told again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = String::new();
        for cause in self.error.chain().map(ToString::to_string).filter(|cause| !cause.is_empty()) {
            if told.is_empty() {
                told = cause;
            } else if !told.contains(&cause) {
                told.push_str(": ");
                told.push_str(&cause);
            }
        }
        f.write_str(&told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_clusters_end_as_the_worst() {
        use Exit::{Critical, Healthy, Unknown, Warning};
        for (one, other, worse) in [
            (Healthy, Healthy, Healthy),
            (Healthy, Unknown, Unknown),
            (Unknown, Warning, Warning),
            (Critical, Warning, Critical),
        ] {
            assert_eq!(one.worse(other), worse);
            assert_eq!(other.worse(one), worse);
        }
    }
}
