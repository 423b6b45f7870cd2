//! The Rook operator.

pub mod do_not_reconcile_left;
pub mod operator_cannot_reach_mons;
pub mod operator_down;
pub mod reconcile_failing;
pub mod reconcile_stalled;
