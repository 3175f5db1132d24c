//! Charts as SVG text: axes, lines, bars and dots. Colours and fonts come from the page's style.

use std::fmt::Write;

/// What stands in markup as text.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Colour of a series: the first is A or the only run.
pub const SERIES: [&str; 2] = ["a", "b"];

/// Inner margins in px: room for the labels of the axes.
const LEFT: f64 = 58.0;
const RIGHT: f64 = 22.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 40.0;
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 260.0;

/// Round values from 0 to `most`, five at most.
pub fn ticks(most: f64) -> Vec<f64> {
    let rough = (most / 5.0).max(0.2);
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|step| *step >= rough - 1e-9).unwrap_or(rough).max(1.0);
    (0..).map(|i| f64::from(i) * step).take_while(|t| *t <= most + 1e-9).collect()
}

/// A chart with two linear axes.
pub struct Plot {
    x: (f64, f64),
    y: (f64, f64),
    body: String,
    about: String,
}

impl Plot {
    /// An empty chart over these ranges; `about` is read out instead of the picture.
    pub fn new(x: (f64, f64), y: (f64, f64), about: &str) -> Self {
        Self { x, y, body: String::new(), about: about.to_owned() }
    }

    fn px(&self, x: f64) -> f64 {
        LEFT + (x - self.x.0) / (self.x.1 - self.x.0).max(f64::EPSILON) * (WIDTH - LEFT - RIGHT)
    }

    fn py(&self, y: f64) -> f64 {
        HEIGHT - BOTTOM - (y - self.y.0) / (self.y.1 - self.y.0).max(f64::EPSILON) * (HEIGHT - TOP - BOTTOM)
    }

    /// Ticks and name of the horizontal axis; `label` writes a tick.
    pub fn x_axis(&mut self, ticks: &[f64], name: &str, label: impl Fn(f64) -> String) {
        for &tick in ticks {
            let x = self.px(tick);
            let _ = write!(self.body, "<text class=\"t m\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>", HEIGHT - 24.0, escaped(&label(tick)));
        }
        let _ = write!(
            self.body,
            "<text class=\"t m\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 6.0,
            escaped(name)
        );
    }

    /// Ticks, grid lines and name of the vertical axis.
    pub fn y_axis(&mut self, ticks: &[f64], name: &str, label: impl Fn(f64) -> String) {
        for &tick in ticks {
            let y = self.py(tick);
            let _ = write!(
                self.body,
                "<line class=\"g\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\"/><text class=\"t e\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0,
                escaped(&label(tick))
            );
        }
        let middle = (TOP + HEIGHT - BOTTOM) / 2.0;
        let _ = write!(self.body, "<text class=\"t m\" transform=\"translate(11 {middle:.1}) rotate(-90)\">{}</text>", escaped(name));
    }

    /// A line through `points`.
    pub fn line(&mut self, points: &[(f64, f64)], class: &str) {
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{:.1},{:.1}", self.px(*x), self.py(*y))).collect();
        let _ = write!(self.body, "<polyline class=\"l {class}\" points=\"{}\"/>", path.join(" "));
    }

    /// A dot of radius `r` px with a whisker from `low` to `high`, and what it stands for.
    pub fn dot(&mut self, (x, y): (f64, f64), r: f64, (low, high): (f64, f64), class: &str, title: &str) {
        let (cx, cy) = (self.px(x), self.py(y));
        let _ = write!(
            self.body,
            "<g class=\"{class}\"><title>{}</title><line class=\"w\" x1=\"{cx:.1}\" y1=\"{:.1}\" x2=\"{cx:.1}\" y2=\"{:.1}\"/><circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"{r:.1}\"/></g>",
            escaped(title),
            self.py(low),
            self.py(high)
        );
    }

    /// An upright bar between `x0` and `x1`, with its value above where there is room.
    pub fn bar(&mut self, (x0, x1): (f64, f64), height: f64, class: &str, value: &str) {
        let (left, right, top) = (self.px(x0), self.px(x1), self.py(height));
        let _ = write!(
            self.body,
            "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"/><text class=\"t m v\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            (right - left).max(0.5),
            (self.py(self.y.0) - top).max(0.0),
            (left + right) / 2.0,
            top - 3.0,
            escaped(value)
        );
    }

