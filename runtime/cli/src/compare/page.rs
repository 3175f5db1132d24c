//! The page of a comparison: what it comes to, charts of both runs, and every difference with the evidence and votes of both.

use super::align::characters;
use super::print::{before_the_truth, effect_text, sums};
use super::{Difference, Effect, Findings, Kind};
use crate::failure::Failure;
use crate::read::Reading;
use crate::report::page::{confidence, page, picture, seen, table, verdict, votes};
use crate::report::svg::escaped;
use crate::report::{charts, figures};
use crate::runs::Run;
use crate::score::Score;
use std::fmt::Write;
use std::path::Path;

/// Writes it.
pub fn write(a: &Run, b: &Run, findings: &Findings, path: &Path) -> Result<(), Failure> {
    std::fs::write(path, text(a, b, findings)).map_err(|e| Failure::failed(format!("{}: {e}", path.display())))
}

fn text(a: &Run, b: &Run, findings: &Findings) -> String {
    let mut body = String::from("<h1>A against B</h1>\n");
    for (class, name, run) in [("a", "A", a), ("b", "B", b)] {
        let incomplete =
            run.about.as_ref().filter(|about| !about.complete).map_or("", |_| " <span class=\"verdict wrong\">incomplete</span>");
        let _ = writeln!(body, "<p><span class=\"side {class}\">{name}</span>{}{incomplete}</p>", escaped(&run.name()));
    }
    let what = if findings.identical() {
        format!("Identical: all {} readings have the same plates, confidences, times and votes.", findings.agreed)
    } else {
        format!("{}.", sums(findings))
    };
    let _ = writeln!(body, "<p>{}</p>", escaped(&what));
    if let Some(found) = &findings.truth {
        let _ = writeln!(body, "<p>{}.</p>", escaped(&before_the_truth(found)));
    }
    let (score_a, score_b) = findings.scores.as_ref().map_or((None, None), |(a, b)| (Some(a), Some(b)));
    let mut rows = vec![vec!["readings".to_owned(), findings.readings_a.to_string(), findings.readings_b.to_string()]];
    rows.extend(figures(&[a, b], &[score_a, score_b]));
    body += &table(&["", "A", "B"], &rows);
    body += "<h2>Differences</h2>\n";
    body += &differences(a, b, findings);
    body += "<h2>Both runs</h2>\n";
    body += &charts(&[("A", a), ("B", b)], &[score_a, score_b]);
    let _ = write!(body, "<h2>Agreement</h2>\n<details><summary>{} passes with the same plate</summary>\n", findings.agreed);
    body += &agreed(a, b, findings);
    body += "</details>\n";
    page("comparison", &body)
}

fn differences(a: &Run, b: &Run, findings: &Findings) -> String {
    if findings.differences.is_empty() {
        return "<p>None.</p>\n".to_owned();
    }
    let has_truth = findings.truth.is_some();
    let mut text = String::from("<table><tr><th>what<th><span class=\"side a\">A</span><th><span class=\"side b\">B</span></tr>\n");
    for d in &findings.differences {
        let (score_a, score_b) = findings.scores.as_ref().map_or((None, None), |(a, b)| (Some(a), Some(b)));
        let _ = writeln!(
            text,
            "<tr><td>{}<td>{}<td>{}</tr>",
            what(d, has_truth),
            side(a, score_a, d.places.0, d.b.as_deref()),
            side(b, score_b, d.places.1, d.a.as_deref())
        );
    }
    text + "</table>\n"
}

fn what(d: &Difference, has_truth: bool) -> String {
    let kind = match d.kind {
        Kind::Changed => "changed",
        Kind::Lost => "lost in B",
        Kind::Gained => "gained by B",
    };
    let effect = match d.effect {
        Some(Effect::Better) => " better",
        Some(Effect::Worse) => " worse",
        _ => "",
    };
    let judged = if has_truth { format!("<br><span class=\"verdict{effect}\">{}</span>", effect_text(d.effect)) } else { String::new() };
    let truth = d.truth.as_ref().map_or_else(String::new, |t| format!("<br><small>truth <code>{}</code></small>", escaped(t)));
    format!("{kind}{judged}{truth}<br><small>{}, {:.2} to {:.2} s</small>", escaped(&d.camera), d.seen_s.0, d.seen_s.1)
}

/// One run's reading of a difference; characters that the other has not are marked.
fn side(run: &Run, score: Option<&Score>, place: Option<usize>, other: Option<&str>) -> String {
    let Some((index, reading)) = place.and_then(|i| Some((i, run.readings.get(i)?))) else {
        return "<span class=\"none\">no reading</span>".to_owned();
    };
    let judged = score.and_then(|s| s.row_of(index)).map_or_else(String::new, |row| format!(" {}", verdict(&row.verdict, None)));
    format!(
        "{}<span class=\"plate\">{}</span>{judged}<br>{} <small>{} frames read</small>{}",
        picture(run, reading),
        marked(&reading.plate, other),
        confidence(reading.confidence),
        reading.frames_read,
        votes(reading, 6)
    )
}

fn marked(plate: &str, other: Option<&str>) -> String {
    let Some(other) = other else { return escaped(plate) };
    let mut text = String::new();
    for (own, theirs) in characters(plate, other) {
        match own {
            Some(c) if own != theirs => text += &format!("<mark>{}</mark>", escaped(&c.to_string())),
            Some(c) => text += &escaped(&c.to_string()),
            None => {}
        }
    }
    text
}

fn agreed(a: &Run, b: &Run, findings: &Findings) -> String {
    let mut text = String::from("<table><tr><th>evidence in A<th>plate<th>camera<th>seen in A<th>confidence A<th>confidence B</tr>\n");
    for (i, k) in &findings.same {
        let (Some(left), Some(right)) = (a.readings.get(*i), b.readings.get(*k)) else { continue };
        let certain = |r: &Reading| format!("{:.1} %", r.confidence * 100.0);
        let _ = writeln!(
            text,
            "<tr><td>{}<td><span class=\"plate\">{}</span><td>{}<td>{}<td>{}<td>{}</tr>",
            picture(a, left),
            escaped(&left.plate),
            escaped(&left.camera),
            seen(left),
            certain(left),
            certain(right)
        );
    }
    text + "</table>\n"
}

#[cfg(test)]
mod tests {
    use super::marked;

    #[test]
    fn characters_that_differ_are_marked() {
        assert_eq!(marked("AB12", Some("AB72")), "AB<mark>1</mark>2");
        assert_eq!(marked("AB12", Some("AB2")), "AB<mark>1</mark>2");
        assert_eq!(marked("AB2", Some("AB12")), "AB2");
        assert_eq!(marked("A<", None), "A&lt;");
    }
}
