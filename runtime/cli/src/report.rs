//! The page of a run: every reading with its evidence crop and its votes.

use crate::failure::Failure;
use crate::read::Reading;
use base64::Engine;
use std::fmt::Write;
use std::path::Path;

const STYLE: &str = "
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1b1f24;background:#fff}
h1{font-size:1.5rem;margin:0 0 .2rem}p{color:#57606a;margin:.2rem 0 1rem}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.5rem .6rem;border-bottom:1px solid #d8dee4;vertical-align:top}
th{font-weight:600;font-size:.85rem;color:#57606a}
.plate{font:600 1.25rem ui-monospace,monospace;letter-spacing:.06em;white-space:nowrap}
img{height:56px;border-radius:4px;display:block;background:#eee}
.bar{background:#d8dee4;border-radius:3px;height:6px;width:6rem;margin-top:.4rem}.bar i{display:block;height:6px;border-radius:3px;background:#2da44e}
details{font-size:.85rem;color:#57606a}summary{cursor:pointer}code{font-family:ui-monospace,monospace;color:#1b1f24}
@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}th,p,details{color:#9198a1}th,td{border-color:#30363d}code{color:#e6edf3}.bar{background:#30363d}}
";

/// Writes the page; pictures stand inside it, so that it can be sent as one file.
pub fn write(readings: &[Reading], out: &Path, page: &Path) -> Result<(), Failure> {
    let folder = out.parent().unwrap_or(Path::new("."));
    let mut html = String::new();
    let cameras: std::collections::BTreeSet<&str> = readings.iter().map(|r| r.camera.as_str()).collect();
    let _ = write!(
        html,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>Gantry: readings</title><style>{STYLE}</style>\n<h1>{} readings</h1><p>{} cameras; {}</p>\n<table><tr><th>evidence<th>plate<th>confidence<th>camera<th>seen<th>votes</tr>\n",
        readings.len(),
        cameras.len(),
        escaped(&out.file_name().unwrap_or_default().to_string_lossy())
    );
    for r in readings {
        let picture = r.evidence.as_ref().and_then(|e| std::fs::read(folder.join(e)).ok()).map_or_else(String::new, |jpeg| {
            format!("<img alt=\"plate\" src=\"data:image/jpeg;base64,{}\">", base64::engine::general_purpose::STANDARD.encode(jpeg))
        });
        let percent = r.confidence * 100.0;
        let syntax =
            r.syntax.as_deref().filter(|s| !s.is_empty()).map_or_else(String::new, |s| format!("<br><small>{}</small>", escaped(s)));
        let _ = writeln!(
            html,
            "<tr><td>{picture}<td><span class=\"plate\">{}</span>{syntax}<td>{percent:.1} %<div class=\"bar\"><i style=\"width:{percent:.0}%\"></i></div><td>{}<td>{:.2} to {:.2} s<td><details><summary>{} frames read</summary>{}</details></tr>",
            escaped(&r.plate),
            escaped(&r.camera),
            r.first_seen_s,
            r.last_seen_s,
            r.frames_read,
            votes(r)
        );
    }
    html.push_str("</table>\n");
    std::fs::write(page, html).map_err(|e| Failure::failed(format!("{}: {e}", page.display())))
}

fn votes(reading: &Reading) -> String {
    let mut text = String::new();
    for v in &reading.votes {
        let _ = write!(
            text,
            "<div><code>{}</code> {} in {} frames, weight {:.2}</div>",
            escaped(&v.text),
            escaped(&v.variant),
            v.frames.len(),
            v.weight
        );
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    #[test]
    fn markup_in_names_stays_text() {
        assert_eq!(super::escaped("<b>\"&"), "&lt;b&gt;&quot;&amp;");
    }
}
