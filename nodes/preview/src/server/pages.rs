//! The files of the page, part of the program: nothing is loaded from anywhere else.

use super::answer::Answer;

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// What everybody may have: it says nothing of the site.
pub fn open(path: &str) -> Option<Answer> {
    match path {
        "/style.css" => Some(Answer::new(200, "text/css; charset=utf-8", include_str!("../web/style.css"))),
        "/icon.svg" => Some(Answer::new(200, "image/svg+xml", include_str!("../web/icon.svg"))),
        _ => None,
    }
}

/// The page itself.
pub fn of_site(path: &str) -> Option<Answer> {
    match path {
        "/" => Some(Answer::new(200, HTML, include_str!("../web/index.html"))),
        "/app.js" => Some(Answer::new(200, SCRIPT, include_str!("../web/app.js"))),
        "/live.js" => Some(Answer::new(200, SCRIPT, include_str!("../web/live.js"))),
        "/readings.js" => Some(Answer::new(200, SCRIPT, include_str!("../web/readings.js"))),
        "/charts.js" => Some(Answer::new(200, SCRIPT, include_str!("../web/charts.js"))),
        _ => None,
    }
}

/// The form for the token.
pub fn login(was_wrong: bool) -> Answer {
    let page = include_str!("../web/login.html");
    if was_wrong { Answer::new(401, HTML, page.replace(" hidden", "")) } else { Answer::new(200, HTML, page) }
}
