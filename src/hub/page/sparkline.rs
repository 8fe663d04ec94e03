//! Small drawings of a trend: sizes as a line, what runs added as bars. Figures stand beside them, and in their names for those who do not see them.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::text::count;
use crate::hub::status::Point;
use crate::model::human;

const WIDTH: f64 = 90.0;
const HEIGHT: f64 = 20.0;
/// Room for the ends of lines.
const EDGE: f64 = 2.0;

/// How large the source was in the runs that were done; nothing if there were none.
pub(super) fn sizes(trend: &[Point]) -> Markup {
    let sizes: Vec<u64> = trend.iter().filter(|point| point.outcome.is_success()).map(|point| point.bytes).collect();
    let (Some(least), Some(most), Some(last)) = (sizes.iter().min().copied(), sizes.iter().max().copied(), sizes.len().checked_sub(1))
    else {
        return html! {};
    };
    let name = match sizes.len() as u64 {
        1 => format!("one run, {}", human::size(most)),
        runs => format!("{}, from {} to {}", count(runs, "run"), human::size(least), human::size(most)),
    };
    // Small changes shall look small: the line has at least a tenth of the size as its height.
    let span = (most as f64 - least as f64).max(most as f64 / 10.0);
    let middle = f64::midpoint(least as f64, most as f64);
    let place = |(number, size): (usize, &u64)| {
        let x = if last == 0 { WIDTH - EDGE } else { EDGE + (WIDTH - 2.0 * EDGE) * number as f64 / last as f64 };
        let off = if span > 0.0 { (*size as f64 - middle) / span } else { 0.0 };
        (x, HEIGHT / 2.0 - off * (HEIGHT - 2.0 * EDGE))
    };
    let places: Vec<(f64, f64)> = sizes.iter().enumerate().map(place).collect();
    let mut points = String::new();
    for (x, y) in &places {
        let _ = write!(points, "{x:.1},{y:.1} ");
    }
    html! {
        svg.spark viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } width=(WIDTH) height=(HEIGHT) role="img" aria-label=(name) {
            title { (name) }
            @if last > 0 { polyline points=(points.trim_end()) {} }
            @if let Some((x, y)) = places.last() { circle cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r="1.8" {} }
        }
    }
}

/// What each run added; one that failed is a mark below. Nothing if there were no runs.
pub(super) fn added(trend: &[Point]) -> Markup {
    let Some(most) = trend.iter().map(|point| point.bytes_stored).max() else { return html! {} };
    let failed = trend.iter().filter(|point| !point.outcome.is_success()).count() as u64;
    let mut name = format!("{}, at most {} added", count(trend.len() as u64, "run"), human::size(most));
    if failed > 0 {
        let _ = write!(name, ", {failed} not done");
    }
    let wide = (WIDTH - 2.0 * EDGE) / trend.len().max(12) as f64;
    let first = WIDTH - EDGE - wide * trend.len() as f64;
    let bar = |(number, point): (usize, &Point)| {
        let part = if most > 0 { point.bytes_stored as f64 / most as f64 } else { 0.0 };
        let high = if point.outcome.is_success() { (part * (HEIGHT - EDGE)).max(1.0) } else { 4.0 };
        (first + wide * number as f64, high, !point.outcome.is_success())
    };
    html! {
        svg.spark viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } width=(WIDTH) height=(HEIGHT) role="img" aria-label=(name) {
            title { (name) }
            @for (x, high, bad) in trend.iter().enumerate().map(bar) {
                rect.bad[bad] x=(format!("{x:.1}")) y=(format!("{:.1}", HEIGHT - high)) width=(format!("{:.1}", wide * 0.72)) height=(format!("{high:.1}")) {}
            }
        }
    }
}
