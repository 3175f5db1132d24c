//! What `gantry compare` prints.

use super::{Effect, Findings, Kind, Verdict};
use crate::report::load;
use crate::runs::Run;
use comfy_table::{Table, presets};

/// The differences, what they add up to, speed and load.
pub fn print(a: &Run, b: &Run, findings: &Findings) {
    outln!("A: {}", a.name());
    outln!("B: {}", b.name());
    if findings.identical() {
        outln!("identical: all {} readings have the same plates, confidences, times and votes", findings.agreed);
    } else {
        if !findings.differences.is_empty() {
            outln!("{}", table(findings));
        }
        outln!("{}", sums(findings));
    }
    if let Some(verdict) = &findings.truth {
        outln!("{}", before_the_truth(verdict));
    }
    if let (Some(x), Some(y)) = (load(a), load(b)) {
        let times = |b: f64, a: f64| if a > 0.0 { format!("{:.2} times", b / a) } else { "-".to_owned() };
        outln!("speed: A {:.0} frames/s, B {:.0} ({})", x.fps(), y.fps(), times(y.fps(), x.fps()));
        outln!("CPU per frame: A {:.1} ms, B {:.1} ms ({})", x.cpu_ms(), y.cpu_ms(), times(y.cpu_ms(), x.cpu_ms()));
    }
}

fn table(findings: &Findings) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    let has_truth = findings.truth.is_some();
    table.set_header(["camera", "seen", "A", "B", "what"].into_iter().chain(has_truth.then_some(["truth", "B is"]).into_iter().flatten()));
    for d in &findings.differences {
        let what = match d.kind {
            Kind::Changed => "changed",
            Kind::Lost => "lost",
            Kind::Gained => "gained",
        };
        let text = |plate: &Option<String>| plate.clone().unwrap_or_else(|| "-".to_owned());
        let mut row = vec![d.camera.clone(), format!("{:.2} to {:.2} s", d.seen_s.0, d.seen_s.1), text(&d.a), text(&d.b), what.to_owned()];
        if has_truth {
            row.push(text(&d.truth));
            row.push(effect_text(d.effect).to_owned());
        }
        table.add_row(row);
    }
    table
}

/// In one word what a difference is good for.
pub fn effect_text(effect: Option<Effect>) -> &'static str {
    match effect {
        Some(Effect::Better) => "better",
        Some(Effect::Worse) => "worse",
        Some(Effect::Neither) => "no better",
        None => "unknown",
    }
}

/// How much both agree, in one sentence.
pub fn sums(f: &Findings) -> String {
    let all = f.agreed + f.changed + f.lost + f.gained;
    let characters = if f.changed_characters == 1 { "1 character".to_owned() } else { format!("{} characters", f.changed_characters) };
    let otherwise = match f.agreed_otherwise {
        0 => String::new(),
        n => format!("; of those that agree {n} differ in confidence, times or votes"),
    };
    format!(
        "{} of {all} passes agree ({:.1} %): {} changed ({characters}), {} lost, {} gained{otherwise}",
        f.agreed,
        f.agreement() * 100.0,
        f.changed,
        f.lost,
        f.gained
    )
}

/// What the truth says of both, in one sentence.
pub fn before_the_truth(v: &Verdict) -> String {
    let chance = if v.fixed + v.spoiled == 0 {
        String::new()
    } else {
        format!("; equal variants differ as much by chance in {:.0} of 100 such comparisons", v.by_chance * 100.0)
    };
    format!(
        "truth: of {} vehicles A reads {} exactly, B {}: {} put right, {} spoiled{chance}. Duplicate or false readings: A {}, B {}",
        v.vehicles, v.exact_a, v.exact_b, v.fixed, v.spoiled, v.stray_a, v.stray_b
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_about_the_truth_names_chance_only_where_something_changed() {
        let v = Verdict { vehicles: 26, exact_a: 24, exact_b: 25, fixed: 2, spoiled: 1, stray_a: 0, stray_b: 1, by_chance: 1.0 };
        assert!(before_the_truth(&v).contains("2 put right, 1 spoiled; equal variants differ as much by chance in 100 of 100"));
        let v = Verdict { fixed: 0, spoiled: 0, ..v };
        assert!(!before_the_truth(&v).contains("chance"));
    }
}
