//! The timeline: all courses of a run stacked on one time axis, in one drawing, so that they align by
//! construction.

mod frame;
mod lanes;
mod panels;

use frame::Frame;

use crate::figures::Figures;

/// The drawing.
pub(super) fn draw(figures: &Figures) -> String {
    let mut frame = Frame::new(figures.cluster_seconds, &figures.series);
    panels::pools(&mut frame, &figures.series);
    panels::pods(&mut frame, &figures.series);
    panels::latency(&mut frame, &figures.series);
    panels::cloud(&mut frame, &figures.series);
    lanes::faults(&mut frame, &figures.series);
    lanes::violations(&mut frame, &figures.series);
    frame.finish()
}
