use std::fmt;

/// What went wrong, where, and what to do about it. Made from any error with `?`.
pub struct Fault {
    what: String,
    places: Vec<String>,
    hint: Option<String>,
}

impl Fault {
    /// A fault that says `what`.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), places: Vec::new(), hint: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what to do about it, where the error knows.
    #[must_use]
    pub fn maybe_hint(self, hint: Option<impl Into<String>>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// Adds where it happened; the outermost place is added last and printed first.
    #[must_use]
    pub fn context(mut self, place: impl Into<String>) -> Self {
        self.places.push(place.into());
        self
    }

    /// What and where, in one line.
    pub fn message(&self) -> String {
        self.places.iter().rev().map(|p| format!("{p}: ")).collect::<String>() + &self.what
    }

    /// What to do about it.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `Fault` itself is no `std::error::Error`, so that every error converts.
impl<E: std::error::Error + Send + Sync + 'static> From<E> for Fault {
    fn from(error: E) -> Self {
        let mut what = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // thiserror's `{0}` style repeats the cause; say it once.
            if !what.ends_with(&text) {
                what.push_str(": ");
                what.push_str(&text);
            }
            source = cause.source();
        }
        Self::new(what)
    }
}

#[cfg(test)]
mod tests {
    use super::Fault;

    #[test]
    fn prints_place_cause_and_hint() {
        let fault = Fault::from(std::io::Error::other("disk full")).context("clip.mp4").context("node `store`").hint("free some space");
        assert_eq!(fault.to_string(), "node `store`: clip.mp4: disk full\nhint: free some space");
    }
}
