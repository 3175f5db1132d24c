//! What pages are made of: the frame around them, readings with their pictures and votes.

use super::svg::escaped;
use crate::read::{Reading, Votes};
use crate::runs::Run;
use base64::Engine;

const STYLE: &str = include_str!("page.css");

/// A page that can be sent as one file: style, charts and pictures stand inside.
pub fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>Gantry: {}</title><style>{STYLE}</style>\n{body}",
        escaped(title)
    )
}

/// The evidence of a reading as an image, or nothing.
pub fn picture(run: &Run, reading: &Reading) -> String {
    run.picture(reading).map_or_else(String::new, |jpeg| {
        format!("<img alt=\"plate\" src=\"data:image/jpeg;base64,{}\">", base64::engine::general_purpose::STANDARD.encode(jpeg))
    })
}

/// Confidence as text and bar.
pub fn confidence(value: f64) -> String {
    let percent = value * 100.0;
    format!("{percent:.1} %<div class=\"bar\"><i style=\"width:{percent:.0}%\"></i></div>")
}

/// The votes of a reading: the heaviest `shown` of them, the others folded.
pub fn votes(reading: &Reading, shown: usize) -> String {
    let line = |v: &Votes| {
        let frames = v.frames.len();
        let plural = if frames == 1 { "" } else { "s" };
        format!("<div><code>{}</code> {} in {frames} frame{plural}, weight {:.2}</div>", escaped(&v.text), escaped(&v.variant), v.weight)
    };
    let (first, rest) = reading.votes.split_at(shown.min(reading.votes.len()));
    let mut text = String::from("<div class=\"votes\">");
    first.iter().for_each(|v| text += &line(v));
    if !rest.is_empty() {
        let summary = if shown == 0 { format!("{} frames read", reading.frames_read) } else { format!("{} more votes", rest.len()) };
        text += &format!("<details><summary>{summary}</summary>");
        rest.iter().for_each(|v| text += &line(v));
        text += "</details>";
    }
    text + "</div>"
}

/// When a reading's vehicle was seen.
pub fn seen(reading: &Reading) -> String {
    format!("{:.2} to {:.2} s", reading.first_seen_s, reading.last_seen_s)
}

/// A plate with its layout beneath.
pub fn plate(reading: &Reading) -> String {
    let syntax =
        reading.syntax.as_deref().filter(|s| !s.is_empty()).map_or_else(String::new, |s| format!("<br><small>{}</small>", escaped(s)));
    format!("<span class=\"plate\">{}</span>{syntax}", escaped(&reading.plate))
}

/// What a truth says of a reading or vehicle.
pub fn verdict(verdict: &str, truth: Option<&str>) -> String {
    let of = truth.filter(|_| verdict != "exact").map_or_else(String::new, |t| format!(" <code>{}</code>", escaped(t)));
    format!("<span class=\"verdict {0}\">{0}</span>{of}", escaped(verdict))
}

/// A table of names and values.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = String::from("<table class=\"figures\"><tr>");
    head.iter().for_each(|h| text += &format!("<th>{}", escaped(h)));
    text += "</tr>\n";
    for row in rows {
        text += "<tr>";
        row.iter().for_each(|cell| text += &format!("<td>{cell}"));
        text += "</tr>\n";
    }
    text + "</table>\n"
}
