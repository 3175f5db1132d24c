//! Rows, and how people and programs see them.

use crate::predictions;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

/// One measured thing.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Name for programs, and of the prediction.
    pub id: String,
    /// What was measured.
    pub what: String,
    /// Unit of all values.
    pub unit: &'static str,
    /// What the values are: `p50, p99`.
    pub values_are: &'static str,
    /// What was expected before the first measurement.
    pub predicted: &'static [f64],
    /// What was found.
    pub measured: Vec<f64>,
    /// What must hold, in words.
    pub limit: Option<String>,
    /// Whether it holds.
    pub reached: Option<bool>,
}

impl Row {
    /// A row without a limit.
    pub fn new(id: impl Into<String>, what: impl Into<String>, unit: &'static str, values_are: &'static str, measured: Vec<f64>) -> Self {
        let id = id.into();
        Self { predicted: predictions::of(&id), id, what: what.into(), unit, values_are, measured, limit: None, reached: None }
    }

    /// Value `index` may be at most `most`.
    pub fn at_most(self, index: usize, most: f64) -> Self {
        let reached = self.measured.get(index).is_some_and(|v| *v <= most);
        self.limited(index, format!("<= {}", number(most)), reached)
    }

    /// Value `index` must be at least `least`.
    pub fn at_least(self, index: usize, least: f64) -> Self {
        let reached = self.measured.get(index).is_some_and(|v| *v >= least);
        self.limited(index, format!(">= {}", number(least)), reached)
    }

    fn limited(mut self, index: usize, limit: String, reached: bool) -> Self {
        let name = self.values_are.split(", ").nth(index).filter(|name| self.measured.len() > 1 && !name.is_empty());
        self.limit = Some(name.map_or(limit.clone(), |name| format!("{name} {limit}")));
        self.reached = Some(reached);
        self
    }
}

/// Prints the rows.
pub fn print(rows: &[Row]) {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["", "unit", "values", "predicted", "measured", "limit", "reached"]);
    for row in rows {
        let reached = row.reached.map_or("", |reached| if reached { "yes" } else { "NO" });
        table.add_row([
            &row.what,
            row.unit,
            row.values_are,
            &numbers(row.predicted),
            &numbers(&row.measured),
            row.limit.as_deref().unwrap_or_default(),
            reached,
        ]);
    }
    for column in [3, 4] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{table}");
}

fn numbers(values: &[f64]) -> String {
    values.iter().map(|v| number(*v)).collect::<Vec<_>>().join(", ")
}

/// Three significant digits.
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The machine in one line.
pub fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|l| l.strip_prefix("model name")).and_then(|l| l.split_once(':'));
    let model = model.map_or("unknown CPU", |(_, m)| m.trim());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!("{model}, {cores} cores, load {} before the run", load.split_whitespace().next().unwrap_or("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_checked_on_the_value_that_it_names() {
        let row = Row::new("acquire", "acquire + release", "us", "p50, p99", vec![0.3, 1.2]);
        assert_eq!(row.predicted.len(), 2);
        let late = row.clone().at_most(1, 1.0);
        assert_eq!((late.limit.as_deref(), late.reached), (Some("p99 <= 1.00"), Some(false)));
        assert_eq!(row.at_most(0, 1.0).reached, Some(true));
        let missing = Row::new("none", "", "", "", vec![]).at_least(0, 5.0);
        assert_eq!(missing.reached, Some(false), "what was not measured is not reached");
    }
}