    /// The chart with its caption.
    pub fn figure(self, caption: &str, names: &[&str]) -> String {
        figure(caption, names, WIDTH, HEIGHT, &self.about, &self.body)
    }
}

/// A chart of horizontal bars: a row per name, a bar per series. `value` writes the figures beside a bar.
pub struct Rows<'a> {
    /// Names on the left.
    pub names: Vec<&'a str>,
    /// Per series a value per name; `None` leaves the bar out.
    pub series: Vec<Vec<Option<f64>>>,
    /// What stands behind each bar.
    pub labels: Vec<Vec<String>>,
}

impl Rows<'_> {
    /// The chart with its caption.
    pub fn figure(&self, caption: &str, names: &[&str], about: &str) -> String {
        let (bar, gap, left, room) = (11.0, 9.0, 92.0, 158.0);
        let row = bar * self.series.len() as f64 + gap;
        let height = row * self.names.len() as f64 + 8.0;
        let most = self.series.iter().flatten().flatten().copied().fold(f64::EPSILON, f64::max);
        let scale = (WIDTH - left - room) / most;
        let mut body = String::new();
        for (i, name) in self.names.iter().enumerate() {
            let top = 4.0 + row * i as f64;
            let _ = write!(body, "<text class=\"t e\" x=\"{:.1}\" y=\"{:.1}\">{}</text>", left - 6.0, top + row / 2.0, escaped(name));
            for (s, values) in self.series.iter().enumerate() {
                let Some(value) = values.get(i).copied().flatten() else { continue };
                let (y, width) = (top + bar * s as f64, (value * scale).max(0.5));
                let label = self.labels.get(s).and_then(|l| l.get(i)).map_or("", String::as_str);
                let _ = write!(
                    body,
                    "<rect class=\"{}\" x=\"{left}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\"/><text class=\"t\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                    SERIES[s % 2],
                    bar - 1.0,
                    left + width + 5.0,
                    y + 9.0,
                    escaped(label)
                );
            }
        }
        figure(caption, names, WIDTH, height, about, &body)
    }
}

/// `names`: a legend, where there are several series.
fn figure(caption: &str, names: &[&str], width: f64, height: f64, about: &str, body: &str) -> String {
    let legend: String = match names {
        [] | [_] => String::new(),
        several => several.iter().zip(SERIES).map(|(n, class)| format!("<span class=\"key {class}\">{}</span>", escaped(n))).collect(),
    };
    format!(
        "<figure><figcaption>{} {legend}</figcaption><svg viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{}\">{body}</svg></figure>\n",
        escaped(caption),
        escaped(about)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_names_stays_text() {
        assert_eq!(escaped("<b>\"&"), "&lt;b&gt;&quot;&amp;");
        let mut plot = Plot::new((0.0, 1.0), (0.0, 1.0), "a <b>");
        plot.x_axis(&[0.5], "<x>", |t| format!("<{t}>"));
        let text = plot.figure("<c>", &["<n>", "m"]);
        assert!(!text.contains("<b>") && !text.contains("<x>") && !text.contains("<0.5>") && !text.contains("<n>"), "{text}");
    }

    #[test]
    fn values_stand_where_the_axes_put_them() {
        let mut plot = Plot::new((0.0, 10.0), (0.0, 2.0), "");
        plot.line(&[(0.0, 0.0), (10.0, 2.0)], "a");
        assert!(plot.figure("", &[]).contains("points=\"58.0,220.0 398.0,10.0\""));
        // A range without an extent is no division by zero.
        let mut plot = Plot::new((1.0, 1.0), (0.0, 0.0), "");
        plot.line(&[(1.0, 0.0)], "a");
        assert!(!plot.figure("", &[]).contains("NaN"));
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks(25.0), [0.0, 5.0, 10.0, 15.0, 20.0, 25.0]);
        assert_eq!(ticks(1.0), [0.0, 1.0]);
        assert_eq!(ticks(340.0), [0.0, 100.0, 200.0, 300.0]);
    }

    #[test]
    fn the_longest_bar_leaves_room_for_its_label() {
        let rows = Rows { names: vec!["x", "y"], series: vec![vec![Some(4.0), None]], labels: vec![vec!["4 ms".into()]] };
        let text = rows.figure("", &["A"], "");
        assert!(text.contains("width=\"170.0\"") && text.contains("4 ms"), "{text}");
        assert_eq!(text.matches("<rect").count(), 1);
    }
}
