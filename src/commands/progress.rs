//! A moving line on standard error while the cluster is read; none if nobody watches.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::report::clean::clean;
use crate::report::human::bytes as size;
use crate::screen::Screen;

/// A longer line would break.
const LINE: usize = 70;

#[derive(Clone)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn start(screen: &Screen) -> Self {
        if !screen.moves() {
            return Self(ProgressBar::hidden());
        }
        let ticks = if screen.unicode() { "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ " } else { "|/-\\ " };
        let bar = ProgressBar::new_spinner();
        bar.set_style(ProgressStyle::default_spinner().tick_chars(ticks));
        bar.set_message("connecting");
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    /// Tells the round and how much is being read.
    pub(super) fn round(&self, round: u32, facts: usize) {
        let s = if facts == 1 { "" } else { "s" };
        self.0.set_message(format!("round {round}: reading {facts} fact{s}"));
    }

    /// Tells how much of a capture there is, and what came last.
    pub(super) fn captured(&self, what: &str, count: usize, of: usize, bytes: u64) {
        self.0.set_message(clean(&format!("reading {count} of {of}, {}: {what}", size(bytes)), LINE));
    }

    /// Tells what is being done.
    pub(super) fn say(&self, what: &str) {
        self.0.set_message(what.to_owned());
    }

    /// Tells a line that stays, above the one that moves.
    pub(super) fn complain(&self, screen: &Screen, line: &str) {
        self.0.suspend(|| screen.complain(line));
    }

    /// Takes the line away.
    pub(super) fn clear(&self) {
        self.0.finish_and_clear();
    }
}
