//! terway-controlplane
